"""Idioms: keys are what the chords and the tunes say, and no chord loop is the test split's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tonearm_eval.clips import read_manifest
from tonearm_eval.generator.__main__ import generate
from tonearm_eval.generator.clip import Job, material_of
from tonearm_eval.generator.idioms import IDIOM_STYLES, MINOR_SHARES, RIFFS, compose_idiom, way
from tonearm_eval.generator.jobs import MODES, idiom_jobs
from tonearm_eval.generator.loops import OF_THE_TEST_SPLIT, as_loop
from tonearm_eval.generator.material_held_out import TEST
from tonearm_eval.generator.piece import Mode, Part
from tonearm_eval.generator.sung import amplified, voice
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ


@pytest.mark.parametrize("idiom", sorted(set(IDIOM_STYLES) - set(RIFFS)))
@pytest.mark.parametrize("mode", MODES)
def test_loops_have_the_tonic_and_are_none_of_the_test_splits(idiom: str, mode: Mode) -> None:
    rng = np.random.default_rng(6)
    for _ in range(40):
        found = way(rng, idiom, mode)
        assert as_loop(found.loop) not in OF_THE_TEST_SPLIT
        assert 0 in {step for step, _ in found.loop}
        thirds = {quality.startswith("min") for step, quality in found.loop if step == 0}
        assert thirds == {mode == "minor"}


@pytest.mark.parametrize("idiom", sorted(IDIOM_STYLES))
@pytest.mark.parametrize("mode", MODES)
def test_tunes_rest_at_home(idiom: str, mode: Mode) -> None:
    job = next(job for job in idiom_jobs(71, 200) if job.style == idiom)
    for seed in range(4):
        piece = compose_idiom(
            np.random.default_rng(seed), idiom, material_of(job), tonic=2, mode=mode,
            tempo_bpm=(100.0, 100.0), duration_s=24.0, midi=False,
        )  # fmt: skip
        assert bool(piece.chords) == (idiom not in RIFFS)
        assert all(part.notes for part in piece.parts)
        lead = next((part for part in piece.parts if part.role == "lead"), None)
        if lead is not None:
            ends = [note.pitch % 12 for note in lead.notes if note.start % 8 >= 6]
            assert ends.count(2) >= len(ends) / 5


def test_jobs_are_the_seeds_own_and_their_drums_none_of_the_test_splits() -> None:
    jobs = idiom_jobs(71, 120)
    assert jobs == idiom_jobs(71, 120)
    assert jobs[:40] == idiom_jobs(71, 40)
    assert {job.style for job in jobs} == set(IDIOM_STYLES) == set(MINOR_SHARES)
    assert {job.mode for job in jobs} == set(MODES)
    for job in jobs:
        drums = material_of(job).drums
        assert all(pattern not in TEST.drums[style] for style in drums for pattern in drums[style])


def test_a_sung_note_is_held_on_its_pitch() -> None:
    job = next(job for job in idiom_jobs(71, 200) if job.style == "song")
    piece = compose_idiom(
        np.random.default_rng(0), "song", material_of(job), tonic=0, mode="major",
        tempo_bpm=(60.0, 60.0), duration_s=8.0, midi=False,
    )  # fmt: skip
    lead = next(part for part in piece.parts if part.role == "lead")
    one = Part("lead", "reed", [lead.notes[0]._replace(start=0.0, length=4.0, pitch=69)])
    sound = voice(np.random.default_rng(1), one, piece, 5 * SAMPLE_RATE_HZ, 0.0)
    start = round((piece.tempo.lead_s + 1.0) * SAMPLE_RATE_HZ)
    held = sound[start : start + 2 * SAMPLE_RATE_HZ]
    size = np.abs(np.fft.rfft(held * np.hanning(len(held))))
    # The partials lie around multiples of 440 Hz, give or take the vibrato and the singer.
    hz = np.fft.rfftfreq(len(held), 1 / SAMPLE_RATE_HZ)
    near = np.abs(np.log2(hz[1:] / 440) - np.round(np.log2(hz[1:] / 440))) < 0.05
    below = hz[1:] < 1_000
    assert (size[1:][near & below] ** 2).sum() > 0.8 * (size[1:][below] ** 2).sum()


def test_an_amplifier_makes_partials_of_its_own() -> None:
    when = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 220 * when)[:, None] * np.ones(2)
    out = amplified(np.random.default_rng(2), tone.astype(np.float32))
    size = np.abs(np.fft.rfft(out[:, 0]))
    assert size[660] > 0.02 * size[220]


def test_clips_of_idioms_are_written_with_their_truth(tmp_path: Path) -> None:
    jobs = [Job(**{**vars(job), "fonts": False}) for job in idiom_jobs(71, 3)]
    generate(jobs, tmp_path)
    for clip, job in zip(read_manifest(tmp_path), jobs, strict=True):
        assert clip.style == job.style
        assert clip.key == job.tonic + 12 * (job.mode == "minor")
        assert bool(clip.chords) == (job.style not in RIFFS)
        assert clip.beats
        assert clip.meter == "4/4"
