"""What the broker says reaches the hub in runs, and nothing overtakes what it must follow."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.usecases.deliver import Compare, Deliverer
from tonearm_notify.usecases.hub import Hub
from tonearm_notify.usecases.owners import RememberedOwners
from tonearm_notify.usecases.ports import Histories, Lost, Published, Revocation
from tonearm_notify.usecases.revoked import RevokedRights

Said = tuple[str, Any]


class FakeHub:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.fails = 0
        self.knows: set[tuple[str, int]] = set()

    def awaits(self, published: Published) -> bool:
        return (published.channel, published.publication.offset) not in self.knows

    async def deliver(self, *run: Published) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionError
        offsets = [published.publication.offset for published in run]
        self.said.append((run[0].channel, offsets))

    def revoke(self, revocation: Revocation) -> int:
        self.said.append(("revoked", revocation.subject))
        return 0

    def followed(self) -> list[str]:
        return ["a"]

    async def catch_up(self, tops: dict[str, Position]) -> None:
        self.said.append(("compared", tops))


class FakeRights:
    """Rights, owners and histories of which nothing is known."""

    def add(self, _revocation: Revocation) -> None:
        return

    def forget(self, _revocation: Revocation) -> None:
        return

    async def load_tops(self, _channels: list[str]) -> dict[str, Position]:
        return {}


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


def deliverer(hub: FakeHub, *, queue_max: int = 1_000, queue_bytes_max: int = 10**6) -> Deliverer:
    rights = FakeRights()
    return Deliverer(
        cast(Hub, hub),
        cast(Histories, rights),
        cast(RevokedRights, rights),
        cast(RememberedOwners, rights),
        queue_max=queue_max,
        queue_bytes_max=queue_bytes_max,
        saw_audio=lambda _channel: None,
    )


def published(channel: str, offset: int, *, size_bytes: int = 2) -> Published:
    return Published(channel, "e", Publication(offset, "x" * size_bytes))


async def run_dry(subject: Deliverer) -> None:
    """Deliver what is queued."""
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(5):
        await subject.run(stop)


async def test_what_waits_is_delivered_by_channel_each_in_its_order(hub: FakeHub) -> None:
    subject = deliverer(hub)
    for channel, offset in (("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)):
        subject.put(published(channel, offset))
    await run_dry(subject)
    assert hub.said == [("a", [1, 2, 3]), ("b", [1, 2])]


async def test_nothing_overtakes_the_end_of_a_right(hub: FakeHub) -> None:
    subject = deliverer(hub)
    subject.put(published("a", 1))
    subject.put(Revocation(Lost.AUDIO, "r", "anna"))
    subject.put(published("a", 2))
    subject.put(Compare(is_after_gap=False))
    subject.put(published("a", 3))
    await run_dry(subject)
    assert hub.said == [
        ("a", [1]),
        ("revoked", "r"),
        ("a", [2]),
        ("compared", {}),
        ("a", [3]),
    ]


async def test_what_is_known_takes_no_room(hub: FakeHub) -> None:
    subject = deliverer(hub, queue_max=2)
    hub.knows = {("a", 1), ("a", 2)}
    for offset in range(1, 5):
        subject.put(published("a", offset))
    await run_dry(subject)
    assert hub.said == [("a", [3, 4])]


async def test_what_is_handed_over_keeps_its_place(hub: FakeHub) -> None:
    subject = deliverer(hub)
    subject.hand_over([published("a", 1), published("b", 1)])
    subject.put(Revocation(Lost.AUDIO, "r", "anna"))
    subject.hand_over([published("a", 2)])
    await run_dry(subject)
    assert hub.said == [("a", [1]), ("b", [1]), ("revoked", "r"), ("a", [2])]


async def test_what_is_handed_over_during_a_delivery_is_left_to_its_announcement() -> None:
    class BusyHub(FakeHub):
        async def deliver(self, *run: Published) -> None:
            await super().deliver(*run)
            if run[0].channel == "a":
                subject.hand_over([published("b", 1)])
                subject.put(published("c", 1))

    hub = BusyHub()
    subject = deliverer(hub)
    stop = asyncio.Event()
    running = asyncio.create_task(subject.run(stop))
    await asyncio.sleep(0)
    subject.hand_over([published("a", 1)])
    async with asyncio.timeout(5):
        while len(hub.said) < 2:
            await asyncio.sleep(0)
    stop.set()
    subject.wake()
    await running
    assert hub.said == [("a", [1]), ("c", [1])]


async def test_a_run_is_bounded(hub: FakeHub) -> None:
    subject = deliverer(hub)
    for offset in range(1, 601):
        subject.put(published("a", offset))
    await run_dry(subject)
    assert [len(offsets) for _, offsets in hub.said] == [256, 256, 88]


@pytest.mark.parametrize("limits", [{"queue_max": 3}, {"queue_bytes_max": 3 * 162}])
async def test_a_full_queue_drops_and_has_room_again(hub: FakeHub, limits: dict[str, int]) -> None:
    subject = deliverer(hub, **limits)
    for offset in range(1, 6):
        subject.put(published("a", offset))
    subject.put(Revocation(Lost.AUDIO, "r", "anna"))
    await run_dry(subject)
    for offset in range(6, 9):
        subject.put(published("a", offset))
    await run_dry(subject)
    assert hub.said == [("a", [1, 2, 3]), ("revoked", "r"), ("a", [6, 7, 8])]


async def test_what_was_dropped_is_compared_for(hub: FakeHub) -> None:
    subject = deliverer(hub, queue_max=1)
    subject.put(published("a", 1))
    subject.put(published("a", 2))
    stop = asyncio.Event()
    running = asyncio.create_task(subject.run(stop))
    async with asyncio.timeout(5):
        while len(hub.said) < 2:
            await asyncio.sleep(0)
    stop.set()
    subject.wake()
    await running
    assert hub.said == [("a", [1]), ("compared", {})]


async def test_a_failure_ends_nothing(hub: FakeHub) -> None:
    subject = deliverer(hub)
    hub.fails = 1
    subject.put(published("a", 1))
    subject.put(published("b", 1))
    await run_dry(subject)
    assert hub.said == [("b", [1])]
