"""Which key: means over the recording, its first chord and the chords on which phrases begin,
weighed by degree of the scale.

The last two weigh much where the music itself begins, and little where it is cut out of something
longer: there the first chord is any chord.  A soft-max over 24 keys makes probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.harmony import names
from tonearm_analysis.engine.harmony.cqt import FRAME_RATE_HZ
from tonearm_analysis.engine.harmony.listening import HeardHarmony
from tonearm_analysis.engine.harmony.model import Chord
from tonearm_analysis.engine.harmony.sums import Frames, KeySums
from tonearm_analysis.engine.models import read_numbers

Doubles = npt.NDArray[np.float64]

WEIGHTS: Final = "key_weights"
# Means of these are scaled to mean 1, and stand a second time with their square roots, which tell
# absent degrees from rare ones.  How often each chord sounds is left out: on music of kinds that a
# fit does not know, weights of it mislead more than they help (eval/README.md).
CHROMAS: Final = ("bass", "treble", "pitch")
PLACED: Final = ("opens major", "opens minor", "phrases major", "phrases minor")
FROM_START: Final = tuple(f"{name} from the start" for name in PLACED)
FEATURES: Final = (*CHROMAS, *(f"root of {name}" for name in CHROMAS), *PLACED, *FROM_START)
ROOT_SCALE: Final = 2.0
PHRASE_SCALE: Final = 2.0
PHRASE_BARS: Final = 4
FEWEST_BARS: Final = 4
NO_CHORD: Final = 24


def key_measures(
    heard: HeardHarmony,
    frames: Frames,
    *,
    chords: Sequence[Chord] = (),
    downbeats_s: Sequence[float] = (),
    begins: float = 0.0,
) -> Doubles:
    """Measures by pitch class from C, shape (12, 14), of the given frames.

    chords, downbeats_s: of the recording; without them nothing opens it and no phrase begins.
    begins: how surely the music begins where the recording does, 0 to 1 (`reader.beginning`).
    """
    sums = KeySums.of(heard, frames)
    return measures_of(sums, chords=chords, downbeats_s=downbeats_s, begins=begins)


def measures_of(
    sums: KeySums,
    *,
    chords: Sequence[Chord] = (),
    downbeats_s: Sequence[float] | Doubles = (),
    begins: float = 0.0,
) -> Doubles:
    """`key_measures` of frames that are summed already; at least one frame."""
    columns = []
    for name in CHROMAS:
        mean = getattr(sums, name) / sums.frames
        columns.append(mean / (mean.mean() + 1e-9))
    columns += [ROOT_SCALE * np.sqrt(column) for column in columns]
    opens = np.zeros(NO_CHORD + 1)
    opens[opening_chord(chords)] = 1.0
    phrases = PHRASE_SCALE * phrase_chords(chords, downbeats_s)
    placed = np.concatenate([opens[:NO_CHORD], phrases]).reshape(len(PLACED), 12)
    return np.stack([*columns, *placed, *(begins * placed)], axis=1)


def opening_chord(chords: Sequence[Chord]) -> int:
    """The first chord that is one: 0-11 major from C, 12-23 minor; 24 without any."""
    indices = (names.CHORD_VOCABULARY.index(chord.label) for chord in chords)
    return next((index for index in indices if index < NO_CHORD), NO_CHORD)


def phrase_chords(chords: Sequence[Chord], downbeats_s: Sequence[float] | Doubles) -> Doubles:
    """Shares of the chords that sound on every fourth downbeat from the first, shape (24,).

    Loops and phrases mostly take two, four or eight bars, and where one begins tells a key from its
    neighbours with the same chords.  Zeros with fewer than four downbeats.
    """
    shares = np.zeros(NO_CHORD)
    if len(downbeats_s) < FEWEST_BARS or not chords:
        return shares
    # Chords change on the beat's frame, which may be rounded to after the beat.
    starts = np.array([chord.start_s for chord in chords]) - 1 / FRAME_RATE_HZ
    at = np.searchsorted(starts, np.array(downbeats_s[::PHRASE_BARS]), side="right") - 1
    for index in at[at >= 0]:
        label = names.CHORD_VOCABULARY.index(chords[index].label)
        if label < NO_CHORD:
            shares[label] += 1.0
    return shares / max(float(shares.sum()), 1.0)


def key_scores(measures: Doubles) -> Doubles:
    """Score of each of 24 keys (12 major from C, 12 minor); their soft-max is the probability."""
    weights: dict[str, Any] = read_numbers(WEIGHTS)
    turned = measures[names.DEGREES]
    major = np.einsum("tdf,df->t", turned, np.array(weights["major"]))
    minor = np.einsum("tdf,df->t", turned, np.array(weights["minor"])) + weights["minor_bias"]
    return np.asarray(np.concatenate([major, minor]) / weights["temperature"], np.float64)
