"""What can be wrong with an upload or a request for a recording. The docstring is the message."""

from __future__ import annotations

from typing import ClassVar

from tonearm_kit.errors import AppError, Kind


class AudioNotFound(AppError):
    """There is no such recording in this account."""

    code: ClassVar[str] = "audio_not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND


class FileTooLarge(AppError):
    """The file is larger than this account may upload."""

    code: ClassVar[str] = "file_too_large"
    kind: ClassVar[Kind] = Kind.TOO_LARGE


class EmptyFile(AppError):
    """The file has no bytes."""

    code: ClassVar[str] = "empty_file"
    kind: ClassVar[Kind] = Kind.INVALID


class NotAudio(AppError):
    """The bytes are not audio, whatever the file is called."""

    code: ClassVar[str] = "not_audio"
    kind: ClassVar[Kind] = Kind.UNSUPPORTED


class UnsupportedAudio(AppError):
    """This audio cannot be read; send wav, flac, mp3, ogg, opus, m4a, aac or aiff."""

    code: ClassVar[str] = "unsupported_audio"
    kind: ClassVar[Kind] = Kind.UNSUPPORTED


class NotMultipart(AppError):
    """Send the file as `multipart/form-data` with a part named `file`."""

    code: ClassVar[str] = "not_multipart"
    kind: ClassVar[Kind] = Kind.UNSUPPORTED


class MalformedMultipart(AppError):
    """The multipart body is broken or ends too early."""

    code: ClassVar[str] = "malformed_multipart"
    kind: ClassVar[Kind] = Kind.MALFORMED


class FileMissing(AppError):
    """The form has no part named `file` with a file name."""

    code: ClassVar[str] = "file_missing"
    kind: ClassVar[Kind] = Kind.INVALID


class UploadStalled(AppError):
    """No bytes came for too long; send the file again."""

    code: ClassVar[str] = "upload_stalled"
    kind: ClassVar[Kind] = Kind.INVALID
    retryable: ClassVar[bool] = True


class UploadLost(AppError):
    """The upload was given up for dead before it was done; send the file again."""

    code: ClassVar[str] = "upload_lost"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    retryable: ClassVar[bool] = True


class TooManyUploads(AppError):
    """Too many uploads run at this moment; try again shortly."""

    code: ClassVar[str] = "too_many_uploads"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    retryable: ClassVar[bool] = True


class FeatureOff(AppError):
    """This feature is not switched on for this account."""

    code: ClassVar[str] = "feature_off"
    kind: ClassVar[Kind] = Kind.FORBIDDEN


class QuotaExceeded(AppError):
    """The plan of this account has no room for this upload."""

    code: ClassVar[str] = "quota_exceeded"
    kind: ClassVar[Kind] = Kind.EXHAUSTED


class EntitlementsUnavailable(AppError):
    """Flags and quota cannot be checked right now, so nothing was accepted; try again shortly."""

    code: ClassVar[str] = "entitlements_unavailable"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    retryable: ClassVar[bool] = True


class StoreUnavailable(AppError):
    """The object store does not answer; try again shortly."""

    code: ClassVar[str] = "store_unavailable"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE
    retryable: ClassVar[bool] = True


class IdempotencyKeyReused(AppError):
    """This Idempotency-Key was used before with another file."""

    code: ClassVar[str] = "idempotency_key_reused"
    kind: ClassVar[Kind] = Kind.INVALID


class RequestStillRunning(AppError):
    """The first request with this Idempotency-Key is still running."""

    code: ClassVar[str] = "request_still_running"
    kind: ClassVar[Kind] = Kind.CONFLICT
    retryable: ClassVar[bool] = True


class InvalidCursor(AppError):
    """The cursor is not one that this list gave out."""

    code: ClassVar[str] = "invalid_cursor"
    kind: ClassVar[Kind] = Kind.INVALID


class AccountGone(AppError):
    """This account has been deleted."""

    code: ClassVar[str] = "account_gone"
    kind: ClassVar[Kind] = Kind.FORBIDDEN


