"""What `/v1/uploads` says of itself in OpenAPI."""

from __future__ import annotations

from typing import Any

from tonearm_ingest.domain.errors import (
    AccountGone,
    ChecksumMismatch,
    ChecksumUnsupported,
    EmptyFile,
    EntitlementsUnavailable,
    FeatureOff,
    FileTooLarge,
    FinalUpload,
    IdempotencyKeyReused,
    NotAudio,
    NotOffsetStream,
    NotPartial,
    OffsetMismatch,
    PartialNotFound,
    PartialUnfinished,
    QuotaExceeded,
    RequestStillRunning,
    StoreUnavailable,
    TooManyParts,
    TooManyUploads,
    TusHeaderInvalid,
    TusVersionUnsupported,
    UnfinishedUploadsFull,
    UnsupportedAudio,
    UploadBrokenOff,
    UploadLocked,
    UploadLost,
    UploadNotFound,
    UploadOverflow,
    UploadStalled,
)
from tonearm_ingest.entrypoints.tus_headers import (
    CONCAT_CHARS_MAX,
    CONTENT_TYPE,
    METADATA_CHARS_MAX,
)
from tonearm_kit.http import problems
from tonearm_kit.idempotency import IdempotencyKeyMalformed

_BYTES = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}


def _header(
    name: str, schema: dict[str, Any], description: str, *, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "schema": schema,
        "description": description,
    }


_VERSION = _header(
    "Tus-Resumable",
    {"type": "string", "default": "1.0.0"},
    "`1.0.0`. The protocol demands 412 where it is missing, so it cannot be described as required.",
)
_OFFSET = _header("Upload-Offset", _BYTES, "Where these bytes begin.", required=True)
_CHECKSUM = _header(
    "Upload-Checksum",
    {"type": "string", "pattern": "^(sha1 [A-Za-z0-9+/]{27}=|sha256 [A-Za-z0-9+/]{43}=)$"},
    "`sha1` or `sha256` and the digest of this body in base64; where it differs nothing is kept.",
)
_METADATA = _header(
    "Upload-Metadata",
    {"type": "string", "maxLength": METADATA_CHARS_MAX},
    "Pairs of a key and a base64 value, with commas between; `filename` is the file's name.",
)
# Either Upload-Length or Upload-Defer-Length, which a description of parameters cannot say.
_LENGTH = _header(
    "Upload-Length",
    _BYTES,
    "Size of the file or, for a partial upload, of the piece; not for a final one. Where it comes"
    " later, with other bytes, `Upload-Defer-Length: 1` in its place.",
)
_LENGTH_NOW = _header(
    "Upload-Length", _BYTES, "Size of the whole, with the bytes at which it is known."
)
_CONCAT = _header(
    "Upload-Concat",
    {"type": "string", "pattern": "^(partial|final;.+)$", "maxLength": CONCAT_CHARS_MAX},
    "`partial` for a piece of a file; `final;` and the addresses of whole pieces, with spaces"
    " between, to make the recording of them.",
)
_KEY = _header(
    "Idempotency-Key", {"type": "string"}, "A repeated creation answers with the same upload."
)
_METHOD = _header(
    "X-HTTP-Method-Override",
    {"type": "string", "enum": ["PATCH", "DELETE", "HEAD"]},
    "The method that is meant.",
    required=True,
)
_OFFSET_ANYWAY = {**_OFFSET, "required": False}


def _body(*, required: bool) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": required, "content": {CONTENT_TYPE: {"schema": schema}}}}


_OF_ONE = (TusVersionUnsupported, UploadNotFound)
_OF_BYTES = (
    TusVersionUnsupported,
    TusHeaderInvalid,
    ChecksumUnsupported,
    UploadBrokenOff,
    UploadOverflow,
    FeatureOff,
    AccountGone,
    UploadNotFound,
    OffsetMismatch,
    FileTooLarge,
    NotOffsetStream,
    NotAudio,
    UnsupportedAudio,
    EmptyFile,
    UploadStalled,
    TooManyParts,
    UploadLocked,
    QuotaExceeded,
    ChecksumMismatch,
    EntitlementsUnavailable,
    StoreUnavailable,
    TooManyUploads,
    UploadLost,
)

OPTIONS: dict[str, Any] = {
    "responses": {204: {"description": "What this server can do, in the `Tus-` headers."}}
}
OPENING: dict[str, Any] = {
    "openapi_extra": {
        "parameters": [_VERSION, _LENGTH, _CONCAT, _METADATA, _CHECKSUM, _KEY],
        **_body(required=False),
    },
    "responses": {
        201: {"description": "`Location` is the upload; `Upload-Offset` how much of it came."},
        **problems(
            *_OF_BYTES,
            IdempotencyKeyMalformed,
            IdempotencyKeyReused,
            RequestStillRunning,
            UnfinishedUploadsFull,
            PartialNotFound,
            PartialUnfinished,
            NotPartial,
        ),
    },
}
APPENDING: dict[str, Any] = {
    "openapi_extra": {
        "parameters": [_VERSION, _OFFSET, _LENGTH_NOW, _CHECKSUM],
        **_body(required=True),
    },
    "responses": {
        204: {
            "description": "The bytes are kept up to `Upload-Offset`; with the last ones,"
            " `Tonearm-Audio-Id` is the recording."
        },
        **problems(*_OF_BYTES, FinalUpload),
    },
}
READING: dict[str, Any] = {
    "openapi_extra": {"parameters": [_VERSION]},
    "responses": problems(*_OF_ONE),
}
TUNNELLED: dict[str, Any] = {
    "openapi_extra": {
        "parameters": [_VERSION, _METHOD, _OFFSET_ANYWAY, _LENGTH_NOW, _CHECKSUM],
        **_body(required=False),
    },
    "responses": {
        200: {"description": "As HEAD."},
        204: {"description": "As PATCH or DELETE."},
        **problems(*_OF_BYTES, FinalUpload),
    },
}
