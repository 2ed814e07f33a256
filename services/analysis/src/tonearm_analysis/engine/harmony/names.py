"""Names of pitch classes, keys and chords, and how keys relate."""

from __future__ import annotations

from typing import Final

import numpy as np

from tonearm_analysis.engine.harmony.model import KeyRelation, Mode

PITCH_CLASSES: Final = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# Tonics as they are usually spelled in print, by mode.
_MAJOR: Final = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR: Final = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
N_KEYS: Final = 24
# The pitch classes as each root or tonic counts them: (roots, degrees).
DEGREES: Final = (np.arange(12)[:, None] + np.arange(12)) % 12
# 0-11 major triads from C, 12-23 minor triads, 24 no chord.
CHORD_VOCABULARY: Final = (
    *PITCH_CLASSES,
    *(f"{name}:min" for name in PITCH_CLASSES),
    "N",
)


def mode_of(key: int) -> Mode:
    """Mode of a key index: 0-11 major from C, 12-23 minor."""
    return "major" if key < 12 else "minor"


def tonic_name(key: int) -> str:
    """Tonic as usually spelled in that mode: 3 is "Eb", 13 is "C#"."""
    return (_MAJOR if key < 12 else _MINOR)[key % 12]


def key_name(key: int) -> str:
    """ "F# minor" for 18."""
    return f"{tonic_name(key)} {mode_of(key)}"


def _wheel_hour(key: int) -> int:
    """Fifths from C (or A minor), 0-11."""
    major_tonic = key if key < 12 else (key % 12 + 3) % 12
    return major_tonic * 7 % 12


def camelot_name(key: int) -> str:
    """ "8B" for C major, "8A" for A minor."""
    return f"{(_wheel_hour(key) + 7) % 12 + 1}{'B' if key < 12 else 'A'}"


def open_key_name(key: int) -> str:
    """ "1d" for C major, "1m" for A minor."""
    return f"{_wheel_hour(key) + 1}{'d' if key < 12 else 'm'}"


def relation(key: int, to: int) -> KeyRelation:
    """How one key relates to another."""
    if key == to:
        return "same"
    same_mode = (key < 12) == (to < 12)
    if same_mode and (key - to) % 12 in (5, 7):
        return "fifth"
    if not same_mode and key % 12 == to % 12:
        return "parallel"
    if not same_mode and _wheel_hour(key) == _wheel_hour(to):
        return "relative"
    return "other"
