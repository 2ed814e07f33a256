"""One connection of the Centrifugo client protocol, as a state machine without I/O.

Text and the passing of time come in, effects go out. Effects that need an answer from
outside (is the token good? is the channel allowed? what is in the history?) come back in
through `connected`, `refreshed`, `subscribed`, `answered` and `failed`. Nothing here reads a
clock: `now_s` is monotonic time in seconds, given by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from tonearm_notify.domain import codes, commands, wire
from tonearm_notify.domain.codes import Disconnect, Error
from tonearm_notify.domain.replies import Connected, HistoryRead, Joined, Said, Send, Subscribed
from tonearm_notify.domain.wire import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may ask for, and how long it may stay silent."""

    channels_max: int = 128
    frame_bytes_max: int = 64 * 1024
    commands_per_s: float = 50.0
    commands_burst_max: int = 512
    pending_max: int = 256
    connect_timeout_s: float = 10.0
    ping_interval_s: float = 25.0
    pong_timeout_s: float = 8.0
    expiry_grace_s: float = 10.0
    errors_max: int = 1000


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this code."""

    why: Disconnect


@dataclass(frozen=True, slots=True)
class Leave:
    """Stop delivering a channel."""

    channel: str


Ask = (
    commands.Connect
    | commands.Refresh
    | commands.Subscribe
    | commands.History
    | commands.Presence
    | commands.Acknowledge
)
Effect = Said | Close | Leave | Ask
"""Words to the client, the two above, or a command: the caller finds and hands back its answer."""

_SEND_PING = Send(wire.PING.decode())


class State(IntEnum):
    """Where a connection stands."""

    NEW = 0
    CONNECTING = 1
    CONNECTED = 2
    CLOSED = 3


class Session:
    """The protocol side of one connection.

    `deadline_s` says when `tick` wants to be called next; calling it earlier does no harm.
    `spread` in [0, 1) moves the first ping forward, so that thousands of connections made at
    once are not pinged at once.
    """

    __slots__ = (
        "_errors",
        "_expires_at_s",
        "_limits",
        "_pending",
        "_ping_at_s",
        "_pong_by_s",
        "_spread",
        "_tokens",
        "_tokens_at_s",
        "_waiting",
        "client_id",
        "deadline_s",
        "state",
        "subscriptions",
    )

    def __init__(self, client_id: str, limits: Limits, *, now_s: float, spread: float = 0.0):
        self.client_id = client_id
        self.state = State.NEW
        self.subscriptions: dict[str, int] = {}
        """Channel to 0 when active, else to the id of the subscribe that is under way."""
        self.deadline_s = now_s + limits.connect_timeout_s
        self._limits = limits
        self._spread = spread
        self._tokens = float(limits.commands_burst_max)
        self._tokens_at_s = now_s
        self._pending = 0
        self._errors = 0
        self._waiting: list[commands.Command] | None = None
        self._ping_at_s = 0.0
        self._pong_by_s = 0.0
        self._expires_at_s = 0.0

    # What the client says.

    def receive(self, frame: str, *, now_s: float) -> list[Effect]:
        """Take one frame: one command per line. Garbage closes with 3501."""
        if self.state is State.CLOSED:
            return []
        if len(frame) > self._limits.frame_bytes_max:
            return self.close(codes.BAD_PROTOCOL)
        effects: list[Effect] = []
        for line in frame.split("\n"):
            if not line.strip():
                continue
            if not self.spend(now_s=now_s):
                return [*effects, *self.close(codes.TOO_MANY_REQUESTS)]
            try:
                command = commands.parse(line)
            except commands.MalformedError:
                return [*effects, *self.close(codes.BAD_PROTOCOL)]
            taken = self._take(command, now_s=now_s)
            effects += taken
            if taken and isinstance(taken[-1], Close):
                break
        return effects

    def spend(self, *, now_s: float) -> bool:
        """Take one command's worth from the rate; False when the client is too fast."""
        limits = self._limits
        earned = (now_s - self._tokens_at_s) * limits.commands_per_s
        self._tokens = min(limits.commands_burst_max, self._tokens + earned) - 1
        self._tokens_at_s = now_s
        return self._tokens >= 0

    def _take(self, command: commands.Command, *, now_s: float) -> list[Effect]:
        if isinstance(command, commands.Pong):
            self._pong_by_s = 0.0
            self._plan()
            return []
        if self.state is State.NEW:
            if not isinstance(command, commands.Connect):
                return self.close(codes.BAD_PROTOCOL)
            self.state = State.CONNECTING
            return [command]
        if isinstance(command, commands.Connect):
            return self.close(codes.BAD_PROTOCOL)
        if self.state is State.CONNECTING:
            return self._wait(command)
        return self._do(command)

    def _wait(self, command: commands.Command) -> list[Effect]:
        """Keep what a client sent right behind its connect until that is answered."""
        if self._waiting is None:
            self._waiting = []
        if len(self._waiting) >= self._limits.pending_max:
            return self.close(codes.TOO_MANY_REQUESTS)
        self._waiting.append(command)
        return []

    def _do(self, command: commands.Command) -> list[Effect]:
        match command:
            case commands.Subscribe():
                return self._subscribe(command)
            case commands.Unsubscribe(id=id_, channel=channel):
                done = Send(wire.reply(id_, "unsubscribe"))
                if self.subscriptions.pop(channel, None) is None:
                    return [done]
                return [Leave(channel), done]
            case commands.Ping(id=id_):
                return [Send(wire.reply(id_, "ping"))]
            case commands.Unsupported(id=id_, method=method):
                return self._unsupported(id_, method)
            case commands.Acknowledge(id=id_):
                return [command, Send(wire.reply(id_, "rpc"))] if id_ else [command]
            case commands.Refresh() | commands.History() | commands.Presence():
                return self._ask(command)
            case _:
                return self.close(codes.BAD_PROTOCOL)

    def _subscribe(self, command: commands.Subscribe) -> list[Effect]:
        if command.channel in self.subscriptions:
            return self._refuse(command.id, codes.ALREADY_SUBSCRIBED)
        if len(self.subscriptions) >= self._limits.channels_max:
            return self._refuse(command.id, codes.LIMIT_EXCEEDED)
        asked = self._ask(command)
        if self.state is not State.CLOSED and asked == [command]:
            self.subscriptions[command.channel] = command.id
        return asked

    def _ask(self, command: Ask) -> list[Effect]:
        if self._pending >= self._limits.pending_max:
            return self._refuse(command.id, codes.TOO_MANY)
        self._pending += 1
        return [command]

    def _unsupported(self, id_: int, method: str) -> list[Effect]:
        if id_ == 0:
            return []
        if method == "publish":
            return self._refuse(id_, codes.DENIED)
        known = method in ("rpc", "sub_refresh")
        return self._refuse(id_, codes.NOT_AVAILABLE if known else codes.METHOD_NOT_FOUND)

    def _refuse(self, id_: int, error: Error) -> list[Effect]:
        self._errors += 1
        if self._errors > self._limits.errors_max:
            return self.close(codes.TOO_MANY_ERRORS)
        return [Send(wire.reply_error(id_, error))]

    # Answers from outside.

    def connected(
        self,
        command_id: int,
        *,
        expires_in_s: float | None,
        node: str,
        version: str,
        now_s: float,
        subscriptions: Mapping[str, Joined] | None = None,
    ) -> list[Effect]:
        """Let the client in. `subscriptions`: server-side channels and how they began."""
        if self.state is not State.CONNECTING:
            return []
        self.state = State.CONNECTED
        for name in subscriptions or {}:
            self.subscriptions[name] = 0
        result: dict[str, object] = {"client": self.client_id, "version": version}
        result.update(self._expiry(expires_in_s, now_s=now_s))
        result["ping"] = round(self._limits.ping_interval_s)
        result["pong"] = True
        result["node"] = node
        self._ping_at_s = now_s + self._limits.ping_interval_s * (1 - self._spread / 2)
        self._plan()
        effects: list[Effect] = [Connected(command_id, result, subscriptions or {})]
        waiting, self._waiting = self._waiting, None
        for command in waiting or ():
            effects += self._do(command)
        return effects

    def refreshed(
        self, command_id: int, *, expires_in_s: float | None, version: str, now_s: float
    ) -> list[Effect]:
        """Take over the expiry of a newer token."""
        if not self._answer():
            return []
        result: dict[str, object] = {"client": self.client_id, "version": version}
        result.update(self._expiry(expires_in_s, now_s=now_s))
        self._plan()
        return [Send(wire.reply(command_id, "refresh", result))]

    def wants(self, command: commands.Subscribe) -> bool:
        """Tell whether the client still waits for this subscribe."""
        return (
            self.state is not State.CLOSED and self.subscriptions.get(command.channel) == command.id
        )

    def subscribed(self, command: commands.Subscribe, joined: Joined) -> list[Effect]:
        """Start a subscription."""
        wanted = self.wants(command)
        if not self._answer() or not wanted:
            return []
        self.subscriptions[command.channel] = 0
        return [Subscribed(command.id, joined)]

    def answered(self, reply: Send | HistoryRead) -> list[Effect]:
        """Pass on the reply to a history or presence command."""
        return [reply] if self._answer() else []

    def dismissed(self) -> None:
        """Note that a command needs no answer any more: the client took it back."""
        self._answer()

    def failed(self, command: Ask, error: Error) -> list[Effect]:
        """Refuse what was asked for."""
        if isinstance(command, commands.Connect):
            if self.state is not State.CONNECTING:
                return []
            # The client may connect again on the same socket, with a better token.
            self.state = State.NEW
            self._waiting = None
            return [Send(wire.reply_error(command.id, error))]
        wanted = isinstance(command, commands.Subscribe) and self.wants(command)
        if not self._answer():
            return []
        if isinstance(command, commands.Subscribe) and wanted:
            del self.subscriptions[command.channel]
        return self._refuse(command.id, error)

    def _answer(self) -> bool:
        self._pending = max(0, self._pending - 1)
        return self.state is State.CONNECTED

    # What the server wants.

    def unsubscribe(self, channel: str, why: codes.Unsubscribe) -> list[Effect]:
        """End a subscription, also one that is still under way."""
        was = self.subscriptions.pop(channel, None)
        if was is None or self.state is not State.CONNECTED:
            return []
        if was:
            return [Send(wire.reply_error(was, codes.DENIED))]
        return [Leave(channel), Send(wire.push_unsubscribe(channel, why))]

    def close(self, why: Disconnect) -> list[Effect]:
        """End the connection; everything that follows is ignored."""
        if self.state is State.CLOSED:
            return []
        self.state = State.CLOSED
        self._waiting = None
        return [Close(why)]

    def tick(self, *, now_s: float) -> list[Effect]:
        """Let time pass: ping, and close what is silent, stale or expired."""
        if self.state is State.CLOSED:
            return []
        if self.state is not State.CONNECTED:
            return self.close(codes.STALE) if now_s >= self.deadline_s else []
        if self._expires_at_s and now_s >= self._expires_at_s:
            return self.close(codes.CONNECTION_EXPIRED)
        if self._pong_by_s and now_s >= self._pong_by_s:
            return self.close(codes.NO_PONG)
        effects: list[Effect] = []
        if now_s >= self._ping_at_s:
            effects.append(_SEND_PING)
            self._ping_at_s = now_s + self._limits.ping_interval_s
            self._pong_by_s = now_s + self._limits.pong_timeout_s
        self._plan()
        return effects

    def _expiry(self, expires_in_s: float | None, *, now_s: float) -> dict[str, object]:
        if expires_in_s is None:
            self._expires_at_s = 0.0
            return {}
        self._expires_at_s = now_s + expires_in_s + self._limits.expiry_grace_s
        return {"expires": True, "ttl": max(1, int(expires_in_s))}

    def _plan(self) -> None:
        if self.state is State.CONNECTED:
            self.deadline_s = min(filter(None, self._deadlines()))

    def _deadlines(self) -> Iterable[float]:
        return self._ping_at_s, self._pong_by_s, self._expires_at_s


__all__ = ["Ask", "Close", "Effect", "Leave", "Limits", "Position", "Send", "Session", "State"]
