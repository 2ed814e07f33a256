"""Logistic regression."""

from __future__ import annotations

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
