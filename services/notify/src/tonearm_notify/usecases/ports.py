"""What the use cases need from the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """A publication that has no offset yet. `body` is JSON text, `event_at` an aware datetime."""

    channel: str
    event_id: str
    body: str
    event_at: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """An event that concerns an account. `body` is the CloudEvent as JSON text."""

    account_id: str
    audio_id: str | None
    event_id: str
    type: str
    body: str
    event_at: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of entries."""

    offsets: Sequence[int]
    """In the order of the entries."""
    is_awaited: bool
    """Whether any of the accounts asked about has an active webhook."""


class Journal(Protocol):
    """Writes of the recorder, all inside the caller's transaction."""

    async def append(
        self,
        tx: Transaction,
        entries: Sequence[Entry],
        *,
        owners: Mapping[str, str],
        accounts: Sequence[str],
    ) -> Appended:
        """Add publications and announce them to all replicas at commit.

        Entries of one channel keep their order. Channels are locked in the order of their names.
        `owners`, recording to account, is noted as well; a deleted recording stays deleted.
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
