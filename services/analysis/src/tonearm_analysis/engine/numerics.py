"""What all numeric parts share: one thread, whoever calls, finite samples and the soft-max.

One thread sums in a fixed order, and no two analyses fight over cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import numpy.typing as npt
import scipy.linalg  # noqa: F401  (loads scipy's BLAS, so that it is limited as well)
from threadpoolctl import ThreadpoolController

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@cache
def _controller() -> ThreadpoolController:
    # Looking for the loaded libraries takes milliseconds: once per process is enough.
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the body with one BLAS thread and numpy's floating-point warnings off."""
    with _controller().limit(limits=1), np.errstate(all="ignore"):
        yield


def finite(samples: Floats) -> Floats:
    """The samples, those that are not numbers as zeros; the same array where all are."""
    with np.errstate(over="ignore"):
        energy = samples @ samples  # the cheapest look at all; what overflows takes the long way
    if np.isfinite(energy):
        return samples
    return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def softmax(scores: Doubles, *, axis: int | tuple[int, ...] | None = None) -> Doubles:
    """Chances that sum to one along the axes, or over all: e to the power of each score, shared out."""
    weight = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return np.asarray(weight / weight.sum(axis=axis, keepdims=True), np.float64)
