"""The protocol's numbers, each with its meaning.

Three ranges with three readers: an error answers one command, an unsubscribe ends one
subscription, a disconnect ends the connection (as the WebSocket close code). docs/push.md says
what each means to a client, and which of the protocol are never sent.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Error:
    """Answer to one command that was not done. `temporary` tells the client to try again."""

    code: int
    message: str
    temporary: bool = False


INTERNAL = Error(100, "internal server error", temporary=True)
UNAUTHORIZED = Error(101, "unauthorized")
UNKNOWN_CHANNEL = Error(102, "unknown channel")
NOT_YET_KNOWN = Error(102, "channel not known yet", temporary=True)
"""A recording that may have been uploaded a moment ago: its event is still on the way."""
DENIED = Error(103, "permission denied")
METHOD_NOT_FOUND = Error(104, "method not found")
ALREADY_SUBSCRIBED = Error(105, "already subscribed")
LIMIT_EXCEEDED = Error(106, "limit exceeded")
NOT_AVAILABLE = Error(108, "not available")
TOKEN_EXPIRED = Error(109, "token expired")
TOO_MANY = Error(111, "too many requests", temporary=True)
UNRECOVERABLE = Error(112, "unrecoverable position")


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """End of one subscription by the server. Codes from 2500 on make the client resubscribe."""

    code: int
    reason: str


UNSUBSCRIBED_BY_SERVER = Unsubscribe(2000, "server unsubscribe")
INSUFFICIENT_STATE = Unsubscribe(2500, "insufficient state")


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End of a connection. Clients come back after 3000-3499 and stay away after 3500-3999."""

    code: int
    reason: str


CLOSED = Disconnect(3000, "connection closed")
SHUTDOWN = Disconnect(3001, "shutdown")
CONNECTION_EXPIRED = Disconnect(3005, "connection expired")
SLOW = Disconnect(3008, "slow")
INSUFFICIENT_POSITION = Disconnect(3010, "insufficient state")
NO_PONG = Disconnect(3012, "no pong")
TOO_MANY_REQUESTS = Disconnect(3013, "too many requests")
INVALID_TOKEN = Disconnect(3500, "invalid token")
BAD_PROTOCOL = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale")
CONNECTION_LIMIT = Disconnect(3504, "connection limit")
TOO_MANY_ERRORS = Disconnect(3509, "too many errors")
