"""A time limit on a stretch of work, ended from within.

A timer signal interrupts Python code wherever it is; that works in the main thread of a POSIX
process, which is where the command line and the workers run the engine. Elsewhere the limit is
checked between blocks only.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tonearm_analysis.engine.errors import StageTimeoutError


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raise StageTimeoutError in the body once it has run that long.

    None sets no limit. A timer that someone else has set is left alone, and so is the limit.
    """
    if seconds is None or not _has_free_timer():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise StageTimeoutError(f"The stage took longer than its {seconds:g} s.")

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _has_free_timer() -> bool:
    if not hasattr(signal, "setitimer"):
        return False
    if threading.current_thread() is not threading.main_thread():
        return False
    return signal.getitimer(signal.ITIMER_REAL)[0] == 0
