"""The world of the use cases in memory, with transactions that really roll back."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from tonearm_contracts.envelope import EventData
from tonearm_ingest.domain.audio import Audio, Properties, Status
from tonearm_ingest.domain.errors import (
    AccountGone,
    DownloadUnavailable,
    RequestStillRunning,
    StoreUnavailable,
)
from tonearm_ingest.domain.resumable import Part, Resumable
from tonearm_ingest.usecases.ports import Caller, LooseObject, Reserve, Transaction


@dataclass
class Tables:
    audio: dict[str, Audio] = field(default_factory=dict)
    loose: dict[str, LooseObject] = field(default_factory=dict)
    uploads: dict[str, Resumable] = field(default_factory=dict)
    parts: dict[str, list[Part]] = field(default_factory=dict)
    holders: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    removed: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    events: list[tuple[str, EventData]] = field(default_factory=list)


class FakeAudioRows:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, audio: Audio) -> None:
        if audio.account_id in self._tables.closed:
            raise AccountGone
        for other in self._tables.audio.values():
            same_key = other.idempotency_key == audio.idempotency_key is not None
            if same_key and other.account_id == audio.account_id:
                raise RequestStillRunning
        self._tables.audio[audio.id] = audio

    async def find(self, audio_id: str, *, account_id: str) -> Audio | None:
        found = self._tables.audio.get(audio_id)
        return found if found and found.account_id == account_id else None

    async def find_for_update(self, audio_id: str) -> Audio | None:
        return self._tables.audio.get(audio_id)

    async def find_by_idempotency_key(self, key: str, *, account_id: str) -> Audio | None:
        for audio in self._tables.audio.values():
            if audio.idempotency_key == key and audio.account_id == account_id:
                return audio
        return None

    async def page(
        self, *, account_id: str, before_id: str | None, status: Status | None, limit: int
    ) -> Sequence[Audio]:
        found = [
            audio
            for audio in self._tables.audio.values()
            if audio.account_id == account_id
            and (before_id is None or audio.id < before_id)
            and (status is None or audio.status is status)
        ]
        return sorted(found, key=lambda audio: audio.id, reverse=True)[:limit]

    async def save(self, audio: Audio) -> None:
        self._tables.audio[audio.id] = audio

    async def remove(self, audio: Audio, *, at: datetime) -> None:
        self._tables.audio.pop(audio.id, None)
        self._tables.removed.setdefault(audio.id, (audio.account_id, at))

    async def was_removed(self, audio_id: str, *, account_id: str) -> bool:
        return self._tables.removed.get(audio_id, ("", None))[0] == account_id

    async def forget_removed(self, *, before: datetime) -> int:
        old = [key for key, (_, at) in self._tables.removed.items() if at < before]
        for key in old:
            del self._tables.removed[key]
        return len(old)

    async def close_account(self, account_id: str) -> None:
        self._tables.closed.add(account_id)

    async def of_account(self, account_id: str, *, limit: int) -> Sequence[Audio]:
        found = [a for a in self._tables.audio.values() if a.account_id == account_id]
        return sorted(found, key=lambda audio: audio.id)[:limit]


class FakeLooseObjects:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def note(self, loose: LooseObject, *, now: datetime) -> bool:
        for key, other in list(self._tables.loose.items()):
            if other.sweep_after <= now and other.account_id == loose.account_id:
                self._tables.loose[key] = replace(other, idempotency_key=None)
        for other in self._tables.loose.values():
            same_key = other.idempotency_key == loose.idempotency_key is not None
            if other.object_key == loose.object_key or (
                same_key and other.account_id == loose.account_id
            ):
                return False
        self._tables.loose[loose.object_key] = loose
        return True

    async def drop(self, object_key: str) -> bool:
        return self._tables.loose.pop(object_key, None) is not None

    async def take_due(self, *, now: datetime, limit: int) -> Sequence[LooseObject]:
        due = [loose for loose in self._tables.loose.values() if loose.sweep_after <= now]
        return sorted(due, key=lambda loose: loose.sweep_after)[:limit]

    async def postpone(self, object_key: str, *, until: datetime) -> None:
        if object_key in self._tables.loose:
            old = self._tables.loose[object_key]
            self._tables.loose[object_key] = replace(old, sweep_after=until)


class FakeResumables:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, upload: Resumable) -> None:
        if upload.account_id in self._tables.closed:
            raise AccountGone
        for other in self._tables.uploads.values():
            is_same = other.idempotency_key == upload.idempotency_key is not None or (
                other.partials_sha256 == upload.partials_sha256 is not None
            )
            if is_same and other.account_id == upload.account_id:
                raise RequestStillRunning
        self._tables.uploads[upload.id] = upload

    async def find_by_idempotency_key(self, key: str, *, account_id: str) -> Resumable | None:
        for upload in self._tables.uploads.values():
            if (upload.idempotency_key, upload.account_id) == (key, account_id):
                return upload
        return None

    async def find_by_partials(self, partials_sha256: str, *, account_id: str) -> Resumable | None:
        for upload in self._tables.uploads.values():
            if (upload.partials_sha256, upload.account_id) == (partials_sha256, account_id):
                return upload
        return None

    async def open_in_account(self, account_id: str) -> tuple[int, int]:
        lengths = [
            upload.length_bytes
            for upload in self._tables.uploads.values()
            if upload.account_id == account_id and upload.audio_id is None
        ]
        return len(lengths), sum(lengths)

    async def find(self, upload_id: str) -> Resumable | None:
        return self._tables.uploads.get(upload_id)

    async def find_for_update(self, upload_id: str) -> Resumable | None:
        return self._tables.uploads.get(upload_id)

    async def hold(self, upload_id: str, holder: str, *, now: datetime, until: datetime) -> bool:
        if upload_id not in self._tables.uploads:
            return False
        other, other_until = self._tables.holders.get(upload_id, (holder, now))
        if other != holder and other_until > now:
            return False
        self._tables.holders[upload_id] = (holder, until)
        return True

    async def release(self, upload_id: str, holder: str) -> None:
        if self._tables.holders.get(upload_id, ("", None))[0] == holder:
            del self._tables.holders[upload_id]

    async def set_length(self, upload_id: str, length_bytes: int) -> None:
        self._tables.uploads[upload_id] = replace(
            self._tables.uploads[upload_id], length_bytes=length_bytes, is_length_deferred=False
        )

    async def append(self, upload_id: str, part: Part) -> None:
        self._tables.parts.setdefault(upload_id, []).append(part)
        end_bytes = part.offset_bytes + part.size_bytes
        upload = self._tables.uploads[upload_id]
        self._tables.uploads[upload_id] = replace(upload, offset_bytes=end_bytes)

    async def parts(self, upload_id: str) -> Sequence[Part]:
        return list(self._tables.parts.get(upload_id, ()))

    async def finish(self, upload_id: str, *, audio_id: str) -> None:
        upload = self._tables.uploads[upload_id]
        self._tables.uploads[upload_id] = replace(
            upload, offset_bytes=upload.length_bytes, audio_id=audio_id
        )
        self._tables.parts.pop(upload_id, None)

    async def remove(self, upload_id: str) -> None:
        self._tables.uploads.pop(upload_id, None)
        self._tables.parts.pop(upload_id, None)
        self._tables.holders.pop(upload_id, None)

    async def take_expired(self, *, now: datetime, limit: int) -> Sequence[Resumable]:
        due = [each for each in self._tables.uploads.values() if each.expires_at <= now]
        return sorted(due, key=lambda upload: upload.expires_at)[:limit]

    async def of_account(self, account_id: str, *, limit: int) -> Sequence[Resumable]:
        found = [each for each in self._tables.uploads.values() if each.account_id == account_id]
        return sorted(found, key=lambda upload: upload.id)[:limit]


class FakeEvents:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(
        self, event: EventData, *, topic: str | None = None, correlation_id: str | None = None
    ) -> None:
        self._tables.events.append((topic or event.TOPIC, event))


class FakeTransaction:
    def __init__(self, tables: Tables) -> None:
        self.audio = FakeAudioRows(tables)
        self.loose = FakeLooseObjects(tables)
        self.resumable = FakeResumables(tables)
        self.events = FakeEvents(tables)


class FakeLibrary:
    """Port `Begin`: a transaction works on a copy, which becomes the truth when it ends well."""

    def __init__(self) -> None:
        self.tables = Tables()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        working = copy.deepcopy(self.tables)
        yield FakeTransaction(working)
        self.tables = working

    @property
    def rows(self) -> list[Audio]:
        return list(self.tables.audio.values())

    @property
    def event_types(self) -> list[str]:
        return [type(event).__name__ for _, event in self.tables.events]


class FakeBlobs:
    """Port `Blobs`. With `is_down` every call fails."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.is_down = False

    async def save(self, object_key: str, chunks: AsyncIterable[bytes]) -> None:
        if self.is_down:
            raise StoreUnavailable
        collected = b"".join([chunk async for chunk in chunks])
        self.objects[object_key] = collected

    async def delete(self, object_key: str) -> None:
        if self.is_down:
            raise StoreUnavailable
        self.objects.pop(object_key, None)

    async def read(self, object_key: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        if self.is_down:
            raise StoreUnavailable
        if object_key not in self.objects:
            raise DownloadUnavailable
        piece = self.objects[object_key][start:end]
        for offset in range(0, len(piece), 1000):
            yield piece[offset : offset + 1000]


class FakeEntitlements:
    """Port `Entitlements`. Set `error` to have every call refused with it."""

    def __init__(self) -> None:
        self.on = {"audio-upload", "audio-analysis", "audio-download"}
        self.largest_bytes: int | None = None
        self.error: Exception | None = None
        self.reserve_error: Exception | None = None
        self.reserved: list[Reserve] = []

    async def flags(self, caller: Caller) -> frozenset[str]:
        if self.error:
            raise self.error
        return frozenset(self.on)

    async def size_bytes_max(self, caller: Caller, *, size_bytes: int) -> int | None:
        if self.error:
            raise self.error
        return self.largest_bytes

    async def reserve(self, wanted: Reserve) -> str:
        if self.error or self.reserve_error:
            raise self.error or self.reserve_error or RuntimeError
        self.reserved.append(wanted)
        return f"reservation of {wanted.audio_id}"


class FakeProber:
    """Port `Prober`: says what it was told to say."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.duration_s: float | None = 2.5

    async def probe(self, object_key: str, *, size_bytes: int, format: str) -> Properties:
        if self.error:
            raise self.error
        return Properties(format=format, codec=format, duration_s=self.duration_s)
