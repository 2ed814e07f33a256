"""The card: the best setting, paired differences, calibration, and a page that says it all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tonearm_eval import accuracy, reliability
from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.comparison import best_settings, by_group, lead, paired_difference
from tonearm_eval.generator.__main__ import generate
from tonearm_eval.generator.clip import Job
from tonearm_eval.page import page, style_table
from tonearm_eval.run import known_answers, scored

CLIP = Clip(
    name="a", path=Path("a.wav"), style="pop", duration_s=8.0, tempo_bpm=120.0, key=0,
    meter="4/4", beats=(), chords=((0.0, 4.0, "C"), (4.0, 8.0, "G")),
)  # fmt: skip


def test_a_peer_stands_with_the_setting_that_scores_best() -> None:
    scores = {
        "one": [{"key_exact": 1.0}, {"key_exact": 0.0}, {"key_exact": 0.0}],
        "two": [{"key_exact": 1.0}, {"key_exact": 1.0}, {"key_exact": 0.0}],
        "hardly run": [{"key_exact": 1.0}, {}, {}],
    }
    best = best_settings(scores)
    assert best["key_exact"]["setting"] == "two"
    assert best["key_exact"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert set(best) == {"key_exact"}


def test_a_paired_difference_counts_clips_that_both_have() -> None:
    ours, theirs = np.array([1.0, 1.0, np.nan, 1.0]), np.array([0.0, 0.0, 1.0, np.nan])
    found = paired_difference(ours, theirs)
    assert (found["difference"], found["low"], found["high"]) == (1.0, 1.0, 1.0)
    assert found["clips"] == 2


def test_the_lead_is_over_the_best_peer() -> None:
    rows = {
        "us": {"full": [{"meter": 1.0}, {"meter": 1.0}]},
        "weak": {"x": [{"meter": 0.0}, {"meter": 0.0}]},
        "strong": {"x": [{"meter": 1.0}, {"meter": 0.0}]},
    }
    found = lead(rows, "us", ["weak", "strong"])
    assert found["meter"]["peer"] == "strong"
    assert found["meter"]["difference"] == 0.5


def test_groups_take_their_own_clips() -> None:
    scores = {"x": [{"tempo_acc1": 1.0}, {"tempo_acc1": 0.0}]}
    found = by_group(scores, ["pop", "jazz"], ("tempo_acc1",))
    assert found == {
        "pop": {"clips": 1, "tempo_acc1": 1.0},
        "jazz": {"clips": 1, "tempo_acc1": 0.0},
    }


def answer(**more: object) -> dict[str, object]:
    """An answer of ours to CLIP, right but for its second chord."""
    return {
        "path": str(CLIP.path.resolve()), "tempo_bpm": 120.0, "tempo_confidence": 0.9,
        "beats_s": [], "downbeats_s": [], "meter": "4/4", "meter_confidence": 0.8,
        "key": "C major", "key_confidence": 0.6,
        "chords": [[0.0, 4.0, "C", 0.96], [4.0, 8.0, "A:min", 0.55]],
    } | more  # fmt: skip


def test_chords_weigh_by_their_seconds() -> None:
    found = reliability.pairs(CLIP, answer())
    assert found["chords"] == [(0.96, 1.0, 4.0), (0.55, 0.0, 4.0)]
    assert found["tempo"] == [(0.9, True, 1.0)]


def test_calibration_error_is_the_gap_between_stated_and_true() -> None:
    rows = reliability.binned([(0.75, 1.0, 1.0), (0.75, 0.0, 1.0), (1.0, 1.0, 2.0)])
    assert [(row["stated"], row["true"], row["weight"]) for row in rows] == [
        (0.75, 0.5, 2.0),
        (1.0, 1.0, 2.0),
    ]
    assert reliability.calibration_error(rows) == pytest.approx(0.125)


def test_answers_of_another_engine_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "tonearm.jsonl"
    old = answer(engine_version="0.0.0-other")
    file.write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert known_answers(file) == {}


def test_the_page_has_every_analyser_and_bold_winners(tmp_path: Path) -> None:
    clips, out = tmp_path / "few", tmp_path / "answers"
    clips.mkdir()
    out.mkdir()
    (clips / "manifest.csv").write_text(
        "path,tempo_bpm,key,mode,meter,style\na.wav,120,C,major,4/4,pop\nb.wav,90,D,minor,3/4,folk\n"
    )
    paths = [str(clip.path.resolve()) for clip in read_manifest(clips)]
    ours = [
        answer(path=paths[0]),
        answer(path=paths[1], tempo_bpm=90.0, meter="3/4", key="D minor"),
    ]
    theirs = [{"path": path, "settings": {"default": {"tempo_bpm": 120.0}}} for path in paths]
    for name, rows in (("tonearm", ours), ("aubio", theirs)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    assert len(scored("aubio", read_manifest(clips), out)["default"]) == 2
    data = accuracy.card([clips], out, ["tonearm", "aubio"])
    text = page(data)
    assert "| tonearm | **1.000** ± 0.000 |" in text
    assert "| aubio | 0.500 ± 0.500 |" in text
    assert "| tempo Acc1 | 1.000 | 0.500 | aubio, default | +0.500 |" in text
    assert data["sets"]["few"]["reliability"] == {}
    answers = {str(row["path"]): row for row in ours}
    found = reliability.tables(read_manifest(clips), answers)
    assert set(found) == {"tempo", "meter", "key"}
    assert reliability.diagram(found).count("<polyline") == 3


def test_degraded_excerpts_of_the_test_split_are_a_set_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate([Job("test", 4, 0, "folk", 5, "minor", fonts=False)], tmp_path / "test")
    monkeypatch.setattr(accuracy, "ROUGH_CLIPS", 2)
    for _ in range(2):
        accuracy.ensure_rough(tmp_path / "rough", tmp_path / "test")
        clips = read_manifest(tmp_path / "rough")
        assert [clip.cut_from for clip in clips] == ["test/t0000/folk"] * 2
    assert accuracy.about(tmp_path / "rough") == [accuracy.ROUGH]


def test_a_table_of_styles_has_those_that_somebody_answered() -> None:
    groups = {"tonearm": {"drive": {"clips": 2, "key_exact": 0.5}, "room": {"clips": 1}}}
    lines = style_table(groups, ("key_exact", "chord_share"))
    assert "| drive | 2 | 0.50 / - |" in lines
    assert not any("room" in line for line in lines)
    assert style_table(groups, ("tempo_acc1", "tempo_acc2")) == []
