"""What the chords of a clip say of its key: which keys' scales hold all of their notes.

Where only another key's scale does, as in a vamp on I and II, no count of notes can tell the key;
which chord is home is then heard from where music and phrases begin, or not at all.
"""

from __future__ import annotations

from typing import Final

import mir_eval

from tonearm_eval.clips import Clip

MAJOR: Final = frozenset({0, 2, 4, 5, 7, 9, 11})
# Natural minor, and the leading note of harmonic minor.
MINOR: Final = frozenset({0, 2, 3, 5, 7, 8, 10, 11})
KEYS: Final = 24
ITS_OWN, SEVERAL, ANOTHERS, NONE = (
    "its own key's scale alone",
    "its own key's and others'",
    "other keys' scales alone",
    "no key's scale",
)


def scale(key: int) -> frozenset[int]:
    """Pitch classes from C of a key, 0-11 major, 12-23 minor."""
    return frozenset((key + degree) % 12 for degree in (MAJOR if key < 12 else MINOR))


def notes(label: str) -> frozenset[int]:
    """Pitch classes of a chord, from C; none of "N"."""
    root, intervals, _ = mir_eval.chord.encode(label)
    return frozenset((root + step) % 12 for step in range(12) if intervals[step])


def holding(clip: Clip) -> str:
    """Whose scale holds all notes of the clip's chords; "" without key or chords."""
    sounding = frozenset[int]().union(*(notes(label) for _, _, label in clip.chords))
    if clip.key is None or not sounding:
        return ""
    keys = {key for key in range(KEYS) if sounding <= scale(key)}
    if not keys:
        return NONE
    if clip.key not in keys:
        return ANOTHERS
    return SEVERAL if len(keys) > 1 else ITS_OWN
