from __future__ import annotations

import json
from argparse import Namespace
from datetime import timedelta
from typing import Any

import pytest

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.db import Connection
from tonearm_kit.deadletters import Desk, UnknownLetter
from tonearm_kit.deadletters.__main__ import parser, run
from tonearm_kit.deadletters.desk import LetterClosed, NotJson
from tonearm_kit.kafka import BrokerError, Poison, retries
from tonearm_kit.kafka.ports import OutRecord
from tonearm_kit.testing.broker import FakeSender
from tonearm_kit.testing.clock import FixedClock

from .test_runner import World, running, until


class Office:
    """A world in which events with a bad value die, and a desk to work them."""

    def __init__(self, clock: FixedClock) -> None:
        self.world = World(partitions=1)
        self.pauses: list[float] = []
        self.desk = Desk(
            log=self.world.broker,
            sender=FakeSender(self.world.broker),
            topics=self.world.broker,
            clock=clock,
            actor="anna",
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def handle(self, conn: Connection, event: CloudEvent) -> None:
        if event.data.get("ok") is not True:
            raise Poison(f"{event.id} is not ok")
        await self.world.effects.add(conn, event)

    async def kill(self, *event_ids: str) -> None:
        """Let the runner work until these events are dead."""
        for event_id in event_ids:
            self.world.put(event_id)
        before = len(self.world.broker.log("g.dlq"))
        async with running(self.world.runner(handlers={"x": self.handle})):
            await until(lambda: len(self.world.broker.log("g.dlq")) == before + len(event_ids))


@pytest.fixture
def office(fixed_clock: FixedClock) -> Office:
    return Office(fixed_clock)


async def test_the_dead_are_listed_with_reason_place_and_origin(office: Office) -> None:
    await office.kill("1", "2")
    letters = await office.desk.letters()
    assert [(each.event_id, each.reason) for each in letters] == [
        ("1", "1 is not ok"), ("2", "2 is not ok"),
    ]  # fmt: skip
    assert [each.origin.offset for each in letters] == [0, 1]
    assert len({each.id for each in letters}) == 2
    assert len({each.stack_hash for each in letters}) == 1
    whole = letters[0].as_json(whole=True)
    assert "Poison" in whole["stack"]
    assert whole["headers"]["ce_id"] == "1"
    assert json.dumps(whole)


async def test_filters_narrow_the_list(office: Office) -> None:
    await office.kill("1", "2")
    (first, _) = await office.desk.letters()
    assert await office.desk.letters(group="other") == []
    assert await office.desk.letters(event_type="other") == []
    assert len(await office.desk.letters(stack_hash=first.stack_hash, event_type="x")) == 2
    assert await office.desk.letters(since=first.failed_at + timedelta(days=1)) == []


async def test_edited_and_redriven_an_event_has_its_effect_in_its_group(office: Office) -> None:
    await office.kill("1", "2")
    (first, second) = await office.desk.letters()
    edited = await office.desk.edit(first.id, '{"ok": true}', reason="typo")
    assert edited.is_edited
    assert edited.state == "open"
    await office.desk.redrive([await office.desk.letter(first.id)])
    async with running(office.world.runner(handlers={"x": office.handle})):
        await until(lambda: office.world.effects.ids == ["1"])
    assert [each.id for each in await office.desk.letters()] == [second.id]
    assert (await office.desk.letter(first.id)).state == "redriven"
    audit = [(each.verb, each.actor, each.reason) for each in await office.desk.actions(first.id)]
    assert audit == [("edit", "anna", "typo"), ("redrive", "anna", None)]


async def test_an_event_that_dies_again_is_open_again_under_the_same_id(office: Office) -> None:
    await office.kill("1")
    (letter,) = await office.desk.letters()
    await office.desk.redrive([letter])
    assert await office.desk.letters() == []
    async with running(office.world.runner(handlers={"x": office.handle})):
        await until(lambda: len(office.world.broker.log("g.dlq")) == 2)
    (again,) = await office.desk.letters()
    assert again.id == letter.id
    assert again.origin == letter.origin


async def test_a_dry_run_sends_and_audits_nothing(office: Office) -> None:
    await office.kill("1")
    result = await office.desk.redrive(await office.desk.letters(), dry_run=True)
    assert len(result.letters) == 1
    assert office.world.broker.log("g.retry.0") == []
    assert await office.desk.actions() == []


async def test_a_redrive_keeps_to_its_rate(office: Office) -> None:
    await office.kill("1", "2", "3")
    await office.desk.redrive(await office.desk.letters(), rate_per_s=10)
    assert office.pauses == [0.1, 0.1]


async def test_closed_letters_stay_closed(office: Office) -> None:
    await office.kill("1")
    (letter,) = await office.desk.letters()
    await office.desk.discard(letter.id, reason="test data")
    for attempt in (
        office.desk.edit(letter.id, "{}"),
        office.desk.discard(letter.id, reason="again"),
    ):
        with pytest.raises(LetterClosed):
            await attempt
    result = await office.desk.redrive([await office.desk.letter(letter.id)])
    assert result.letters == ()


async def test_nonsense_is_refused(office: Office) -> None:
    await office.kill("1")
    (letter,) = await office.desk.letters()
    for value in ("{", "[]", '"text"'):
        with pytest.raises(NotJson):
            await office.desk.edit(letter.id, value)
    with pytest.raises(UnknownLetter):
        await office.desk.letter("nothing")


async def test_letters_of_a_group_that_nobody_reads_are_not_sent_away(office: Office) -> None:
    await office.kill("1")
    (letter,) = await office.desk.letters()
    orphan = type(letter)(
        **{name: getattr(letter, name) for name in letter.__slots__ if name != "group"},
        group="gone",
    )
    with pytest.raises(BrokerError, match="nobody would read"):
        await office.desk.redrive([orphan])


async def test_a_record_that_is_no_event_can_be_listed_and_shown(office: Office) -> None:
    broken = [("ce_id", b"\xff"), (retries.REASON, b"bad")]
    office.world.broker.append(OutRecord(topic="t", key=None, value=b"\x00", headers=broken))
    async with running(office.world.runner(handlers={"x": office.handle})):
        await until(lambda: len(office.world.broker.log("g.dlq")) == 1)
    (letter,) = await office.desk.letters()
    assert letter.event_id is None
    assert "UTF-8" in letter.reason
    assert json.dumps(letter.as_json(whole=True))


def options(*arguments: str) -> Namespace:
    return parser("dlq").parse_args(arguments)


async def test_the_commands_say_what_they_did(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    async def said(*arguments: str) -> str:
        assert await run(office.desk, options(*arguments)) == 0
        return capsys.readouterr().out

    await office.kill("1", "2")
    lines = (await said("list", "--json")).splitlines()
    first: dict[str, Any] = json.loads(lines[0])
    assert [json.loads(line)["event_id"] for line in lines] == ["1", "2"]
    assert "2 dead letters" in await said("list")
    assert json.loads(await said("show", first["id"]))["origin"]["topic"] == "t"
    assert "edited" in await said("edit", first["id"], "--value", '{"ok": true}')
    assert "2 would be redriven" in await said("redrive", "--all", "--dry-run")
    assert "1 redriven" in await said("redrive", first["id"], "--reason", "fixed")
    assert "1 redriven" in await said("redrive", "--all", "--group", "g", "--rate", "5")
    audit = [json.loads(line)["action"] for line in (await said("audit")).splitlines()]
    assert audit == ["edit", "redrive", "redrive"]


@pytest.mark.parametrize("arguments", [["redrive"], ["redrive", "some", "--all"]])
async def test_a_redrive_must_say_what(office: Office, arguments: list[str]) -> None:
    assert await run(office.desk, options(*arguments)) == 2
