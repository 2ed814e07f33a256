"""Two small fits: logistic regression, and a soft-max over alternatives that share weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Doubles = npt.NDArray[np.float64]


def logistic(x: Doubles, y: Doubles, weight: Doubles, *, l2: float) -> tuple[Doubles, float]:
    """Weights and bias that make sigmoid(x w + b) the chance of y; rows count by `weight`."""

    def loss(p: Doubles) -> tuple[float, Doubles]:
        z = x @ p[:-1] + p[-1]
        chance = 1 / (1 + np.exp(-z))
        value = -(weight * (y * np.log(chance + 1e-12) + (1 - y) * np.log(1 - chance + 1e-12)))
        error = weight * (chance - y)
        gradient = np.append(x.T @ error + 2 * l2 * p[:-1], error.sum())
        return float(value.sum() + l2 * (p[:-1] ** 2).sum()), gradient

    start = np.zeros(x.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found[:-1], float(found[-1])


def choice(
    tables: Sequence[Doubles], right: Sequence[npt.NDArray[np.bool_]], *, l2: float
) -> Doubles:
    """Weights (kinds, columns) of a soft-max over (kind, row) of each table.

    tables: (rows, columns) per clip, the last column a constant 1, which is not held back.
    right: (kinds, rows) per clip, the alternatives that are right; clips without any are left out.
    """
    kinds, columns = right[0].shape[0], tables[0].shape[1]
    used = [k for k in range(len(tables)) if right[k].any()]

    def loss(p: Doubles) -> tuple[float, Doubles]:
        w = p.reshape(kinds, columns)
        held = w.copy()
        held[:, -1] = 0.0
        value, gradient = l2 * float((held**2).sum()), 2 * l2 * held
        for k in used:
            scores = w @ tables[k].T
            chance = np.exp(scores - scores.max())
            chance /= chance.sum()
            share = chance * right[k]
            total = share.sum() + 1e-12
            value -= float(np.log(total))
            gradient = gradient + (chance - share / total) @ tables[k]
        return value, gradient.ravel()

    start = np.zeros(kinds * columns)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x.reshape(kinds, columns), np.float64)
