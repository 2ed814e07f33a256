"""What the use cases need from the world. Adapters and fakes satisfy these by shape."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tonearm_contracts.envelope import EventData
from tonearm_ingest.domain.audio import Audio, Properties, Status
from tonearm_ingest.domain.resumable import Part, Resumable


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose request this is, as the verified token says."""

    account_id: str
    plan: str
    is_beta: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LooseObject:
    """An object in the store that no recording owns: not yet, or not any more.

    Whoever writes or abandons bytes leaves this note first; what is still noted at `sweep_after`
    is removed. A running upload keeps moving that time, so a crash at any point leaves nothing
    behind for long, and frees its idempotency key as soon.
    """

    object_key: str
    account_id: str
    sweep_after: datetime
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """What one upload takes from the plan."""

    account_id: str
    audio_id: str
    size_bytes: int
    duration_s: float


class AudioRows(Protocol):
    """The recordings, inside one transaction."""

    async def add(self, audio: Audio) -> None:
        """Store a new recording; raises `AccountGone` where the account was deleted."""

    async def find(self, audio_id: str, *, account_id: str) -> Audio | None:
        """Return the recording if it is this account's."""

    async def find_for_update(self, audio_id: str) -> Audio | None:
        """Return the recording, whoever owns it, and keep others from changing it meanwhile."""

    async def find_by_idempotency_key(self, key: str, *, account_id: str) -> Audio | None:
        """Return what an earlier upload with this key made."""

    async def page(
        self, *, account_id: str, before_id: str | None, status: Status | None, limit: int
    ) -> Sequence[Audio]:
        """Return up to `limit` recordings, newest first, older than `before_id`."""

    async def save(self, audio: Audio) -> None:
        """Write what may change: status, failure, summary and their times."""

    async def remove(self, audio: Audio, *, at: datetime) -> None:
        """Delete the row and remember for a while that it was there."""

    async def was_removed(self, audio_id: str, *, account_id: str) -> bool:
        """Tell whether this account deleted such a recording not long ago."""

    async def forget_removed(self, *, before: datetime) -> int:
        """Drop the memory of deletions older than `before`."""

    async def close_account(self, account_id: str) -> None:
        """Let no further recording into this account, in this and every later transaction."""

    async def of_account(self, account_id: str, *, limit: int) -> Sequence[Audio]:
        """Return up to `limit` recordings of the account, for removal."""


class LooseObjects(Protocol):
    """The notes on ownerless objects, inside one transaction."""

    async def note(self, loose: LooseObject, *, now: datetime) -> bool:
        """Write the note; False where another upload with the same idempotency key is running.

        One whose time has come is not running any more, and its key is taken over.
        """

    async def drop(self, object_key: str) -> bool:
        """Remove the note: the object has an owner now, or is gone. False: it was not there."""

    async def take_due(self, *, now: datetime, limit: int) -> Sequence[LooseObject]:
        """Return notes on objects to remove, oldest first, locked until the transaction ends."""

    async def postpone(self, object_key: str, *, until: datetime) -> None:
        """Move the time of a note, if it is still there."""


