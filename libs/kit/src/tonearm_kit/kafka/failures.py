"""What can go wrong with one event, and what the runner makes of it.

A handler has two words: `Retry` (later it may work) and `Poison` (it never will). Everything
else is classified here, once, for all consumers.
"""

from __future__ import annotations

import hashlib
import traceback
from enum import StrEnum
from pathlib import PurePath

import asyncpg
import asyncpg.exceptions as pg

from tonearm_kit.errors import AppError

STACK_CHARS_MAX = 8_000
MESSAGE_CHARS_MAX = 1_000


class Retry(Exception):
    """The effect cannot be applied now; the same event may succeed later.

    after_s: earliest next attempt in seconds; None leaves the delay to the retry policy.
    """

    def __init__(self, detail: str = "try again", *, after_s: float | None = None) -> None:
        super().__init__(detail)
        self.after_s = after_s


class Poison(Exception):
    """No retry can help: park the event in the dead-letter topic with `reason` and go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Verdict(StrEnum):
    """The one question that is asked of every exception."""

    OUTAGE = "outage"
    """Our own database is away: nothing can be processed, so wait in place."""
    TRANSIENT = "transient"
    """This event may succeed later: to the retry topics."""
    UNKNOWN = "unknown"
    """Probably a bug: a few more attempts, then the dead-letter topic."""
    POISON = "poison"
    """To the dead-letter topic at once."""


class Failed(Exception):
    """An effect was not applied; nothing of it is in the database."""

    def __init__(self, cause: BaseException, kind: Verdict) -> None:
        super().__init__(repr(cause))
        self.cause, self.kind = cause, kind


DATABASE_TROUBLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""Whatever the database client raises, a connection cut in mid-operation included."""

_OUTAGES: tuple[type[BaseException], ...] = (
    pg.PostgresConnectionError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.CannotConnectNowError,
    pg.TooManyConnectionsError,
    pg.IdleInTransactionSessionTimeoutError,
    pg.LockNotAvailableError,
    pg.SerializationError,
    pg.DeadlockDetectedError,
    pg.ReadOnlySQLTransactionError,
    pg.DiskFullError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def verdict(error: BaseException) -> Verdict:
    """Classify an exception that came out of a transaction with its handler."""
    if isinstance(error, Poison):
        return Verdict.POISON
    if isinstance(error, _OUTAGES):
        return Verdict.OUTAGE
    if isinstance(error, (Retry, TimeoutError, OSError)):
        return Verdict.TRANSIENT
    if isinstance(error, AppError):
        return Verdict.TRANSIENT if error.can_retry else Verdict.POISON
    return Verdict.UNKNOWN


def reason_of(error: BaseException) -> str:
    """Return one line for people: the reason of a poison, else class and message."""
    if isinstance(error, Poison):
        return error.reason[:MESSAGE_CHARS_MAX]
    return f"{type(error).__name__}: {error}"[:MESSAGE_CHARS_MAX]


def class_name(error: BaseException) -> str:
    """Return the qualified class name, as in `error.type` and the dead-letter header."""
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def stack_of(error: BaseException) -> str:
    """Return the formatted stack; of a long one the end, where the error is."""
    return "".join(traceback.format_exception(error))[-STACK_CHARS_MAX:]


def stack_hash(error: BaseException) -> str:
    """Return 12 hex digits that are equal for the same failure at the same place.

    Made of class, file and function names without line numbers or messages, so that an
    unrelated edit or another id in the message does not split one bug into many.
    """
    digest = hashlib.sha256(class_name(error).encode())
    for frame in traceback.extract_tb(error.__traceback__):
        digest.update(f"|{PurePath(frame.filename).name}:{frame.name}".encode())
    return digest.hexdigest()[:12]
