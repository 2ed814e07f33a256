"""One numeric thread, whoever calls: sums in a fixed order, and no fight over cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import scipy.linalg  # noqa: F401  (loads scipy's BLAS, so that it is limited as well)
from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes milliseconds: once per process is enough.
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the body with one BLAS thread and numpy's floating-point warnings off."""
    with _controller().limit(limits=1), np.errstate(all="ignore"):
        yield
