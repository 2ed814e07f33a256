"""Messages of a server as RFC 6455 wants them, read back by another implementation."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tonearm_notify.usecases.frames import message


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_a_message_is_read_as_it_was_meant(size: int, opcode: Opcode) -> None:
    reader = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    payload = b"x" * size
    reader.receive_data(message(opcode, payload) * 2)
    assert reader.events_received() == [Frame(opcode, payload)] * 2
