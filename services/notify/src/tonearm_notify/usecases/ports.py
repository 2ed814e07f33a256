"""What the use cases need from the world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from tonearm_notify.domain.wire import Position, Publication

Transaction = Any
"""An open database transaction; only adapters look inside."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is connected, and until when. `expires_at_s` is Unix time; None never expires."""

    account_id: str
    session_id: str
    expires_at_s: float | None


@dataclass(frozen=True, slots=True)
class Published:
    """A publication with the channel that it is in, as the broker announces it.

    `epoch` lets a replica notice that the channel began anew.
    """

    channel: str
    epoch: str
    publication: Publication
    is_early: bool = False
    """Handed over by the recorder of this process; what the broker says of it is yet to come."""


class Lost(StrEnum):
    """What somebody can lose: the reason that live connections are gone through."""

    SESSION = "session"
    ACCOUNT = "account"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Revocation:
    """A right that ended. `subject` is the id of the session, account or recording."""

    kind: Lost
    subject: str
    account_id: str


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a history. `top` is the position of the whole channel when it was read."""

    top: Position
    publications: Sequence[Publication]


class Histories(Protocol):
    """Reads of what was published."""

    async def load_top(self, channel: str) -> Position:
        """Return where a channel stands; makes the channel (offset 0) where there is none."""
        ...

    async def load_tops(self, channels: Sequence[str]) -> dict[str, Position]:
        """Return where channels stand; channels never written to are left out."""
        ...

    async def load_since(self, channel: str, offset: int, *, limit: int, size_bytes: int) -> Slice:
        """Return the publications after an offset, oldest first, within both limits."""
        ...

    async def load_page(
        self, channel: str, since: int | None, *, limit: int, is_reverse: bool, size_bytes: int
    ) -> Slice:
        """Return a page of history; in reverse, newest first and before `since`."""
        ...


class Owners(Protocol):
    """Who owns which recording."""

    async def find_owner(self, audio_id: str) -> str | None:
        """Return the owner's account id; None when unknown, empty text when deleted."""
        ...

    async def load_deleted(self, audio_ids: Sequence[str]) -> list[Revocation]:
        """Return those of these recordings that are gone."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A publication that has no offset yet: the channel that an event goes to."""

    channel: str
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event with all that is to be written of it. `body` is the CloudEvent as JSON text."""

    event_id: str
    source: str
    type: str
    body: str
    event_at: datetime
    """An aware datetime."""
    entries: Sequence[Entry]
    account_id: str | None
    """Whom it concerns."""
    audio_id: str | None
    traceparent: str | None
    """Of the delivery to webhooks."""
    tells_owner: bool
    """Whether it says that the recording is the account's."""
    is_noted: bool
    """Whether it becomes a notification."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of events."""

    fresh: frozenset[int]
    """Places, in what was given, of the events that had not been recorded before."""
    publications: Sequence[Published]
    """Entries of these events, in their order."""


class Transactions(Protocol):
    """The database as far as the recorder uses it."""

    def begin(self) -> AbstractAsyncContextManager[Transaction]:
        """Run one transaction: commits on leaving, rolls back when an error passes through."""
        ...

    def single(self) -> AbstractAsyncContextManager[Transaction]:
        """Run one statement, which commits by itself."""
        ...


class Journal(Protocol):
    """Writes of the recorder."""

    async def write(self, tx: Transaction, events: Sequence[Told], *, group: str) -> Written:
        """Write events in one statement, but for those that the group's inbox has seen.

        Marks them in the inbox, adds their publications and announces them to all replicas at
        commit, notes owners and notifications, and queues deliveries to webhooks. No event may
        be given twice. Entries of one channel keep their order. Channels are locked in the order
        of their names. A deleted recording stays deleted.
        """
        ...

    async def forget_audio(self, tx: Transaction, audio_id: str, account_id: str) -> None:
        """Close a recording's channel for good."""
        ...

    async def revoke(self, tx: Transaction, revocation: Revocation, *, keep_s: float) -> None:
        """Announce a loss to all replicas at commit, and remember it for `keep_s` seconds."""
        ...

    async def forget_account(self, tx: Transaction, account_id: str) -> None:
        """Delete everything that is held of an account."""
        ...


NowS = Callable[[], float]
"""Monotonic or Unix time in seconds, as the parameter's name says."""
