"""An upload that comes in several requests: how far it is, and what it may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tonearm_ingest.domain.errors import OffsetMismatch, UploadNotFound, UploadOverflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Consecutive bytes of an upload, in an object of their own."""

    offset_bytes: int
    size_bytes: int
    object_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumable:
    """One upload of one account. `audio_id` is there once it is a recording."""

    id: str
    account_id: str
    length_bytes: int
    offset_bytes: int
    filename: str
    metadata: str
    """What the client said of the file, as it said it; told back, never believed."""
    created_at: datetime
    expires_at: datetime
    idempotency_key: str | None = None
    audio_id: str | None = None

    def check_append(self, *, offset_bytes: int, size_bytes: int) -> None:
        """Raise where bytes at this offset do not continue the upload, or go past its end."""
        if offset_bytes != self.offset_bytes:
            raise OffsetMismatch(offset_bytes=self.offset_bytes)
        if offset_bytes + size_bytes > self.length_bytes:
            raise UploadOverflow(length_bytes=self.length_bytes)

    def is_same_file(self, other: Resumable) -> bool:
        """Tell whether both were opened for the same file, as far as it was described."""
        return (self.length_bytes, self.metadata) == (other.length_bytes, other.metadata)


def living(upload: Resumable | None, *, now: datetime) -> Resumable:
    """Return the upload; raise `UploadNotFound` where there is none any more."""
    if upload is None or upload.expires_at <= now:
        raise UploadNotFound
    return upload


def part_key(account_id: str, upload_id: str, part_id: str) -> str:
    """Return where the bytes of one part lie in the object store."""
    return f"accounts/{account_id}/uploads/{upload_id}/{part_id}"
