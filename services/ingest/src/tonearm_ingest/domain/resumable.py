"""An upload that comes in several requests: how far it is, and what it may take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from tonearm_ingest.domain.errors import (
    EmptyFile,
    FileTooLarge,
    FinalUpload,
    OffsetMismatch,
    TusHeaderInvalid,
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
    is_length_deferred: bool = False
    """The client has yet to say how many bytes come; until then `length_bytes` is the most."""

    @property
    def is_partial(self) -> bool:
        """Tell whether it is a piece of a file."""
        return self.concat == PARTIAL

    @property
    def is_whole(self) -> bool:
        """Tell whether every byte is there."""
        return not self.is_length_deferred and self.offset_bytes == self.length_bytes

    def with_length(self, length_bytes: int) -> Self:
        """Return the same with the length that is told now; raise where it cannot be that."""
        if not self.is_length_deferred:
            if length_bytes != self.length_bytes:
                raise TusHeaderInvalid("Upload-Length was told before, and not this one.")
            return self
        if length_bytes == 0:
            raise EmptyFile
        if length_bytes > self.length_bytes:
            raise self.overflow()
        if length_bytes < self.offset_bytes:
            raise UploadOverflow(length_bytes=length_bytes)
        return replace(self, length_bytes=length_bytes, is_length_deferred=False)

    def overflow(self) -> FileTooLarge | UploadOverflow:
        """Return what is wrong with bytes past the end."""
        if self.is_length_deferred:
            return FileTooLarge(size_bytes_max=self.length_bytes)
        return UploadOverflow(length_bytes=self.length_bytes)

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
            raise self.overflow()

    def is_same_file(self, other: Resumable) -> bool:
        """Tell whether the other one asks for this file, as far as it is described."""
        is_same_length = other.is_length_deferred or (
            (self.length_bytes, self.is_length_deferred) == (other.length_bytes, False)
        )
        return is_same_length and (self.metadata, self.concat) == (other.metadata, other.concat)


def living(upload: Resumable | None, *, now: datetime) -> Resumable:
    """Return the upload; raise `UploadNotFound` where there is none any more."""
    if upload is None or upload.expires_at <= now:
        raise UploadNotFound
    return upload


def part_key(account_id: str, upload_id: str, part_id: str) -> str:
    """Return where the bytes of one part lie in the object store."""
    return f"accounts/{account_id}/uploads/{upload_id}/{part_id}"
