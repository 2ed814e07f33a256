"""Where dead letters are worked: list, show, edit, redrive, discard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from tonearm_contracts.topics import Topic
from tonearm_kit.clock import Clock
from tonearm_kit.deadletters.letters import (
    AUDIT_TOPIC,
    SUFFIX,
    Action,
    DeadLetter,
    Verb,
    after,
    from_record,
    redrive_record,
)
from tonearm_kit.errors import AppError, Kind
from tonearm_kit.kafka import retries
from tonearm_kit.kafka.log import Log
from tonearm_kit.kafka.ports import BrokerError, Sender


class UnknownLetter(AppError):
    """There is no dead letter with this id."""

    code: ClassVar[str] = "unknown_dead_letter"
    kind: ClassVar[Kind] = Kind.NOT_FOUND


class LetterClosed(AppError):
    """The letter was redriven or discarded already."""

    code: ClassVar[str] = "dead_letter_closed"
    kind: ClassVar[Kind] = Kind.CONFLICT


class NotJson(AppError):
    """The new value is not a JSON object, so the event would die again."""

    code: ClassVar[str] = "not_a_json_object"
    kind: ClassVar[Kind] = Kind.INVALID


class Topics(Protocol):
    """The part of a broker that makes topics."""

    async def ensure_topics(self, topics: Sequence[Topic]) -> list[str]:
        """See `tonearm_kit.kafka.ports.Broker`."""
        ...


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive did, or with `dry_run` would do."""

    letters: tuple[DeadLetter, ...]
    dry_run: bool


class Desk:
    """Works the dead letters of a cluster. Raises `BrokerError` while it is away.

    A redrive is sent before it is audited: cut off in between, the letter stays open and may be
    redriven again, which the group's inbox makes harmless.
    """

    def __init__(
        self,
        *,
        log: Log,
        sender: Sender,
        topics: Topics,
        clock: Clock,
        actor: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log, self._sender, self._topics = log, sender, topics
        self._clock, self._actor, self._sleep = clock, actor, sleep

    async def letters(
        self,
        *,
        group: str | None = None,
        states: Sequence[str] = ("open",),
        stack_hash: str | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
    ) -> list[DeadLetter]:
        """Return the letters that match, oldest first; an event that died twice is there once."""
        known = await self._log.topics()
        topics = [
            topic
            for topic in known
            if topic.endswith(SUFFIX) and group in (None, topic.removesuffix(SUFFIX))
        ]
        letters = [from_record(record) for record in await self._log.read(topics)]
        found = {letter.id: letter for letter in letters}
        for action in await self.actions():
            if action.letter_id in found:
                found[action.letter_id] = after(found[action.letter_id], action)
        matching = [
            letter
            for letter in found.values()
            if letter.state in states
            and stack_hash in (None, letter.stack_hash)
            and event_type in (None, letter.event_type)
            and (since is None or letter.failed_at >= since)
        ]
        # Within one millisecond the place in the log decides, so that a redrive keeps its order.
        return sorted(
            matching,
            key=lambda letter: (
                letter.failed_at, letter.origin.topic, letter.origin.partition, letter.origin.offset
            ),
        )  # fmt: skip

    async def actions(self, letter_id: str | None = None) -> list[Action]:
        """Return the audit log, of one letter or of all, oldest first."""
        if AUDIT_TOPIC.name not in await self._log.topics():
            return []
        actions = [
            Action.from_record(record) for record in await self._log.read([AUDIT_TOPIC.name])
        ]
        return [each for each in actions if letter_id in (None, each.letter_id)]

    async def letter(self, letter_id: str) -> DeadLetter:
        """Return one letter in whatever state. Raises `UnknownLetter`."""
        (letter,) = await self.letters_by_id([letter_id])
        return letter

    async def letters_by_id(self, letter_ids: Sequence[str]) -> list[DeadLetter]:
        """Return letters in whatever state, in this order. Raises `UnknownLetter`."""
        every = await self.letters(states=("open", "redriven", "discarded"))
        known = {letter.id: letter for letter in every}
        for letter_id in letter_ids:
            if letter_id not in known:
                raise UnknownLetter(letter_id=letter_id)
        return [known[letter_id] for letter_id in dict.fromkeys(letter_ids)]

    async def edit(self, letter_id: str, value: str, *, reason: str | None = None) -> DeadLetter:
        """Replace the event's data; the letter stays open. Raises `NotJson`, `LetterClosed`."""
        try:
            parsed = json.loads(value)
        except ValueError as error:
            raise NotJson(str(error)) from error
        if not isinstance(parsed, dict):
            raise NotJson
        letter = await self._open(letter_id)
        action = self._action("edit", letter, reason=reason, value=value)
        await self._audit(action)
        return after(letter, action)

    async def discard(self, letter_id: str, *, reason: str) -> DeadLetter:
        """Close a letter without sending it; it stays readable. Raises `LetterClosed`."""
        letter = await self._open(letter_id)
        action = self._action("discard", letter, reason=reason)
        await self._audit(action)
        return after(letter, action)

    async def redrive(
        self,
        letters: Sequence[DeadLetter],
        *,
        dry_run: bool = False,
        rate_per_s: float | None = None,
        reason: str | None = None,
    ) -> Redriven:
        """Give letters to their groups once more; only open ones are sent.

        rate_per_s: at most so many per second, so that what broke them once can follow.
        """
        chosen = tuple(letter for letter in letters if letter.state == "open")
        if not dry_run:
            await self._check_groups(chosen)
            for number, letter in enumerate(chosen):
                if number and rate_per_s:
                    await self._sleep(1.0 / rate_per_s)
                await self._sender.send([redrive_record(letter)])
                await self._audit(self._action("redrive", letter, reason=reason))
        return Redriven(chosen, dry_run)

    async def _check_groups(self, letters: Sequence[DeadLetter]) -> None:
        known = set(await self._log.topics())
        for group in sorted({letter.group for letter in letters}):
            topic = retries.retry_topic(group, retries.REDRIVE_LEVEL)
            if topic not in known:
                raise BrokerError(f"{group} has no topic {topic}: nobody would read the letters")

    async def _open(self, letter_id: str) -> DeadLetter:
        letter = await self.letter(letter_id)
        if letter.state != "open":
            raise LetterClosed(letter_id=letter_id, state=letter.state)
        return letter

    def _action(
        self,
        verb: Verb,
        letter: DeadLetter,
        *,
        reason: str | None = None,
        value: str | None = None,
    ) -> Action:
        return Action(
            verb=verb,
            letter_id=letter.id,
            group=letter.group,
            letter_offset=letter.offset,
            actor=self._actor,
            at=self._clock.now(),
            reason=reason,
            value=value,
        )

    async def _audit(self, action: Action) -> None:
        await self._topics.ensure_topics([AUDIT_TOPIC])
        await self._sender.send([action.to_record()])
