"""A time limit on a stretch of work, ended from within.

A timer signal interrupts Python code wherever it is; that works in the main thread of a POSIX
process, which is where the command line and the workers run the engine. Elsewhere the limit is
checked between blocks only.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tonearm_analysis.engine.errors import StageTimeoutError


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raise StageTimeoutError in the body once it has run that long.

    None sets no limit. Someone else's timer goes on afterwards; when it ends sooner than this
    limit would, it is left alone.
    """
    if seconds is None or not _is_main_thread():
        yield
        return
    others_s, others_interval_s = signal.getitimer(signal.ITIMER_REAL)
    if 0 < others_s <= seconds:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise StageTimeoutError

    start_s = time.monotonic()
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if others_s:
            left_s = max(others_s - (time.monotonic() - start_s), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left_s, others_interval_s)


def _is_main_thread() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
