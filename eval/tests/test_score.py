"""The metrics on answers whose marks are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.score import Answer, key_weight, means, score, triad

BEATS = tuple((0.5 * k, k % 4 + 1) for k in range(60))
CLIP = Clip(
    name="a", path=Path("a.wav"), style="pop", duration_s=30.0, tempo_bpm=120.0, key=9 + 12,
    meter="4/4", beats=BEATS, chords=((0.0, 10.0, "A:min"), (10.0, 30.0, "F:maj7")),
)  # fmt: skip


def test_a_perfect_answer_scores_one_everywhere() -> None:
    answer = Answer(
        120.0, tuple(t for t, _ in BEATS), tuple(t for t, k in BEATS if k == 1), "4/4", "A minor",
        ((0.0, 10.0, "A:min"), (10.0, 30.0, "F")),
    )  # fmt: skip
    assert set(score(CLIP, answer).values()) == {1.0}
    assert len(score(CLIP, answer)) == 9


def test_half_the_tempo_counts_for_the_lenient_metrics_alone() -> None:
    marks = score(CLIP, Answer(60.0, tuple(t for t, _ in BEATS[::2])))
    assert (marks["tempo_acc1"], marks["tempo_acc2"]) == (0.0, 1.0)
    assert marks["beat_f"] == pytest.approx(2 / 3, abs=0.02)
    assert marks["beat_amlt"] == 1.0
    assert "key_exact" not in marks


def test_none_is_wrong_and_silence_is_missing() -> None:
    none = score(CLIP, Answer.of({"tempo_bpm": None, "key": None, "meter": None}))
    assert none == {
        "tempo_acc1": 0.0, "tempo_acc2": 0.0, "meter": 0.0, "key_exact": 0.0, "key_weighted": 0.0,
    }  # fmt: skip
    assert score(CLIP, Answer.of({})) == {}


@pytest.mark.parametrize(
    ("truth", "estimate", "weight"),
    [(0, 0, 1.0), (0, 7, 0.5), (0, 5, 0.0), (0, 21, 0.3), (21, 0, 0.3), (0, 12, 0.2), (0, 2, 0.0)],
)
def test_key_weights(truth: int, estimate: int, weight: float) -> None:
    assert key_weight(truth, estimate) == weight


@pytest.mark.parametrize(
    ("label", "value"),
    [("C", 0), ("Bb:7", 10), ("F#:min7", 18), ("N", 24), ("D:sus4", None), ("B:hdim7", None)],
)
def test_triads(label: str, value: int | None) -> None:
    assert triad(label) == value


def test_means_count_what_is_there() -> None:
    assert means([{"beat_f": 1.0}, {"beat_f": 0.5, "meter": 1.0}]) == {
        "beat_f": (0.75, 2),
        "meter": (1.0, 1),
    }


def test_a_manifest_is_read_with_what_lies_beside_it(tmp_path: Path) -> None:
    for name in ("beats", "chords"):
        (tmp_path / name).mkdir()
    (tmp_path / "beats/x.beats").write_text("0.5\t1\n1.0\t2\n")
    (tmp_path / "chords/x.lab").write_text("0.0\t2.0\tC:min\n")
    (tmp_path / "manifest.csv").write_text(
        "path,duration_s,tempo_bpm,key,mode,meter,labels\n"
        "audio/x.wav,2.0,120,Eb,minor,4/4,\naudio/y.wav,2.0,99,,,,tempo_suspect\n"
    )
    first, second = read_manifest(tmp_path)
    assert first.beats == ((0.5, 1), (1.0, 2))
    assert first.chords == ((0.0, 2.0, "C:min"),)
    assert (first.key, first.tempo_bpm) == (15, 120.0)
    assert (second.key, second.tempo_bpm, second.beats) == (None, None, ())
