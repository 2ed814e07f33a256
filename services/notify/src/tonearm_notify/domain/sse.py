"""Server-sent events: text of the stream, and the cursor that recovery starts from.

The id of every event holds the positions of all channels of the stream, in the order of their
sorted names: `epoch.offset` each, `-` where nothing is known yet, joined by commas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tonearm_notify.domain.wire import Position, dumps

CURSOR_LENGTH_MAX: Final = 2048
KEEP_ALIVE: Final = ":\n\n"


def to_cursor(channels: Sequence[str], positions: Mapping[str, Position]) -> str:
    """Return the cursor of a stream on these channels."""
    known = (positions.get(name) for name in sorted(channels))
    return ",".join(f"{p.epoch}.{p.offset}" if p else "-" for p in known)


def from_cursor(channels: Sequence[str], cursor: str) -> dict[str, Position]:
    """Return the positions that a cursor names; nothing for what cannot be read.

    A cursor of another set of channels cannot be told from a wrong one where their number is
    the same: its epochs will not fit, and recovery says so.
    """
    parts = cursor.split(",") if 0 < len(cursor) <= CURSOR_LENGTH_MAX else []
    names = sorted(channels)
    if len(parts) != len(names):
        return {}
    positions: dict[str, Position] = {}
    for name, part in zip(names, parts, strict=True):
        epoch, dot, offset = part.rpartition(".")
        if dot and epoch and offset.isascii() and offset.isdigit() and len(offset) < 19:
            positions[name] = Position(int(offset), epoch)
    return positions


def opening(cursor: str, channels: Sequence[str], *, retry_ms: int) -> str:
    """Return the first block: how soon to come back, and from where.

    It is an event with data, because not every reader keeps the id of a block without.
    """
    told = dumps({"channels": sorted(channels)})
    return f"retry: {retry_ms}\nevent: connected\nid: {cursor}\ndata: {told}\n\n"


def message(cursor: str, body: str) -> str:
    """Return the block of one publication; `body` is JSON without line breaks."""
    return f"id: {cursor}\ndata: {body}\n\n"


def reset(cursor: str, channel: str, top: Position) -> str:
    """Return the honest word that publications were missed: fetch the state anew."""
    told = {"channel": channel, "recovered": False, "epoch": top.epoch, "offset": top.offset}
    return f"event: reset\nid: {cursor}\ndata: {dumps(told)}\n\n"


def unsubscribed(cursor: str, channel: str, code: int) -> str:
    """Return the word that a channel of the stream has ended."""
    told = {"channel": channel, "code": code}
    return f"event: unsubscribed\nid: {cursor}\ndata: {dumps(told)}\n\n"


def closing(code: int, reason: str, *, retry_ms: int) -> str:
    """Return the last block of a stream."""
    return (
        f"retry: {retry_ms}\nevent: disconnect\ndata: {dumps({'code': code, 'reason': reason})}\n\n"
    )
