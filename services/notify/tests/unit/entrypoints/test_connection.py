"""One socket: what is held back while a client is let in has an end."""

from __future__ import annotations

from typing import Any, cast

from tonearm_notify.domain.protocol import Limits, Session
from tonearm_notify.entrypoints import framings
from tonearm_notify.entrypoints.connection import Connection
from tonearm_notify.entrypoints.websocket import WebSocketServer


class FakeTransport:
    """Keeps what is written to it and the code that it is closed with."""

    def __init__(self) -> None:
        self.underlying_transport = self
        self.written: list[bytes] = []
        self.code = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def send_close(self, code: int, _reason: bytes) -> None:
        self.code = code


class FakeServer:
    """What a connection asks of its server, done by nobody."""

    def __init__(self) -> None:
        self.hub = self

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def opened() -> tuple[Connection, FakeTransport]:
    server, transport = cast("WebSocketServer", FakeServer()), FakeTransport()
    connection = Connection(server, Session("c", Limits(), now_s=0.0), framings.JSON)
    connection.on_ws_connected(cast("Any", transport))
    return connection, transport


def test_what_is_held_back_follows_in_order() -> None:
    connection, transport = opened()
    connection.hold()
    for number in range(3):
        connection.write(bytes([number]))
    assert transport.written == []
    connection.release()
    connection.write(b"\x03")
    assert transport.written == [b"\x00", b"\x01", b"\x02", b"\x03"]


def test_more_than_is_held_back_ends_the_connection() -> None:
    connection, transport = opened()
    connection.hold()
    for _ in range(1001):
        connection.write(b"x")
    assert transport.code == 3010
