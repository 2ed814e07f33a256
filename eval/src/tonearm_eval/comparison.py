"""Analysers side by side: each at its best setting, with standard errors and paired differences."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_eval.score import METRICS

Doubles = npt.NDArray[np.float64]
Scores = dict[str, list[dict[str, float]]]
"""Of one analyser: the scores of every clip, in the order of the clips, by setting."""

# A setting that answered fewer of the clips that have truth does not stand for its analyser.
COMPLETE: Final = 0.9
RESAMPLES: Final = 10_000


def column(rows: list[dict[str, float]], metric: str) -> Doubles:
    """One metric over all clips; NaN where a clip has no score."""
    return np.array([row.get(metric, np.nan) for row in rows], np.float64)


def summary(values: Doubles) -> dict[str, float | int]:
    """Mean, standard error and count of what is there."""
    known = values[np.isfinite(values)]
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else 0.0
    return {
        "mean": round(float(known.mean()), 4),
        "standard_error": round(float(error), 4),
        "clips": len(known),
    }


def best_settings(scores: Scores) -> dict[str, dict[str, Any]]:
    """For each metric the setting that scores best on these very clips, in the analyser's favour.

    Settings that answered too few of the clips stand only where there is no other.
    """
    out: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        found = {
            setting: summary(values)
            for setting, rows in scores.items()
            if np.isfinite(values := column(rows, metric)).any()
        }
        if found:
            most = max(cell["clips"] for cell in found.values())
            whole = {s: cell for s, cell in found.items() if cell["clips"] >= COMPLETE * most}
            setting = max(whole, key=lambda name: whole[name]["mean"])
            out[metric] = {"setting": setting, **whole[setting]}
    return out


def paired_difference(ours: Doubles, theirs: Doubles) -> dict[str, float | int]:
    """Mean difference on the clips that both have, with a 95 % bootstrap interval (seeded)."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    gaps = (ours - theirs)[both]
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(gaps), size=(RESAMPLES, len(gaps)))
    low, high = np.quantile(gaps[drawn].mean(axis=1), [0.025, 0.975])
    return {
        "difference": round(float(gaps.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "clips": len(gaps),
    }


def lead(all_scores: dict[str, Scores], us: str, peers: list[str]) -> dict[str, dict[str, Any]]:
    """For each metric the best peer at its best setting, and how far we are ahead of it."""
    out: dict[str, dict[str, Any]] = {}
    mine = best_settings(all_scores[us])
    theirs = {name: best_settings(all_scores[name]) for name in peers}
    for metric, own in mine.items():
        rivals = {name: cells[metric] for name, cells in theirs.items() if metric in cells}
        if not rivals:
            continue
        name = max(rivals, key=lambda peer: rivals[peer]["mean"])
        setting = rivals[name]["setting"]
        gap = paired_difference(
            column(all_scores[us][own["setting"]], metric),
            column(all_scores[name][setting], metric),
        )
        out[metric] = {"peer": name, "setting": setting, "mean": rivals[name]["mean"], **gap}
    return out


def by_group(
    scores: Scores, names: list[str], metrics: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Means by group, at the settings that are best over all clips; names: of every clip's group."""
    chosen = best_settings(scores)
    out: dict[str, dict[str, float]] = {}
    for name in sorted(set(names)):
        inside = np.array([other == name for other in names])
        row: dict[str, float] = {"clips": int(inside.sum())}
        for metric in metrics:
            if metric in chosen:
                values = column(scores[chosen[metric]["setting"]], metric)[inside]
                if np.isfinite(values).any():
                    row[metric] = round(float(np.nanmean(values)), 4)
        out[name] = row
    return out
