"""One publication as all receivers of this process share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

from tonearm_notify.domain import wire
from tonearm_notify.domain.wire import Publication

_FINAL: Final = 0x80
_TEXT: Final = 0x1


class Frame:
    """A publication on its channel; each encoding is made once, when first asked for."""

    def __init__(self, channel: str, epoch: str, publication: Publication) -> None:
        self.channel = channel
        self.epoch = epoch
        self.publication = publication

    @cached_property
    def text(self) -> bytes:
        """Return the push as a whole WebSocket text message, header included."""
        return message(_TEXT, wire.push_publication(self.channel, self.publication).encode())


Form = Callable[[Sequence[Frame]], Any]
"""What a receiver is given for publications that follow each other on one channel.

Receivers of the same form (the same function) share what it returns.
"""


def as_text(frames: Sequence[Frame]) -> bytes:
    """Return frames as JSON pushes, ready for a socket; several go out in one write."""
    return frames[0].text if len(frames) == 1 else b"".join([frame.text for frame in frames])


def as_frames(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return the frames themselves, for receivers that write something of their own."""
    return frames


def message(opcode: int, payload: bytes) -> bytes:
    """Return a server's whole WebSocket message (RFC 6455): one frame, not masked."""
    size = len(payload)
    if size < 126:
        head = bytes((_FINAL | opcode, size))
    elif size < 1 << 16:
        head = bytes((_FINAL | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload
