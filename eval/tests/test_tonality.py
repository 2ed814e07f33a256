"""Whose scale holds a clip's chords."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tonearm_eval import tonality
from tonearm_eval.clips import Clip

CLIP = Clip("a", Path("a.wav"), "pop", 8.0, 120.0, 0, "4/4", (), ())


@pytest.mark.parametrize(
    ("key", "labels", "expected"),
    [
        (0, "C F G:7", tonality.SEVERAL),
        (0, "N C G", tonality.SEVERAL),
        (0, "C D", tonality.ANOTHERS),
        (0, "C F Bb F", tonality.ANOTHERS),
        (0, "C:7 F:7", tonality.NONE),
        (21, "A:min D:min E:maj", tonality.ITS_OWN),
        (21, "A:min7 B:hdim7 E:7", tonality.ITS_OWN),
        (0, "N", ""),
        (0, "", ""),
        (None, "C F G:7", ""),
    ],
)
def test_chords_fit_one_key_or_several_or_only_others(
    key: int | None, labels: str, expected: str
) -> None:
    chords = tuple((float(n), n + 1.0, label) for n, label in enumerate(labels.split()))
    assert tonality.holding(replace(CLIP, key=key, chords=chords)) == expected