class Resumables(Protocol):
    """Resumable uploads and where their bytes lie, inside one transaction."""

    async def add(self, upload: Resumable) -> None:
        """Store a new upload; raises `AccountGone` where the account was deleted.

        Raises `RequestStillRunning` where another one with the same idempotency key, or of the
        same partial uploads, came meanwhile.
        """

    async def find_by_idempotency_key(self, key: str, *, account_id: str) -> Resumable | None:
        """Return what an earlier creation with this key made, even if it has expired."""

    async def find_by_partials(self, partials_sha256: str, *, account_id: str) -> Resumable | None:
        """Return the final upload that was made of these partial ones, even if it has expired."""

    async def open_in_account(self, account_id: str) -> tuple[int, int]:
        """Return how many uploads of the account are unfinished, and their lengths' sum in bytes.

        Nobody else may open one in this account until the transaction ends.
        """

    async def find(self, upload_id: str) -> Resumable | None:
        """Return the upload, whoever owns it and even if it has expired."""

    async def find_for_update(self, upload_id: str) -> Resumable | None:
        """Return the same, and keep others from changing it until the transaction ends."""

    async def hold(self, upload_id: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Let only `holder` add bytes until then; False where another one may, or all is gone.

        Who holds it already goes on holding it.
        """

    async def release(self, upload_id: str, holder: str) -> None:
        """Let everybody add bytes again, if this one holds the upload."""

    async def set_length(self, upload_id: str, length_bytes: int) -> None:
        """Write the length of an upload for which it was deferred."""

    async def append(self, upload_id: str, part: Part) -> None:
        """Add the part that comes next, and move the offset behind it."""

    async def parts(self, upload_id: str) -> Sequence[Part]:
        """Return the parts in the order of their bytes."""

    async def finish(self, upload_id: str, *, audio_id: str) -> None:
        """Make the upload whole: nothing is left to send, its parts are forgotten."""

    async def remove(self, upload_id: str) -> None:
        """Delete the upload and its list of parts."""

    async def take_expired(self, *, now: datetime, limit: int) -> Sequence[Resumable]:
        """Return uploads whose time is over, locked; those that others hold are passed over."""

    async def of_account(self, account_id: str, *, limit: int) -> Sequence[Resumable]:
        """Return up to `limit` uploads of the account, locked, for removal."""


class Events(Protocol):
    """The outbox of the transaction."""

    async def add(
        self, event: EventData, *, topic: str | None = None, correlation_id: str | None = None
    ) -> None:
        """Publish `event` if and when the transaction commits."""


class Transaction(Protocol):
    """Everything that one transaction can change."""

    @property
    def audio(self) -> AudioRows:
        """The recordings."""

    @property
    def loose(self) -> LooseObjects:
        """The notes on ownerless objects."""

    @property
    def resumable(self) -> Resumables:
        """Resumable uploads."""

    @property
    def events(self) -> Events:
        """The outbox."""


Begin = Callable[[], AbstractAsyncContextManager[Transaction]]
"""Opens a transaction that commits when its block ends well."""


class Blobs(Protocol):
    """The object store."""

    async def save(self, object_key: str, chunks: AsyncIterable[bytes]) -> None:
        """Write all chunks as one object, which appears whole or not at all.

        Holds a bounded number of bytes. An error of `chunks` passes through, and the object
        does not appear. Raises `StoreUnavailable`.
        """

    async def delete(self, object_key: str) -> None:
        """Remove the object; a missing one is fine. Raises `StoreUnavailable`."""

    def read(self, object_key: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Give the bytes [start, end) in pieces. Raises `DownloadUnavailable` for a missing one."""


class Entitlements(Protocol):
    """What an account may do. Every method raises `EntitlementsUnavailable` when in doubt."""

    async def flags(self, caller: Caller) -> frozenset[str]:
        """Return the keys of the features that are on for this account."""

    async def size_bytes_max(self, caller: Caller, *, size_bytes: int) -> int | None:
        """Return the largest file of the plan, None for no limit.

        Raises `QuotaExceeded` where an upload of `size_bytes` would not fit; takes nothing.
        """

    async def reserve(self, wanted: Reserve) -> str:
        """Take the use from the plan until it is settled; returns the reservation's id.

        The same `audio_id` always gives the same reservation. Raises `QuotaExceeded`.
        """


class Prober(Protocol):
    """Reads the header of a stored file, out of harm's way."""

    async def probe(self, object_key: str, *, size_bytes: int, format: str) -> Properties:
        """Return what the header tells; only `format` is sure to be there.

        Raises `NotAudio` where there is no audio in it, `UnsupportedAudio` where we do not read
        its codec or nobody can open it.
        """
