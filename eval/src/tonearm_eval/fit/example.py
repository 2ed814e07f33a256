"""What the fits of rhythm need of one clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.rhythm import placing, presence, readings
from tonearm_analysis.engine.rhythm.section import Section
from tonearm_eval.clips import Clip
from tonearm_eval.fit.cache import HeardClip

Doubles = npt.NDArray[np.float64]

SAME_TEMPO: Final = 0.04
# A move of a grid is right where so many of its beats are; bars, where so many downbeats are.
RIGHT_BEATS, RIGHT_DOWNBEATS = 0.6, 0.85
BEAT_S, LABEL_S = 0.07, 0.09
BAR_BEATS: Final = {"6/8": 2, "3/4": 3, "4/4": 4}


@dataclass(frozen=True)
class Example:
    """A clip's grids and measures, and the places of the grid at the true tempo.

    hit: which grids are at the true tempo.  terms: of each place of the first of them (or of the
    first grid, where none is).  place: the index of the right one, None where there is none.
    presence: what tells that there is a beat, of the same grid.
    """

    clip: Clip
    grids: list[readings.Grid]
    values: list[dict[str, float]]
    hit: npt.NDArray[np.bool_]
    places: list[placing.Place]
    terms: Doubles
    place: int | None
    presence: dict[str, float]


def example(item: HeardClip) -> Example | None:
    """All that the fits need of one clip; None where no beats were found.

    Raises ValueError where its rhythm was not heard.
    """
    heard = item.heard
    if heard is None:
        raise ValueError(f"of {item.clip.name} harmony alone was heard")
    found = readings.grids(heard)
    if not found or item.clip.tempo_bpm is None:
        return None
    section = Section(heard, item.harmonic)
    values = readings.measures(section, found)
    truth = item.clip.tempo_bpm
    hit = np.array([abs(grid.bpm - truth) <= SAME_TEMPO * truth for grid in found])
    right = int(hit.argmax())
    kind = placing.KINDS[item.clip.meter == "6/8"]
    tried = placing.tried(section, found[right], kind)
    places, terms = placing.places(tried)
    place = None
    if hit.any() and item.clip.beats and item.clip.meter in BAR_BEATS:
        times = [t + heard.start_s for t in tried.times_s]
        place = _right_place(times, places, item.clip)
    presence_row = presence.measures(heard, found[right], values[right])
    return Example(item.clip, found, values, hit, places, terms, place, presence_row)


def _right_place(times_s: list[Doubles], places: list[placing.Place], clip: Clip) -> int | None:
    """Index of the move with most true beats, in bars that begin where the true ones do."""
    on = [_share_on_beats(t, clip) for t in times_s]
    shift, length = int(np.argmax(on)), BAR_BEATS[clip.meter or ""]
    if on[shift] < RIGHT_BEATS:
        return None
    down = _downbeat_labels(times_s[shift], clip)
    known = ~np.isnan(down)
    beat = np.arange(len(down))
    fits = [((beat - first) % length == 0)[known] == (down[known] == 1) for first in range(length)]
    agreed = [float(fit.mean()) if known.any() else 0.0 for fit in fits]
    first = int(np.argmax(agreed))
    if agreed[first] <= RIGHT_DOWNBEATS:
        return None
    return places.index(placing.Place(shift, length, first))


def _nearest(times_s: Doubles, clip: Clip) -> tuple[npt.NDArray[np.int64], Doubles]:
    """For each time the true beat nearest to it and how far it is."""
    true = np.array([t for t, _ in clip.beats])
    away = np.abs(true[None] - times_s[:, None])
    return away.argmin(axis=1), away.min(axis=1)


def _share_on_beats(times_s: Doubles, clip: Clip) -> float:
    """Share of the times within the true beats' span that are at one of them."""
    inside = (times_s > clip.beats[0][0] - 0.1) & (times_s < clip.beats[-1][0] + 0.1)
    _, away = _nearest(times_s, clip)
    return float((away < BEAT_S)[inside].mean()) if inside.any() else 0.0


def _downbeat_labels(times_s: Doubles, clip: Clip) -> Doubles:
    """1 on downbeats, 0 on other beats, NaN where no true beat is near."""
    nearest, away = _nearest(times_s, clip)
    numbers = np.array([n for _, n in clip.beats])
    return np.where(away < LABEL_S, (numbers[nearest] == 1).astype(float), np.nan)
