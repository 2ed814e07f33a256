"""One WebSocket: bytes to the protocol's state machine, its effects to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tonearm_notify.domain import codes
from tonearm_notify.domain.protocol import Ask, Close, Effect, Leave, Session, State
from tonearm_notify.domain.replies import SAID, Said
from tonearm_notify.entrypoints.framings import Framing
from tonearm_notify.usecases.hub import Hub
from tonearm_notify.usecases.ports import Identity

_HELD_MAX = 1000


class Door(Protocol):
    """What a connection needs of the server that accepted it."""

    @property
    def hub(self) -> Hub:
        """Where channels are followed."""
        ...

    @property
    def queue_bytes_max(self) -> int:
        """What may wait for a slow reader."""
        ...

    def now_s(self) -> float:
        """Return the time that deadlines are counted in."""
        ...

    def opened(self, connection: Connection, transport: WSTransport) -> None:
        """Take a new socket in."""
        ...

    def left(self, connection: Connection) -> None:
        """Take a connection out of the hub; its socket may still be closing."""
        ...

    def gone(self, connection: Connection) -> None:
        """Forget a socket."""
        ...

    def ask(self, connection: Connection, command: Ask) -> None:
        """Answer a command that needs the outside."""
        ...

    def plan(self, connection: Connection) -> None:
        """See to it that the connection's `tick` is called at its deadline."""
        ...

    def count_slow(self) -> None:
        """Note a reader that was cut for being slow."""
        ...

    def abort_later(self, transport: WSTransport) -> None:
        """Drop a closing socket that does not take its last bytes in time."""
        ...

    def later(self, call: Callable[[], None]) -> None:
        """Call when a large reply has had its time."""
        ...


