"""Soft-max fits over alternatives: one linear, one by small networks.

Both take a table (alternatives, columns) per clip; what is right of it may be several alternatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from tonearm_analysis.engine.numerics import softmax

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NETWORKS: Final = 3
HIDDEN: Final = 16
ROUNDS: Final = 300


def choice(tables: Sequence[Doubles], right: Sequence[int], *, l2: float) -> Doubles:
    """Weights (columns,) of a soft-max over the rows of each table, which all have as many rows."""
    table, index = np.stack(tables), np.array(right)
    clips = np.arange(len(index))

    def loss(w: Doubles) -> tuple[float, Doubles]:
        scores = table @ w
        chance = softmax(scores, axis=1)
        value = -np.log(chance[clips, index] + 1e-12).sum() + l2 * (w @ w)
        chance[clips, index] -= 1.0
        return float(value), np.einsum("nh,nhf->f", chance, table) + 2 * l2 * w

    start = np.zeros(table.shape[2])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS})
    return np.asarray(found.x, np.float64)


class _Clips:
    """The tables side by side, and the loss of scores for them."""

    def __init__(self, tables: Sequence[Doubles], right: Sequence[Flags]) -> None:
        used = [k for k in range(len(tables)) if right[k].any()]
        self.shape = (len(used), max(len(tables[k]) for k in used), right[0].shape[0])
        clips, most, kinds = self.shape
        table = np.zeros((clips, most, tables[0].shape[1]))
        self.wanted = np.zeros((clips, most, kinds))
        self.absent = np.full((clips, most, 1), -1e9)
        for row, k in enumerate(used):
            n = len(tables[k])
            table[row, :n], self.wanted[row, :n] = tables[k], right[k].T
            self.absent[row, :n] = 0.0
        self.rows = table.reshape(clips * most, -1)

    def loss(self, scores: Doubles) -> tuple[float, Doubles]:
        """Loss and its slope by each score, (rows, kinds)."""
        shaped = scores.reshape(self.shape) + self.absent
        chance = softmax(shaped, axis=(1, 2))
        share = chance * self.wanted
        total = share.sum(axis=(1, 2), keepdims=True) + 1e-12
        return -float(np.log(total).sum()), (chance - share / total).reshape(scores.shape)


def networks(
    tables: Sequence[Doubles],
    right: Sequence[Flags],
    *,
    straight_l2: float,
    hidden_l2: float,
) -> list[dict[str, Any]]:
    """Small networks that score (row, kind) alternatives, from different random starts.

    tables: (rows, columns) per clip.  right: (kinds, rows) per clip; a clip with none is left out.
    Each network is a linear part, whose weights cost `straight_l2`, and one hidden layer beside it.
    """
    clips = _Clips(tables, right)
    columns, kinds = clips.rows.shape[1], clips.shape[2]
    shapes = {
        "straight": (columns, kinds),
        "bias": (kinds,),
        "into": (columns, HIDDEN),
        "into_bias": (HIDDEN,),
        "out": (HIDDEN, kinds),
    }
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    cost = {"straight": straight_l2, "into": hidden_l2, "out": hidden_l2}

    def parts(flat: Doubles) -> dict[str, Doubles]:
        split = np.split(flat, cuts[:-1])
        return {n: v.reshape(s) for (n, s), v in zip(shapes.items(), split, strict=True)}

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        net = parts(flat)
        hidden = np.tanh(clips.rows @ net["into"] + net["into_bias"])
        scores = clips.rows @ net["straight"] + net["bias"] + hidden @ net["out"]
        value, slope = clips.loss(scores)
        inner = (slope @ net["out"].T) * (1 - hidden * hidden)
        slopes = {
            "straight": clips.rows.T @ slope,
            "bias": slope.sum(axis=0),
            "into": clips.rows.T @ inner,
            "into_bias": inner.sum(axis=0),
            "out": hidden.T @ slope,
        }
        for name, l2 in cost.items():
            value += l2 * float((net[name] ** 2).sum())
            slopes[name] = slopes[name] + 2 * l2 * net[name]
        return value, np.concatenate([slopes[name].ravel() for name in shapes])

    found = []
    for seed in range(NETWORKS):
        rng = np.random.default_rng(seed)
        start = {name: np.zeros(shape) for name, shape in shapes.items()}
        start["into"] = 0.1 * rng.standard_normal(shapes["into"])
        start["into_bias"] = 0.3 * rng.standard_normal(HIDDEN)
        start["out"] = 0.3 * rng.standard_normal(shapes["out"])
        flat = np.concatenate([start[name].ravel() for name in shapes])
        best = minimize(loss, flat, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS})
        found.append(parts(best.x))
    return found
