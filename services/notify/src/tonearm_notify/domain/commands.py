"""What a client may say: one JSON object per line, checked into typed commands."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from tonearm_notify.domain.wire import Position

COMMAND_ID_MAX: Final = 2**32 - 1
TOKEN_LENGTH_MAX: Final = 8192
REJECT_UNRECOVERED: Final = 2
"""Bit of a subscribe's `flag`: answer error 112 instead of a subscription with a gap."""


class MalformedError(ValueError):
    """The text is not a command of this protocol."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Empty object: the answer to the server's ping."""


@dataclass(frozen=True, slots=True)
class Connect:
    """First command. `subscriptions` are the server-side channels wanted, with positions."""

    id: int
    token: str
    subscriptions: dict[str, Position | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refresh:
    """A newer token for this connection."""

    id: int
    token: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Wish to receive a channel; `since` set means: and what came after that position."""

    id: int
    channel: str
    since: Position | None = None
    reject_unrecovered: bool = False


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """End of a subscription by the client."""

    id: int
    channel: str


@dataclass(frozen=True, slots=True)
class History:
    """Wish to read a channel's history. `limit` 0 asks for the position alone, -1 for all."""

    id: int
    channel: str
    limit: int
    since: Position | None
    is_reverse: bool


@dataclass(frozen=True, slots=True)
class Presence:
    """Wish to know who else is on a channel; with `is_count` only how many."""

    id: int
    channel: str
    is_count: bool


@dataclass(frozen=True, slots=True)
class Ping:
    """The client's own liveness question."""

    id: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The client has handled a publication (`send` or `rpc` with `{"ack": ...}`)."""

    id: int
    channel: str
    offset: int


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A command of the protocol that this server does not offer."""

    id: int
    method: str


Command = (
    Pong
    | Connect
    | Refresh
    | Subscribe
    | Unsubscribe
    | History
    | Presence
    | Ping
    | Acknowledge
    | Unsupported
)
_Object = dict[str, object]


def parse(line: str) -> Command:
    """Return the command of one line; raises MalformedError."""
    try:
        command = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error
    if not isinstance(command, dict):
        raise MalformedError("not an object")
    if not command:
        return Pong()
    id_ = _whole(command, "id", maximum=COMMAND_ID_MAX)
    methods = [name for name in command if name != "id"]
    if len(methods) != 1:
        raise MalformedError("not exactly one method")
    method = methods[0]
    body = command[method]
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise MalformedError(f"{method} is not an object")
    if id_ == 0 and method != "send":
        raise MalformedError("no id")
    return _typed(id_, method, body)


def _typed(id_: int, method: str, body: _Object) -> Command:
    match method:
        case "connect":
            return Connect(id_, _text(body, "token", TOKEN_LENGTH_MAX), _wanted(body))
        case "refresh":
            return Refresh(id_, _text(body, "token", TOKEN_LENGTH_MAX))
        case "subscribe":
            flag = _whole(body, "flag", maximum=COMMAND_ID_MAX)
            since = _position(body) if body.get("recover") is True else None
            return Subscribe(id_, _channel(body), since, bool(flag & REJECT_UNRECOVERED))
        case "unsubscribe":
            return Unsubscribe(id_, _channel(body))
        case "history":
            return _history(id_, body)
        case "presence" | "presence_stats":
            return Presence(id_, _channel(body), method == "presence_stats")
        case "ping":
            return Ping(id_)
        case "send" | "rpc":
            return _message(id_, method, body)
        case _:
            return Unsupported(id_, method)


def _history(id_: int, body: _Object) -> History:
    since = body.get("since")
    if since is not None and not isinstance(since, dict):
        raise MalformedError("since is not an object")
    return History(
        id_,
        _channel(body),
        limit=_whole(body, "limit", minimum=-1),
        since=_position(since) if isinstance(since, dict) else None,
        is_reverse=body.get("reverse") is True,
    )


def _message(id_: int, method: str, body: _Object) -> Command:
    content = body.get("data")
    ack = content.get("ack") if isinstance(content, dict) else None
    if not isinstance(ack, dict):
        return Unsupported(id_, method)
    return Acknowledge(id_, _channel(ack), _whole(ack, "offset"))


def _wanted(body: _Object) -> dict[str, Position | None]:
    """Return the server-side channels: first-time ones from `data`, known ones from `subs`."""
    wanted: dict[str, Position | None] = {}
    content = body.get("data")
    asked = content.get("channels") if isinstance(content, dict) else None
    if isinstance(asked, list):
        wanted.update((name, None) for name in asked if isinstance(name, str))
    known = body.get("subs")
    if isinstance(known, dict):
        for name, sub in known.items():
            recovers = isinstance(sub, dict) and sub.get("recover") is True
            wanted[name] = _position(sub) if recovers else None
    return wanted


def _position(body: _Object) -> Position:
    return Position(_whole(body, "offset"), _text(body, "epoch", 64))


def _channel(body: _Object) -> str:
    name = _text(body, "channel", 512)
    if not name:
        raise MalformedError("no channel")
    return name


def _text(body: _Object, name: str, length_max: int) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > length_max:
        raise MalformedError(f"{name} is not a text of at most {length_max} characters")
    return value


def _whole(body: _Object, name: str, *, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
    value = body.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise MalformedError(f"{name} is not a whole number in range")
    return value
