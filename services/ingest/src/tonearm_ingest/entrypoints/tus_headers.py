"""The headers of tus 1.0.0, read. What is missing or malformed raises `TusHeaderInvalid`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tonearm_ingest.domain.errors import (
    ChecksumUnsupported,
    NotOffsetStream,
    TusHeaderInvalid,
)
from tonearm_ingest.domain.resumable import PARTIAL
from tonearm_ingest.usecases.append_bytes import CHECKSUMS, Checksum

CONTENT_TYPE = "application/offset+octet-stream"
METADATA_CHARS_MAX = 4096
CONCAT_CHARS_MAX = 8192
PREFIX = "/v1/uploads"
ID = re.compile(r"^[0-9A-Za-z-]{1,64}$")
_NUMBER = re.compile(r"^[0-9]{1,18}$", re.ASCII)
_METADATA_KEY = re.compile(r"^[!-+\--~]{1,128}$")


def upload_length(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes the file has, None where the client says it later."""
    if "upload-defer-length" in headers:
        if headers["upload-defer-length"] != "1" or "upload-length" in headers:
            raise TusHeaderInvalid("Upload-Defer-Length must be 1, without Upload-Length.")
        return None
    if "upload-length" not in headers:
        raise TusHeaderInvalid(
            "Say the size of the file in Upload-Length, or that it comes later:"
            " Upload-Defer-Length: 1."
        )
    return _number(headers, "upload-length")


def told_length(headers: Mapping[str, str]) -> int | None:
    """Return the length that comes with bytes, None where none does."""
    return _number(headers, "upload-length") if "upload-length" in headers else None


def upload_offset(headers: Mapping[str, str]) -> int:
    """Return where the bytes of the request begin."""
    return _number(headers, "upload-offset")


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes the request says that it has."""
    told = headers.get("content-length", "")
    return int(told) if _NUMBER.match(told) else None


def _number(headers: Mapping[str, str], name: str) -> int:
    value = headers.get(name, "")
    if not _NUMBER.match(value):
        raise TusHeaderInvalid(f"{name.title()} must be a whole number of bytes.")
    return int(value)


def require_offset_stream(headers: Mapping[str, str]) -> None:
    """Raise `NotOffsetStream` where the body is of another type."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise NotOffsetStream


def metadata(headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return `Upload-Metadata` as it was said, and what it says."""
    said = headers.get("upload-metadata", "").strip()
    if len(said) > METADATA_CHARS_MAX:
        raise TusHeaderInvalid(f"Upload-Metadata has over {METADATA_CHARS_MAX} characters.")
    _require_plain(said, "Upload-Metadata")
    pairs: dict[str, str] = {}
    for pair in said.split(",") if said else ():
        key, _, value = pair.strip().partition(" ")
        if not _METADATA_KEY.match(key) or key in pairs:
            raise TusHeaderInvalid("Upload-Metadata has an empty, odd or repeated key.")
        pairs[key] = _decode(value.strip(), "Upload-Metadata").decode("utf-8", "replace")
    return said, pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat:
    """`Upload-Concat`. `partial_ids` is None for a partial upload, else what a final one joins."""

    said: str
    partial_ids: tuple[str, ...] | None


def concat(headers: Mapping[str, str]) -> Concat | None:
    """Return which part an upload has in a concatenation, None for none."""
    if "upload-concat" not in headers:
        return None
    said = headers["upload-concat"].strip()
    if said == PARTIAL:
        return Concat(said=said, partial_ids=None)
    kind, _, urls = said.partition(";")
    if kind != "final" or len(said) > CONCAT_CHARS_MAX:
        raise TusHeaderInvalid(
            "Upload-Concat must be `partial`, or `final;` and the addresses of partial uploads"
            f" with spaces between, {CONCAT_CHARS_MAX} characters in all."
        )
    _require_plain(said, "Upload-Concat")
    ids = tuple(_upload_id(url) for url in urls.split())
    if not ids or len(set(ids)) < len(ids):
        raise TusHeaderInvalid("Upload-Concat names no upload, or one twice.")
    if "upload-length" in headers or "upload-defer-length" in headers:
        raise TusHeaderInvalid("A final upload has the length of its pieces: no Upload-Length.")
    return Concat(said=said, partial_ids=ids)


def _require_plain(said: str, name: str) -> None:
    """Raise where a value could not be told back in a header."""
    if not (said.isascii() and said.isprintable()):
        raise TusHeaderInvalid(f"{name} has characters that are not printable ASCII.")


def _upload_id(url: str) -> str:
    """Return the id in the address of an upload; scheme and host are not looked at."""
    try:
        folder, _, upload_id = urlsplit(url).path.rpartition("/")
    except ValueError:
        folder, upload_id = "", ""
    if folder != PREFIX or not ID.match(upload_id):
        raise TusHeaderInvalid(f"Upload-Concat names an address that is not {PREFIX}/{{id}}.")
    return upload_id


def filename(pairs: Mapping[str, str]) -> str:
    """Return what the clients at large call the file's name."""
    return pairs.get("filename") or pairs.get("name") or ""


def checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Return what the bytes of the request must hash to; raises `ChecksumUnsupported`."""
    said = headers.get("upload-checksum")
    if said is None:
        return None
    algorithm, _, value = said.partition(" ")
    if algorithm not in CHECKSUMS:
        raise ChecksumUnsupported
    digest = _decode(value, "Upload-Checksum")
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise ChecksumUnsupported
    return Checksum(algorithm=algorithm, digest=digest)


def _decode(value: str, name: str) -> bytes:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise TusHeaderInvalid(f"{name} is not base64.") from None
