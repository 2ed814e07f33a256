"""Soft-max fits over alternatives learn what tells them apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.rhythm.readings import network_scores
from tonearm_eval.fit.alternatives import choice, networks

Doubles = NDArray[np.float64]


def clips_with_a_right_row(n: int, rows: int) -> tuple[list[Doubles], list[int]]:
    """Tables of noise in which the right row is larger in the first column."""
    rng = np.random.default_rng(3)
    tables = [rng.standard_normal((rows, 4)) for _ in range(n)]
    right = [int(rng.integers(rows)) for _ in range(n)]
    for table, row in zip(tables, right, strict=True):
        table[row, 0] += 3.0
    return tables, right


def test_the_linear_choice_finds_the_column_that_tells() -> None:
    tables, right = clips_with_a_right_row(80, 5)
    w = choice(tables, right, l2=1.0)
    assert np.abs(w).argmax() == 0
    assert w[0] > 0
    found = [int((table @ w).argmax()) for table in tables]
    assert np.mean(np.array(found) == right) > 0.8


def test_networks_learn_what_no_weighted_sum_tells() -> None:
    rng = np.random.default_rng(4)
    signs = rng.choice([-1.0, 1.0], (240, 2, 2))
    # The right row is the one whose two columns have the same sign; the other's differ.
    signs[:, 0, 1], signs[:, 1, 1] = signs[:, 0, 0], -signs[:, 1, 0]
    tables = list(signs + 0.1 * rng.standard_normal(signs.shape))
    right = [np.array([[True, False]]) for _ in tables]
    nets = networks(tables, right, straight_l2=1.0, hidden_l2=0.1)
    scores = [np.mean([network_scores(net, table) for net in nets], axis=0) for table in tables]
    assert np.mean([row[0, 0] > row[1, 0] for row in scores]) > 0.95


def test_a_clip_without_a_right_alternative_changes_nothing() -> None:
    tables, right = clips_with_a_right_row(20, 3)
    flags = [np.arange(3)[None] == row for row in right]
    without = [*flags, np.zeros((1, 3), bool)]
    rng = np.random.default_rng(5)
    plain = networks(tables, flags, straight_l2=1.0, hidden_l2=1.0)
    more = networks([*tables, rng.standard_normal((3, 4))], without, straight_l2=1.0, hidden_l2=1.0)
    for first, second in zip(plain, more, strict=True):
        assert all((first[name] == second[name]).all() for name in first)
