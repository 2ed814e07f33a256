"""One publication as all receivers of this process share it."""

from __future__ import annotations

from tonearm_notify.domain import wire
from tonearm_notify.domain.wire import Publication

HEADROOM_BYTES = 14
"""Free bytes in front of a frame's payload, where the socket layer writes its header."""


class Frame:
    """A publication on its channel; each encoding is made once, when first asked for."""

    __slots__ = ("_socket", "_text", "channel", "epoch", "publication")

    def __init__(self, channel: str, epoch: str, publication: Publication) -> None:
        self.channel = channel
        self.epoch = epoch
        self.publication = publication
        self._text: str | None = None
        self._socket: bytearray | None = None

    @property
    def text(self) -> str:
        """Return the push as JSON text."""
        if self._text is None:
            self._text = wire.push_publication(self.channel, self.publication)
        return self._text

    @property
    def socket(self) -> bytearray:
        """Return the push as UTF-8 with headroom; the same buffer for every socket."""
        if self._socket is None:
            self._socket = bytearray(HEADROOM_BYTES) + self.text.encode()
        return self._socket
