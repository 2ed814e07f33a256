"""An upload that comes in several requests: how far it is, and what it may take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from tonearm_ingest.domain.errors import (
    FinalUpload,
    OffsetMismatch,
    UploadNotFound,
    UploadOverflow,
)

PARTIAL: Final = "partial"
"""`Resumable.concat` of an upload that is a piece of a file and never a recording itself."""


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
    concat: str | None = None
    """What the client said of its part in a concatenation, as it said it; None for none."""
    partials_sha256: str | None = None
    """Of a final upload: the pieces that it was made of."""

    @property
    def is_partial(self) -> bool:
        """Tell whether it is a piece of a file."""
        return self.concat == PARTIAL

    def finished(self, audio_id: str) -> Self:
        """Return the same, whole and a recording."""
        return replace(self, offset_bytes=self.length_bytes, audio_id=audio_id)

    def check_append(self, *, offset_bytes: int, size_bytes: int) -> None:
        """Raise where bytes at this offset do not continue the upload, or go past its end."""
        if self.partials_sha256 is not None:
            raise FinalUpload
        if offset_bytes != self.offset_bytes:
            raise OffsetMismatch(offset_bytes=self.offset_bytes)
        if offset_bytes + size_bytes > self.length_bytes:
            raise UploadOverflow(length_bytes=self.length_bytes)

    def is_same_file(self, other: Resumable) -> bool:
        """Tell whether both were opened for the same file, as far as it was described."""
        described = (self.length_bytes, self.metadata, self.concat)
        return described == (other.length_bytes, other.metadata, other.concat)


def living(upload: Resumable | None, *, now: datetime) -> Resumable:
    """Return the upload; raise `UploadNotFound` where there is none any more."""
    if upload is None or upload.expires_at <= now:
        raise UploadNotFound
    return upload


def part_key(account_id: str, upload_id: str, part_id: str) -> str:
    """Return where the bytes of one part lie in the object store."""
    return f"accounts/{account_id}/uploads/{upload_id}/{part_id}"
