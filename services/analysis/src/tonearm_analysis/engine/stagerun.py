"""One stage's share of the work: its time, its limit, and its failure if it has one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tonearm_analysis.engine.deadline import at_most
from tonearm_analysis.engine.errors import StageTimeoutError

T = TypeVar("T")


class StageRun:
    """Runs the steps of one stage; after a failure it runs no more of them."""

    def __init__(self, name: str, *, timeout_s: float | None) -> None:
        self.name = name
        self.duration_s = 0.0
        self.error: str | None = None
        self._timeout_s = timeout_s

    def work(self, step: Callable[[], T]) -> T | None:
        """Run a step; a failure is kept in `error`, not raised, and gives None."""
        if self.error is not None:
            return None
        start_s = time.perf_counter()
        try:
            with at_most(self._left_s()):
                return step()
        except StageTimeoutError:
            self.error = f"The stage took longer than its {self._timeout_s:g} s."
        except Exception as problem:  # noqa: BLE001  (one stage must not take the others down)
            self.error = f"{type(problem).__name__}: {problem}"
        finally:
            self.duration_s += time.perf_counter() - start_s
        return None

    def _left_s(self) -> float | None:
        if self._timeout_s is None:
            return None
        left_s = self._timeout_s - self.duration_s
        if left_s <= 0:
            raise StageTimeoutError
        return left_s