class DownloadUnavailable(AppError):
    """The bytes of this recording are not in the store."""

    code: ClassVar[str] = "download_unavailable"
    kind: ClassVar[Kind] = Kind.NOT_FOUND


class UploadNotFound(AppError):
    """There is no such upload in this account, or it has expired."""

    code: ClassVar[str] = "upload_not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND


class OffsetMismatch(AppError):
    """The bytes do not continue the upload; ask for its offset with HEAD."""

    code: ClassVar[str] = "upload_offset_mismatch"
    kind: ClassVar[Kind] = Kind.CONFLICT


class UploadLocked(AppError):
    """Another request is sending bytes of this upload; try again shortly."""

    code: ClassVar[str] = "upload_locked"
    kind: ClassVar[Kind] = Kind.CONFLICT
    retryable: ClassVar[bool] = True
    http_status: ClassVar[int | None] = 423


class UploadOverflow(AppError):
    """The bytes go past the end of the upload."""

    code: ClassVar[str] = "upload_overflow"
    kind: ClassVar[Kind] = Kind.MALFORMED


class UploadBrokenOff(AppError):
    """The body ended too early; ask for the offset with HEAD and go on from there."""

    code: ClassVar[str] = "upload_broken_off"
    kind: ClassVar[Kind] = Kind.MALFORMED
    retryable: ClassVar[bool] = True


class TooManyParts(AppError):
    """The upload came in too many parts; open another one and send it in larger ones."""

    code: ClassVar[str] = "too_many_parts"
    kind: ClassVar[Kind] = Kind.INVALID


class UnfinishedUploadsFull(AppError):
    """This account has too many unfinished uploads, or too many bytes in them."""

    code: ClassVar[str] = "unfinished_uploads_full"
    kind: ClassVar[Kind] = Kind.EXHAUSTED


class PartialNotFound(AppError):
    """A partial upload of the list is not in this account, or it has expired or was given up."""

    code: ClassVar[str] = "partial_upload_not_found"
    kind: ClassVar[Kind] = Kind.INVALID


class PartialUnfinished(AppError):
    """A partial upload of the list does not have all of its bytes yet."""

    code: ClassVar[str] = "partial_upload_unfinished"
    kind: ClassVar[Kind] = Kind.CONFLICT


class NotPartial(AppError):
    """An upload of the list was not opened with `Upload-Concat: partial`."""

    code: ClassVar[str] = "not_a_partial_upload"
    kind: ClassVar[Kind] = Kind.INVALID


class FinalUpload(AppError):
    """A final upload is made of partial ones and takes no bytes itself."""

    code: ClassVar[str] = "upload_is_final"
    kind: ClassVar[Kind] = Kind.FORBIDDEN


class ChecksumMismatch(AppError):
    """The bytes do not have the checksum that came with them; they were discarded."""

    code: ClassVar[str] = "checksum_mismatch"
    kind: ClassVar[Kind] = Kind.INVALID
    http_status: ClassVar[int | None] = 460


class ChecksumUnsupported(AppError):
    """`Upload-Checksum` takes `sha1` or `sha256` and the digest in base64."""

    code: ClassVar[str] = "checksum_unsupported"
    kind: ClassVar[Kind] = Kind.MALFORMED


class TusVersionUnsupported(AppError):
    """Say `Tus-Resumable: 1.0.0`."""

    code: ClassVar[str] = "tus_version_unsupported"
    kind: ClassVar[Kind] = Kind.PRECONDITION


class NotOffsetStream(AppError):
    """Send the bytes as `application/offset+octet-stream`."""

    code: ClassVar[str] = "not_offset_stream"
    kind: ClassVar[Kind] = Kind.UNSUPPORTED


class TusHeaderInvalid(AppError):
    """A header of the upload is missing or malformed."""

    code: ClassVar[str] = "tus_header_invalid"
    kind: ClassVar[Kind] = Kind.MALFORMED
