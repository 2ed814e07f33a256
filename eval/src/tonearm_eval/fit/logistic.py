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
    most = max(len(tables[k]) for k in used)
    table = np.zeros((len(used), most, columns))
    there = np.zeros((len(used), 1, most), bool)
    wanted = np.zeros((len(used), kinds, most))
    for row, k in enumerate(used):
        n = len(tables[k])
        table[row, :n], there[row, :, :n], wanted[row, :, :n] = tables[k], True, right[k]

    def loss(p: Doubles) -> tuple[float, Doubles]:
        w = p.reshape(kinds, columns)
        held = w.copy()
        held[:, -1] = 0.0
        scores = np.where(there, (table @ w.T).transpose(0, 2, 1), -np.inf)
        chance = np.exp(scores - scores.max(axis=(1, 2), keepdims=True))
        chance /= chance.sum(axis=(1, 2), keepdims=True)
        share = chance * wanted
        total = share.sum(axis=(1, 2), keepdims=True) + 1e-12
        error = (chance - share / total).transpose(1, 0, 2).reshape(kinds, -1)
        gradient = error @ table.reshape(-1, columns) + 2 * l2 * held
        return float(l2 * (held**2).sum() - np.log(total).sum()), gradient.ravel()

    start = np.zeros(kinds * columns)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x.reshape(kinds, columns), np.float64)
