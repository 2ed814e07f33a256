"""Names of keys on the wheels that DJs use, and how keys relate."""

from __future__ import annotations

import pytest

from tonearm_analysis.engine.harmony import names


@pytest.mark.parametrize(
    ("key", "name", "camelot", "open_key"),
    [
        (0, "C major", "8B", "1d"),
        (12 + 9, "A minor", "8A", "1m"),
        (7, "G major", "9B", "2d"),
        (12 + 4, "E minor", "9A", "2m"),
        (5, "F major", "7B", "12d"),
        (12 + 6, "F# minor", "11A", "4m"),
        (3, "Eb major", "5B", "10d"),
        (11, "B major", "1B", "6d"),
        (12 + 8, "G# minor", "1A", "6m"),
        (1, "Db major", "3B", "8d"),
    ],
)
def test_wheels(key: int, name: str, camelot: str, open_key: str) -> None:
    assert names.key_name(key) == name
    assert names.camelot_name(key) == camelot
    assert names.open_key_name(key) == open_key


def test_every_key_has_its_own_names() -> None:
    keys = range(names.N_KEYS)
    assert len({names.camelot_name(k) for k in keys}) == names.N_KEYS
    assert len({names.open_key_name(k) for k in keys}) == names.N_KEYS


@pytest.mark.parametrize(
    ("key", "to", "relation"),
    [
        (0, 0, "same"),
        (7, 0, "fifth"),
        (5, 0, "fifth"),
        (12, 0, "parallel"),
        (21, 0, "relative"),
        (0, 21, "relative"),
        (2, 0, "other"),
        (16, 0, "other"),
    ],
)
def test_relations(key: int, to: int, relation: str) -> None:
    assert names.relation(key, to) == relation
