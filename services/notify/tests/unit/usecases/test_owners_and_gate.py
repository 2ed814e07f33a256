"""Who may follow what, and that remembering owners forgets in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tonearm_kit.ids import new_id
from tonearm_notify.domain import codes
from tonearm_notify.usecases.admit import Gate, Refused
from tonearm_notify.usecases.owners import RememberedOwners
from tonearm_notify.usecases.ports import Identity, Lost, Revocation
from tonearm_notify.usecases.revoked import RevokedRights

ANNA = Identity("anna", "s1", None)


class FakeOwners:
    """Owners in memory; counts reads."""

    def __init__(self, **owners: str) -> None:
        self.owners: dict[str, str] = dict(owners)
        self.reads = 0

    async def find_owner(self, audio_id: str) -> str | None:
        self.reads += 1
        owner = self.owners.get(audio_id)
        await asyncio.sleep(0)
        return owner

    async def load_deleted(self, audio_ids: Sequence[str]) -> list[Revocation]:
        return []


class FakeCredentials:
    """Anybody is who they say."""

    async def identify(self, credential: str) -> Identity:
        return Identity(credential, f"session of {credential}", None)


async def nothing_revoked() -> list[Revocation]:
    return []


def gate(owners: FakeOwners | RememberedOwners, *, wait_s: float = 0.01) -> Gate:
    return Gate(
        FakeCredentials(),
        owners,
        RevokedRights(nothing_revoked),
        now_s=lambda: 1e9,
        unknown_wait_s=wait_s,
        unknown_age_max_s=1e12,
    )


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("account:#anna", None),
        ("account:#bert", codes.DENIED),
        ("audio:hers", None),
        ("audio:his", codes.DENIED),
        ("audio:deleted", codes.DENIED),
        ("audio:unknown", codes.DENIED),
        ("flags", None),
        ("system", None),
        ("whatever", codes.UNKNOWN_CHANNEL),
    ],
)
async def test_who_may_follow_what(name: str, refusal: codes.Error | None) -> None:
    owners = FakeOwners(hers="anna", his="bert", deleted="")
    assert await gate(owners).refusal(ANNA, name) == refusal


async def test_a_young_id_is_waited_for_and_then_temporarily_refused() -> None:
    owners, audio_id = FakeOwners(), new_id()
    assert await gate(owners).refusal(ANNA, f"audio:{audio_id}") == codes.NOT_YET_KNOWN


async def test_an_announcement_ends_the_waiting() -> None:
    owners, audio_id = FakeOwners(), new_id()
    waiting = gate(owners, wait_s=30)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(waiting.refusal(ANNA, f"audio:{audio_id}"))
        while owners.reads < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        owners.owners[audio_id] = "anna"
        waiting.saw_audio(f"audio:{audio_id}")
    assert asked.result() is None


async def test_no_credential_and_a_revoked_one_are_refused() -> None:
    revoked = RevokedRights(nothing_revoked)
    door = Gate(
        FakeCredentials(), FakeOwners(), revoked, now_s=lambda: 0.0, unknown_wait_s=0,
        unknown_age_max_s=0,
    )  # fmt: skip
    with pytest.raises(Refused) as refused:
        await door.identify("")
    assert refused.value.error is codes.UNAUTHORIZED
    assert (await door.identify("anna")).account_id == "anna"
    revoked.add(Revocation(Lost.SESSION, "session of anna", "anna"))
    with pytest.raises(Refused) as refused:
        await door.identify("anna")
    assert refused.value.disconnect is codes.INVALID_TOKEN


async def test_owners_are_read_once_until_they_are_gone() -> None:
    behind = FakeOwners(r="anna")
    owners = RememberedOwners(behind)
    for _ in range(3):
        assert await owners.find_owner("r") == "anna"
    assert behind.reads == 1
    owners.forget(Revocation(Lost.AUDIO, "r", "anna"))
    assert await owners.find_owner("r") == ""


async def test_a_deletion_during_the_read_wins() -> None:
    owners = RememberedOwners(FakeOwners(r="anna"))
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(owners.find_owner("r"))
        await asyncio.sleep(0)
        owners.forget(Revocation(Lost.AUDIO, "r", "anna"))
    assert asked.result() == ""


async def test_unknown_owners_are_asked_for_again_and_the_oldest_leave() -> None:
    behind = FakeOwners(a="anna", b="anna")
    owners = RememberedOwners(behind, remembered_max=1)
    assert await owners.find_owner("x") is None
    behind.owners["x"] = "anna"
    assert await owners.find_owner("x") == "anna"
    await owners.find_owner("a")
    await owners.find_owner("b")
    reads = behind.reads
    await owners.find_owner("a")
    assert behind.reads == reads + 1
