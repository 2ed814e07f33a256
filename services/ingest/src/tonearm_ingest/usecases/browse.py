"""Read the library: one recording, a page of them, the bytes of one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from tonearm_ingest.domain.audio import Audio, Status
from tonearm_ingest.domain.errors import AudioNotFound, FeatureOff, InvalidCursor
from tonearm_ingest.usecases.ports import Begin, Blobs, Caller, Entitlements

DOWNLOAD_FLAG = "audio-download"
_CURSOR_PREFIX = b"1:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAudio:
    """One page of an account's recordings, newest first."""

    account_id: str
    limit: int
    cursor: str | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Recordings, and where the next page begins; None after the last."""

    items: Sequence[Audio]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A recording whose bytes this caller may have."""

    audio: Audio
    blobs: Blobs

    def read(self, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Give the bytes [start, end)."""
        return self.blobs.read(self.audio.object_key, start=start, end=end)


async def get_audio(audio_id: str, *, account_id: str, begin: Begin) -> Audio:
    """Return the recording; other people's do not exist. Raises `AudioNotFound`."""
    async with begin() as tx:
        audio = await tx.audio.find(audio_id, account_id=account_id)
    if audio is None:
        raise AudioNotFound
    return audio


async def list_audio(cmd: ListAudio, *, begin: Begin) -> Page:
    """Return a page. Recordings that come or go meanwhile neither repeat nor hide others."""
    before_id = None if cmd.cursor is None else parse_cursor(cmd.cursor)
    async with begin() as tx:
        found = await tx.audio.page(
            account_id=cmd.account_id,
            before_id=before_id,
            status=cmd.status,
            limit=cmd.limit + 1,
        )
    items = found[: cmd.limit]
    return Page(
        items=items, next_cursor=to_cursor(items[-1].id) if len(found) > len(items) else None
    )


async def download_audio(
    audio_id: str, *, caller: Caller, begin: Begin, blobs: Blobs, entitlements: Entitlements
) -> Download:
    """Return access to the bytes. Raises `AudioNotFound`, `FeatureOff`."""
    audio = await get_audio(audio_id, account_id=caller.account_id, begin=begin)
    if DOWNLOAD_FLAG not in await entitlements.flags(caller):
        raise FeatureOff(flag=DOWNLOAD_FLAG)
    return Download(audio=audio, blobs=blobs)


def to_cursor(last_id: str) -> str:
    """Return the opaque mark for "older than this one"."""
    return base64.urlsafe_b64encode(_CURSOR_PREFIX + last_id.encode()).decode().rstrip("=")


def parse_cursor(cursor: str) -> str:
    """Return the id inside; raises `InvalidCursor`."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        prefix, last_id = raw[: len(_CURSOR_PREFIX)], raw[len(_CURSOR_PREFIX) :].decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        raise InvalidCursor from None
    if prefix != _CURSOR_PREFIX or not last_id.isprintable() or not 1 <= len(last_id) <= 64:
        raise InvalidCursor
    return last_id
