"""How the protocol is put into WebSocket messages: JSON lines or Protobuf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from picows import WSMsgType

from tonearm_notify.domain.replies import Said
from tonearm_notify.entrypoints import protobuf
from tonearm_notify.usecases.frames import Form, as_text


@dataclass(frozen=True, slots=True)
class Framing:
    """One way to write the protocol."""

    kind: WSMsgType
    form: Form
    read: Callable[[bytes], str]
    """Returns commands as JSON, one a line; raises ValueError for what is not the protocol."""
    write: Callable[[Sequence[Said]], bytes]
    subprotocol: str | None = None
    """What the server answers to the client's offer, where there was one."""


def _read_text(payload: bytes) -> str:
    return payload.decode()


def _write_text(said: Sequence[Said]) -> bytes:
    return "\n".join([each.text for each in said]).encode()


JSON: Final = Framing(WSMsgType.TEXT, as_text, _read_text, _write_text)
PROTOBUF: Final = Framing(
    WSMsgType.BINARY,
    protobuf.as_protobuf,
    protobuf.to_lines,
    protobuf.to_bytes,
    protobuf.SUBPROTOCOL,
)


def choose(offered: str) -> Framing:
    """Return the framing for a `Sec-WebSocket-Protocol` header, which may be empty."""
    names = {name.strip() for name in offered.split(",")}
    return PROTOBUF if protobuf.SUBPROTOCOL in names else JSON
