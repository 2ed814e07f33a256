"""Degraded excerpts keep their truth, are those of their seed, and the splits share no material."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tonearm_eval.clips import read_manifest
from tonearm_eval.degrade import KINDS, degraded, make
from tonearm_eval.degrade.effects import CODECS, EFFECTS, KITS, NOISES
from tonearm_eval.degrade.take import RATE_HZ, Take
from tonearm_eval.generator.__main__ import generate
from tonearm_eval.generator.clip import Job
from tonearm_eval.generator.material import DEV
from tonearm_eval.generator.material_held_out import TEST

SECONDS = 16


def take() -> Take:
    """A tone of 440 Hz, with a click on each beat, two beats a second; one chord a bar."""
    when = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    sound = 0.3 * np.sin(2 * np.pi * 440 * when)
    beats = tuple((0.5 * k, k % 4 + 1) for k in range(2 * SECONDS))
    for at_s, _ in beats:
        sound[round(at_s * RATE_HZ) :][:200] += 0.5
    chords = tuple((2.0 * k, 2.0 * k + 2, "A") for k in range(SECONDS // 2))
    return Take(sound.astype(np.float32), beats, chords, 120.0)


def loudest_hz(sound: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    """Where a long spectrum has its peak."""
    size = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(size) * RATE_HZ / len(sound))


def test_a_cut_moves_beats_and_chords_to_its_start() -> None:
    cut = take().cut(3.1, 9.1)
    assert cut.duration_s == pytest.approx(6.0)
    assert cut.beats[0][0] == pytest.approx(0.4)
    assert cut.beats[0][1] == 4
    assert cut.beats[-1][0] < 6.0
    assert cut.chords[0][:2] == pytest.approx((0.0, 0.9))
    assert cut.chords[-1][1] == pytest.approx(6.0)


def test_faster_is_higher_and_its_truth_goes_with_it() -> None:
    ratio = 2 ** (40 / 1200)
    fast = take().faster(ratio)
    assert loudest_hz(fast.sound) == pytest.approx(440 * ratio, abs=0.3)
    assert fast.tempo_bpm == pytest.approx(120 * ratio)
    assert fast.beats[10][0] == pytest.approx(5 / ratio)
    assert fast.duration_s == pytest.approx(SECONDS / ratio, abs=0.01)
    assert fast.tuning_cents == pytest.approx(40)


def test_a_fast_or_slow_tape_never_moves_the_pitch_to_the_next_semitone() -> None:
    sharp = replace(take(), tuning_cents=35.0)
    for seed in range(20):
        spoilt = EFFECTS["detune"](np.random.default_rng(seed), sharp, "dev")
        assert abs(spoilt.tuning_cents) <= 45
        ratio = 2 ** ((spoilt.tuning_cents - 35) / 1200)
        assert spoilt.tempo_bpm == pytest.approx(120 * ratio)


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_every_effect_is_heard_and_leaves_the_length_that_the_truth_has(name: str) -> None:
    whole = take()
    spoilt = EFFECTS[name](np.random.default_rng(3), whole, "dev")
    again = EFFECTS[name](np.random.default_rng(3), whole, "dev")
    assert np.array_equal(spoilt.sound, again.sound)
    assert np.isfinite(spoilt.sound).all()
    assert spoilt.sound.dtype == np.float32
    assert not np.array_equal(spoilt.sound, whole.sound)
    # The pace of sound and truth stays the same.
    ratio = (spoilt.tempo_bpm or 0.0) / 120
    assert spoilt.beats[20][0] * ratio == pytest.approx(10.0)
    assert spoilt.duration_s * ratio == pytest.approx(SECONDS, abs=0.05)


def test_excerpts_last_12_to_20_seconds_and_are_what_their_kind_says() -> None:
    rng = np.random.default_rng(5)
    for kind in KINDS:
        spoilt, done = degraded(rng, take(), kind, "dev")
        assert 0.97 * 12 <= spoilt.duration_s <= 1.03 * SECONDS
        assert np.abs(spoilt.sound).max() == pytest.approx(0.7, abs=1e-3)
        assert kind in done or (kind, done) == ("cut", ())


def test_the_splits_share_no_kit_noise_or_codec() -> None:
    assert not {codec for codec, _ in CODECS["dev"]} & {codec for codec, _ in CODECS["test"]}
    assert not set(CODECS["dev"]) & set(TEST.codecs)
    assert not set(CODECS["test"]) & set(DEV.codecs)
    for split, material in (("dev", DEV), ("test", TEST)):
        assert KITS[split] == material.sounds.kit
        assert set(NOISES[split]) <= set(material.noises)


def test_the_same_arguments_give_the_same_excerpts_and_a_stopped_run_goes_on(
    tmp_path: Path,
) -> None:
    jobs = [Job("dev", 4, k, "folk", 5 + k, "minor", fonts=False) for k in range(2)]
    generate(jobs, tmp_path / "dev")
    make([tmp_path / "dev"], tmp_path / "parts", seed=1, clips=1, split="dev")
    make([tmp_path / "dev"], tmp_path / "parts", seed=1, clips=3, split="dev")
    make([tmp_path / "dev"], tmp_path / "whole", seed=1, clips=3, split="dev")
    for path in sorted((tmp_path / "whole").rglob("*.*")):
        other = tmp_path / "parts" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes()
    clips = read_manifest(tmp_path / "whole")
    assert {clip.key for clip in clips} == {17, 18}
    assert [clip.style for clip in clips] == list(KINDS[:3])
    assert all(clip.beats and clip.chords and clip.meter == "4/4" for clip in clips)
