"""The event being handled, for whoever writes follow-up events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tonearm_contracts.envelope import CloudEvent

_current: ContextVar[CloudEvent | None] = ContextVar("tonearm_event", default=None)


def current_event() -> CloudEvent | None:
    """Return the event whose handler is running, None outside of one."""
    return _current.get()


@contextmanager
def handling(event: CloudEvent) -> Iterator[None]:
    """Make `event` the current one: it is the cause of what is added to the outbox."""
    token = _current.set(event)
    try:
        yield
    finally:
        _current.reset(token)
