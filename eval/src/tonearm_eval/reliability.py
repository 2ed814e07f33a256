"""Stated confidence against how often it came true, as numbers and as a diagram."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

import numpy as np

from tonearm_eval.clips import Clip
from tonearm_eval.score import chord_share, key_index

BINS: Final = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0001)
SIDE, MARGIN = 180, 34

Pair = tuple[float, float, float]
"""Stated, true (a share), weight."""


def pairs(clip: Clip, answer: dict[str, Any]) -> dict[str, list[Pair]]:
    """What one answer stated and what came of it, by estimate; chords weigh by their seconds."""
    out: dict[str, list[Pair]] = {"tempo": [], "meter": [], "key": [], "chords": []}
    if clip.tempo_bpm and answer["tempo_bpm"]:
        right = abs(answer["tempo_bpm"] - clip.tempo_bpm) <= 0.04 * clip.tempo_bpm
        out["tempo"].append((answer["tempo_confidence"], right, 1.0))
    if clip.meter and answer["meter"]:
        out["meter"].append((answer["meter_confidence"], answer["meter"] == clip.meter, 1.0))
    if clip.key is not None and answer["key"]:
        out["key"].append((answer["key_confidence"], key_index(answer["key"]) == clip.key, 1.0))
    if clip.chords:
        for start, stop, label, confidence in answer["chords"]:
            true = _share_within(clip, start, stop, label)
            if np.isfinite(true):
                out["chords"].append((confidence, true, stop - start))
    return out


def _share_within(clip: Clip, start_s: float, stop_s: float, label: str) -> float:
    """Share of a stretch in which the label is right; NaN where no triad is known."""
    inside = tuple(
        (max(a, start_s) - start_s, min(b, stop_s) - start_s, name)
        for a, b, name in clip.chords
        if b > start_s and a < stop_s
    )
    if not inside:
        return float("nan")
    part = Clip("", clip.path, "", None, None, None, None, (), inside)
    return chord_share(part, [(0.0, stop_s - start_s, label)])


def binned(stated: Iterable[Pair]) -> list[dict[str, float]]:
    """Means within bins of stated confidence; `weight` is clips, or seconds for chords."""
    table, rows = np.array(list(stated), float).reshape(-1, 3), []
    for low, high in pairwise(BINS):
        inside = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        if len(inside) and inside[:, 2].sum() > 0:
            rows.append({
                "from": low,
                "to": min(high, 1.0),
                "weight": round(float(inside[:, 2].sum()), 1),
                "stated": round(float(np.average(inside[:, 0], weights=inside[:, 2])), 3),
                "true": round(float(np.average(inside[:, 1], weights=inside[:, 2])), 3),
            })  # fmt: skip
    return rows


def calibration_error(rows: list[dict[str, float]]) -> float:
    """Mean distance between stated and true, weighed by how much lies in each bin."""
    if not rows:
        return float("nan")
    gaps = [abs(row["stated"] - row["true"]) for row in rows]
    return round(float(np.average(gaps, weights=[row["weight"] for row in rows])), 4)


def tables(clips: list[Clip], answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Bins and calibration error of every estimate that there is truth for."""
    found: dict[str, list[Pair]] = {}
    for clip in clips:
        answer = answers.get(str(clip.path.resolve()))
        if answer is not None:
            for estimate, more in pairs(clip, answer).items():
                found.setdefault(estimate, []).extend(more)
    out = {}
    for estimate, stated in found.items():
        rows = binned(stated)
        if rows:
            out[estimate] = {"calibration_error": calibration_error(rows), "bins": rows}
    return out


def diagram(reliability: dict[str, Any]) -> str:
    """An SVG: one square an estimate, the diagonal is perfect, a dot's area is its weight."""
    step = SIDE + MARGIN + 16
    width, height = MARGIN + step * len(reliability), SIDE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for index, (estimate, found) in enumerate(reliability.items()):
        left, top = MARGIN + index * step, MARGIN
        parts += [
            f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" '
            'stroke="#999"/>',
            f'<line x1="{left}" y1="{top + SIDE}" x2="{left + SIDE}" y2="{top}" '
            'stroke="#bbb" stroke-dasharray="4 3"/>',
            f'<text x="{left}" y="{top - 8}" font-weight="bold">{estimate} '
            f"(error {found['calibration_error']:.3f})</text>",
            f'<text x="{left}" y="{top + SIDE + 16}">stated 0 to 1; true 0 to 1 upwards</text>',
        ]
        total = sum(row["weight"] for row in found["bins"])
        spots = [
            (left + SIDE * row["stated"], top + SIDE * (1 - row["true"]), row["weight"] / total)
            for row in found["bins"]
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in spots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="#2563eb"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + 9 * share**0.5:.1f}" fill="#2563eb" '
            'fill-opacity=".45"/>'
            for x, y, share in spots
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
