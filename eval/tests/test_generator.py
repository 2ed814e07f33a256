"""Generated clips are what they say, and the splits share nothing."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from tonearm_eval.clips import read_manifest
from tonearm_eval.generator import related, soundfont
from tonearm_eval.generator.__main__ import arguments, generate
from tonearm_eval.generator.beatless import KINDS, sound
from tonearm_eval.generator.clip import Job, material_of
from tonearm_eval.generator.compose import compose
from tonearm_eval.generator.drawn import STEPS, drawn_jobs
from tonearm_eval.generator.jobs import MODES, composed_jobs, plan
from tonearm_eval.generator.loops import LENGTHS, as_loop, drawn
from tonearm_eval.generator.material import DEV, STYLES
from tonearm_eval.generator.material_held_out import TEST
from tonearm_eval.generator.piece import BAR_QUARTERS, TempoMap
from tonearm_eval.generator.varied import varied_jobs

# Of the truth of one clip that the shipped weights were fitted on.
EARLIER = "0810510c87699babae7b5c05ddca3ead435cde0077a51ce555bce9ed02773eed"


def test_splits_share_no_progression_whatever_its_first_chord() -> None:
    dev, test = (
        {as_loop(p) for pool in material.progressions.values() for p in pool}
        for material in (DEV, TEST)
    )
    assert not dev & test


def test_a_loop_has_no_beginning() -> None:
    assert as_loop([(0, "maj"), (0, "maj"), (5, "maj7"), (7, "7")]) == as_loop(
        [(7, "maj"), (0, "maj"), (5, "maj"), (7, "maj"), (0, "maj"), (5, "maj")]
    )


@pytest.mark.parametrize("harmony", sorted(LENGTHS))
def test_drawn_loops_are_none_of_the_test_splits(harmony: str) -> None:
    theirs = {as_loop(p) for pool in TEST.progressions.values() for p in pool}
    rng = np.random.default_rng(8)
    mine = {as_loop(drawn(rng, harmony, mode)) for mode in MODES for _ in range(60)}
    assert not mine & theirs
    assert len(mine) > 10


def test_new_loops_are_the_clips_own() -> None:
    first, again, other = (
        material_of(Job("dev", 61, index, "pop", 0, "major", new_loops=True)) for index in (0, 0, 1)
    )
    assert first == again
    assert first.progressions != other.progressions
    assert first.drums == DEV.drums


def test_splits_share_no_pattern_rhythm_or_sound() -> None:
    for style, meter in ((name, style.meter) for name, style in STYLES.items()):
        if style in DEV.drums:
            for pair in itertools.product(DEV.drums[style], TEST.drums[style]):
                assert pair[0] != pair[1]
        assert not set(DEV.rhythms[meter]) & set(TEST.rhythms[meter])
    for ours, theirs in zip(DEV.sounds, TEST.sounds, strict=True):
        assert not set(ours if isinstance(ours, tuple) else {ours}) & set(
            theirs if isinstance(theirs, tuple) else {theirs}
        )
    assert not set(DEV.soundfonts) & set(TEST.soundfonts)
    assert not set(DEV.codecs) & set(TEST.codecs)


def test_no_soundfont_of_development_shares_samples_with_the_test_split() -> None:
    assert not any(related.related_to_test(name) for name in DEV.soundfonts)
    assert related.related_to_test("TimGM6mb")
    for dev, test in itertools.product(DEV.soundfonts, TEST.soundfonts):
        first, second = soundfont.find(dev), soundfont.find(test)
        if first and second:
            found = related.greatest(first, second, pitches=(55,))
            assert max(found.values()) < related.SAME_SAMPLES


def test_equal_samples_are_told_from_others() -> None:
    rng = np.random.default_rng(4)
    waves = rng.standard_normal((2, 1 << 13))
    moved = np.roll(waves[0], 100)
    spectra = [
        np.fft.rfft(wave / np.linalg.norm(wave), 1 << 15)[None].astype(np.complex64)
        for wave in (waves[0], moved, waves[1])
    ]
    assert related.correlation(spectra[0], spectra[1])[0] > related.SAME_SAMPLES
    assert related.correlation(spectra[0], spectra[2])[0] < 0.1


def test_a_constant_tempo_and_a_ramp_are_exact() -> None:
    steady = TempoMap("4/4", 120.0, 120.0, 0.5, 40.0)
    assert steady.seconds([0, 1, 40]) == pytest.approx([0.5, 1.0, 20.5])
    ramp = TempoMap("4/4", 100.0, 110.0, 0.0, 200.0)
    times = ramp.seconds(np.arange(201))
    assert 60 / np.diff(times)[[0, -1]] == pytest.approx([100.0, 110.0], abs=0.1)
    compound = TempoMap("6/8", 60.0, 60.0, 0.0, 30.0)
    assert compound.seconds([1.5, 3.0]) == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_style_composes(style: str) -> None:
    for material in (DEV, TEST):
        piece = compose(
            np.random.default_rng(1), style, material, tonic=3, mode="minor",
            tempo_bpm=(100.0, 100.0), duration_s=10.0, midi=False,
        )  # fmt: skip
        beats = piece.beats(10.0)
        assert np.diff([t for t, _ in beats]) == pytest.approx(0.6)
        assert {number for _, number in beats} == set(range(1, max(n for _, n in beats) + 1))
        assert all(part.notes for part in piece.parts)
        assert piece.chords[0].start == 0.0


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.*")
    }


def test_the_same_arguments_give_the_same_clips_on_any_number_of_processes(tmp_path: Path) -> None:
    jobs = [Job("dev", 4, k, "folk", 5 + k, "major", fonts=False) for k in range(2)]
    for attempt, processes in (("first", 1), ("again", 2)):
        generate(jobs, tmp_path / attempt, processes)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "again")
    clip, other = read_manifest(tmp_path / "again")
    assert (clip.key, other.key) == (5, 6)
    assert clip.beats[0][1] == 1


def test_a_run_that_was_stopped_goes_on_to_the_same_clips(tmp_path: Path) -> None:
    jobs = [Job("test", 4, k, "folk", k, "minor", fonts=False) for k in range(2)]
    generate(jobs, tmp_path / "whole")
    generate(jobs[:1], tmp_path / "parts")
    generate(jobs, tmp_path / "parts")
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "parts")


def test_composed_clips_are_those_of_earlier_versions(tmp_path: Path) -> None:
    generate(composed_jobs("dev", 31, 480, fonts=False)[3:4], tmp_path)
    truth = (tmp_path / "beats/d0003.beats").read_bytes() + (
        tmp_path / "chords/d0003.lab"
    ).read_bytes()
    assert hashlib.sha256(truth).hexdigest() == EARLIER


def test_only_the_named_styles_are_planned() -> None:
    parsed = arguments().parse_args(["--split", "dev", "--out", "x", "--styles", "jig, waltz"])
    jobs = composed_jobs("dev", 1, 30, styles=parsed.styles)
    assert [sum(job.style == style for job in jobs) for style in ("jig", "waltz")] == [14, 16]


def test_a_style_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments().parse_args(["--split", "dev", "--out", "x", "--styles", "polka"])
    assert "no style polka" in capsys.readouterr().err


def test_a_plan_deals_out_all_keys() -> None:
    jobs = plan(np.random.default_rng(2), 48)
    assert len(jobs) == 48
    assert len({(tonic, mode) for _, tonic, mode in jobs}) == 24


@pytest.mark.parametrize("kind", KINDS)
def test_beatless_sounds_are_finite_and_of_full_length(kind: str) -> None:
    out = sound(np.random.default_rng(3), kind, 2.0)
    assert len(out) == 44_100
    assert np.isfinite(out).all()
    assert np.abs(out).max() == pytest.approx(0.5)


def test_drawn_rhythms_are_the_clips_own_and_none_of_the_test_splits() -> None:
    jobs = drawn_jobs("dev", 4051, 80, fonts=False)
    assert jobs == drawn_jobs("dev", 4051, 80, fonts=False)
    for job in jobs:
        material, meter = material_of(job), STYLES[job.style].meter
        (pattern,) = material.drums[job.style]
        assert pattern not in TEST.drums[job.style]
        assert any(set(row) - {".", "|"} for row in pattern.values())
        steps = {len(bar) for row in pattern.values() for bar in row.split("|")}
        assert steps == {STEPS[meter]}
        cells = material.rhythms[meter]
        assert not set(cells) & set(TEST.rhythms[meter])
        assert {sum(cell) for cell in cells} == {BAR_QUARTERS[meter]}
    assert len({str((job.drums, job.rhythms)) for job in jobs}) == len(jobs)
    assert sum(STYLES[job.style].meter == "6/8" for job in jobs) > len(jobs) / 3


def test_varied_drums_are_the_clips_own_and_none_of_the_test_splits() -> None:
    jobs = varied_jobs("dev", 4041, 60, fonts=False)
    assert jobs == varied_jobs("dev", 4041, 60, fonts=False)
    for job in jobs:
        drums = material_of(job).drums
        assert all(pattern not in TEST.drums[style] for style in drums for pattern in drums[style])
    assert len({str(job.drums) for job in jobs}) == len(jobs)
