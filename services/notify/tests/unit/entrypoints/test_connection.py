"""One socket: what is held back while a client is let in has an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from tonearm_notify.domain.protocol import Limits, Session
from tonearm_notify.domain.replies import Send
from tonearm_notify.entrypoints import framings
from tonearm_notify.entrypoints.connection import Connection
from tonearm_notify.entrypoints.websocket import WebSocketServer


class FakeTransport:
    """Keeps what is written to it and the code that it is closed with."""

    def __init__(self) -> None:
        self.underlying_transport = self
        self.written: list[bytes] = []
        self.waiting_bytes = 0
        self.code = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def send(self, _kind: object, data: bytes) -> None:
        self.waiting_bytes += len(data)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def send_close(self, code: int, _reason: bytes) -> None:
        self.code = code


class FakeServer:
    """What a connection asks of its server, done by nobody."""

    queue_bytes_max = 1000

    def __init__(self) -> None:
        self.hub = self
        self.calls: list[Callable[[], None]] = []

    def later(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def opened(server: FakeServer | None = None) -> tuple[Connection, FakeTransport]:
    door, transport = cast("WebSocketServer", server or FakeServer()), FakeTransport()
    connection = Connection(door, Session("c", Limits(), now_s=0.0), framings.JSON)
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


def test_a_large_reply_waits_as_long_as_it_may_and_no_second_one() -> None:
    server = FakeServer()
    connection, transport = opened(server)
    connection.pause_writing()
    connection.apply([Send("x" * 5000)])
    assert transport.code == 0
    connection.apply([Send("x" * 900)])
    assert transport.code == 0
    connection.apply([Send("x" * 5000)])
    assert transport.code == 3008


def test_a_large_reply_that_is_not_read_in_time_ends_the_connection() -> None:
    server = FakeServer()
    connection, transport = opened(server)
    connection.pause_writing()
    connection.apply([Send("x" * 5000)])
    (end_of_time,) = server.calls
    transport.waiting_bytes = 900
    end_of_time()
    assert transport.code == 0
    transport.waiting_bytes = 1100
    end_of_time()
    assert transport.code == 3008


def test_who_has_read_a_large_reply_may_ask_for_another() -> None:
    server = FakeServer()
    connection, transport = opened(server)
    for _ in range(3):
        connection.pause_writing()
        connection.apply([Send("x" * 5000)])
        transport.waiting_bytes = 0
        connection.resume_writing()
    assert transport.code == 0