class Connection(WSListener):
    """A client's socket. Follows channels as a `Sink` of the hub.

    The hub writes whole messages straight to the transport. A reader that is too slow makes the
    transport's buffer grow; from its high-water mark on every push looks at the size, and beyond
    the limit the client is cut with 3008. One reply that is larger than the limit may wait beside
    it, for some time: else whoever has much to recover over a slow line would be cut for asking.
    """

    __slots__ = (
        "_door",
        "_framing",
        "_held",
        "_queue_bytes_max",
        "_transport",
        "bucket",
        "client_id",
        "form",
        "identity",
        "is_entered",
        "is_slow",
        "session",
        "write",
    )

    def __init__(self, door: Door, session: Session, framing: Framing) -> None:
        self._door = door
        self._framing = framing
        self._queue_bytes_max = door.queue_bytes_max
        self._transport: WSTransport | None = None
        self.session = session
        self.client_id = session.client_id
        self.identity: Identity | None = None
        self.is_entered = False
        self.is_slow = False
        self.form = framing.form
        self.write: Callable[[Any], object] = _ignore
        self._held: list[Any] | None = None
        self.bucket = 0

    # What the socket says.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take over a socket after its handshake."""
        self._transport = transport
        self._choose_write()
        self._door.opened(self, transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        kind = frame.msg_type
        if kind == self._framing.kind and frame.fin:
            try:
                text = self._framing.read(frame.get_payload_as_bytes())
            except ValueError:
                self.close(codes.BAD_PROTOCOL)
                return
            self.apply(self.session.receive(text, now_s=self._door.now_s()))
        elif kind == WSMsgType.PING:
            if self.session.spend(now_s=self._door.now_s()):
                transport.send_pong(frame.get_payload_as_bytes())
            else:
                self.close(codes.TOO_MANY_REQUESTS)
        elif kind == WSMsgType.CLOSE:
            self._door.left(self)
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif kind != WSMsgType.PONG:
            # Fragments, and messages of the other kind, have no place in this protocol.
            self.close(codes.BAD_PROTOCOL)

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        """Forget a socket that is gone."""
        self.session.close(codes.CLOSED)
        self._door.gone(self)
        self._transport = None
        self._choose_write()

    def pause_writing(self) -> None:
        """Note that the reader has fallen behind."""
        self.is_slow = True
        self._choose_write()

    def resume_writing(self) -> None:
        """Note that the reader has caught up."""
        self.is_slow = False
        self._queue_bytes_max = self._door.queue_bytes_max
        self._choose_write()

    # What the protocol wants.

    def apply(self, effects: Iterable[Effect]) -> None:
        """Carry out effects in order; neighbouring words share a frame."""
        said: list[Said] = []
        for effect in effects:
            if isinstance(effect, SAID):
                said.append(effect)
                continue
            if said and isinstance(effect, Close):
                self._write(said)
                said = []
            if isinstance(effect, Close):
                self._cut(effect.why)
            elif isinstance(effect, Leave):
                self._door.hub.leave(effect.channel, self)
            else:
                self._door.ask(self, effect)
        if said:
            self._write(said)
        self._door.plan(self)

    def tick(self, now_s: float) -> None:
        """Let time pass."""
        self.apply(self.session.tick(now_s=now_s))

    def _write(self, said: list[Said]) -> None:
        if self._transport is not None:
            data = self._framing.write(said)
            self._transport.send(self._framing.kind, data)
            if self.is_slow:
                self._let_wait(len(data))
                self._check_queue()

    def _let_wait(self, reply_bytes: int) -> None:
        """Raise the limit for one large reply; a second one meets the raised limit."""
        usual = self._door.queue_bytes_max
        if reply_bytes > usual == self._queue_bytes_max:
            self._queue_bytes_max = usual + reply_bytes
            self._door.later(self._wait_no_more)

    def _wait_no_more(self) -> None:
        self._queue_bytes_max = self._door.queue_bytes_max
        if self.is_slow:
            self._check_queue()

    def _check_queue(self) -> None:
        transport = self._transport
        if transport is None or self.session.state is State.CLOSED:
            return
        waiting = transport.underlying_transport.get_write_buffer_size()
        if waiting > self._queue_bytes_max:
            self._door.count_slow()
            self.close(codes.SLOW)

    def _cut(self, why: codes.Disconnect) -> None:
        self._door.left(self)
        if self._transport is not None:
            # The stub knows the codes of RFC 6455 only; the protocol's own are whole numbers.
            self._transport.send_close(cast("WSCloseCode", why.code), why.reason.encode())
            # Closing now, with bytes of the client unread, would reset the connection, and the
            # code would be lost: the client closes, or time does.
            self._door.abort_later(self._transport)

    # What the hub says.

    def _choose_write(self) -> None:
        """Let the hub write to the transport itself whenever nothing is to be looked at."""
        if self._transport is None:
            self.write = _ignore
        elif self._held is not None:
            self.write = self._keep
        elif self.is_slow:
            self.write = self._write_slowly
        else:
            self.write = self._transport.underlying_transport.write
        self._door.hub.renew(self.session.subscriptions)

    def _write_slowly(self, data: Any) -> None:
        if self._transport is not None:
            self._transport.underlying_transport.write(data)
            self._check_queue()

    def hold(self) -> None:
        """Keep publications back: the reply that they must follow is not written yet."""
        self._held = []
        self._choose_write()

    def release(self) -> None:
        """Write what was kept back."""
        held, self._held = self._held, None
        self._choose_write()
        for data in held or ():
            self.write(data)

    def _keep(self, data: Any) -> None:
        held = self._held
        if held is None:
            self.write(data)
        elif len(held) < _HELD_MAX:
            held.append(data)
        else:
            self.close(codes.INSUFFICIENT_POSITION)

    def lose(self, channel: str, why: codes.Unsubscribe) -> None:
        """Tell the client that a subscription ended."""
        self.apply(self.session.unsubscribe(channel, why))

    def close(self, why: codes.Disconnect) -> None:
        """End the connection with a code."""
        self.apply(self.session.close(why))


def _ignore(_data: Any) -> None:
    """Take what is written to a socket that is gone."""
