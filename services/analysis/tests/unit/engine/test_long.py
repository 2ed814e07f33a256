"""Recordings of several sections, here of a minute each: heard, read and let go of on the way."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tonearm_analysis.engine import Parameters, analyze_whole, hearing
from tonearm_analysis.engine.decoding import source
from tonearm_analysis.engine.harmony import HarmonyStream, listening, stream
from tonearm_analysis.engine.loudness import energies
from tonearm_analysis.engine.rhythm import RhythmStream, reader, student
from tonearm_contracts.analysis_result import AnalysisResult, Harmony, Rhythm

Signal = NDArray[np.float64]
RATE_HZ = 22_050
LOOPS = {"C major": (0, 9, 5, 7), "F# major": (6, 3, 11, 1)}
"""Roots of a bar each; the second, in the relative minor, carries a minor triad."""


@pytest.fixture(autouse=True)
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after a minute what is cut after ten."""
    monkeypatch.setattr(hearing, "HOLD_S", 30)
    monkeypatch.setattr(stream, "ALONE_S", 60.0)
    monkeypatch.setattr(listening, "WINDOW_FRAMES", 640)
    monkeypatch.setattr(student, "SPAN_FRAMES", 1_500)
    monkeypatch.setattr(energies, "FINE_STEPS_MAX", 6_000)
    for name, seconds in (("SECTION", 60), ("STEP", 45), ("OVERLAP", 10)):
        monkeypatch.setattr(reader, f"{name}_FRAMES", seconds * 50)


def loop(key: str, beat_s: float, *, bars: int) -> Signal:
    """Kick on one, snare on the other beats, a chord and its bass each bar; four bars in turn."""
    random = np.random.default_rng(7)
    beat = round(beat_s * RATE_HZ)
    when = np.arange(4 * beat) / RATE_HZ
    out = []
    for index in range(4):
        root = LOOPS[key][index]
        degrees = (0, 3, 7) if index == 1 else (0, 4, 7)
        hz = [65.4064 * 2 ** (root / 12)]
        hz += [261.6256 * 2 ** ((root + degree) % 12 / 12) for degree in degrees]
        tones = [np.sin(2 * np.pi * k * f * when) / k**1.5 for f in hz for k in range(1, 6)]
        bar = 0.06 * np.sum(tones, axis=0) * np.exp(-when / 2)
        for number in range(4):
            hit = np.arange(4_000) / RATE_HZ
            low = np.sin(2 * np.pi * 60 * hit) * np.exp(-hit * 25)
            high = random.standard_normal(4_000) * np.exp(-hit * 60)
            strength = (0.5 * low + 0.1 * high) if number == 0 else 0.25 * high
            bar[number * beat : number * beat + 4_000] += strength
            off = number * beat + beat // 2
            bar[off : off + 2_000] += 0.08 * np.diff(high[:2_001])
        out.append(bar)
    return np.asarray(np.tile(np.concatenate(out), bars // 4), np.float64)


def analysed(folder: Path, samples: Signal) -> AnalysisResult:
    path = folder / "long.wav"
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
    return analyze_whole(path, parameters=Parameters(profile="fast"))


def music_of(result: AnalysisResult) -> tuple[Rhythm, Harmony]:
    assert result.errors == {}
    assert result.rhythm is not None
    assert result.harmony is not None
    return result.rhythm, result.harmony


def test_sections_say_of_a_loop_what_its_beginning_says(tmp_path: Path) -> None:
    samples = loop("C major", 0.5, bars=96)
    (short, short_key), (long, long_key) = (
        music_of(analysed(tmp_path, samples[: seconds * RATE_HZ])) for seconds in (48, 192)
    )
    assert long.tempo_bpm == pytest.approx(short.tempo_bpm, rel=1e-3)
    assert (long.meter, long_key.key) == (short.meter, short_key.key) == ("4/4", "C major")
    assert np.diff(long.beats_s) == pytest.approx(0.5, abs=0.03)
    assert len(long.beats_s) == pytest.approx(384, abs=2)
    assert np.diff(long.downbeats_s) == pytest.approx(2.0, abs=0.03)
    assert [segment.key for segment in long_key.key_segments] == ["C major"]
    sounding = [chord.label for chord in long_key.chords if chord.end_s - chord.start_s > 0.5]
    assert sounding == [("C", "A:min", "F", "G")[k % 4] for k in range(96)]
    assert all(a.end_s == b.start_s for a, b in pairwise(long_key.chords))
    assert long_key.chords[-1].end_s == pytest.approx(192.0)


def test_another_tempo_and_key_from_the_middle_on_are_found(tmp_path: Path) -> None:
    samples = np.concatenate(
        [loop("C major", 0.5, bars=64), loop("F# major", 0.625, bars=44)]  # 128 s and 110 s
    )
    rhythm, harmony = music_of(analysed(tmp_path, samples))
    beats_s = np.array(rhythm.beats_s)
    first, second = beats_s[beats_s < 125], beats_s[beats_s > 131]
    assert np.median(np.diff(first)) == pytest.approx(0.5, abs=0.005)
    assert np.median(np.diff(second)) == pytest.approx(0.625, abs=0.005)
    assert {point.bpm for point in rhythm.tempo_curve if point.time_s > 140} != set()
    assert [segment.key for segment in harmony.key_segments] == ["C major", "F# major"]
    assert harmony.key_segments[0].end_s == pytest.approx(128, abs=12)


def test_how_the_sound_is_cut_into_blocks_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = loop("C major", 0.5, bars=72)
    expected = analysed(tmp_path, samples)
    monkeypatch.setattr(source, "BLOCK_SAMPLES", 5 * 1024)
    found = analysed(tmp_path, samples)
    assert (found.rhythm, found.harmony) == (expected.rhythm, expected.harmony)
    assert (found.loudness, found.waveform) == (expected.loudness, expected.waveform)


def test_what_was_read_is_let_go_of() -> None:
    samples = loop("C major", 0.5, bars=80).astype(np.float32)
    rhythm, harmony = RhythmStream("fast", None), HarmonyStream()
    for start in range(0, len(samples), RATE_HZ):
        for heard in (rhythm, harmony):
            heard.push(samples[start : start + RATE_HZ])
        section = rhythm.next_section()
        if section is not None and harmony.has_heard(section.end_s + 8):
            rhythm.read(section, harmony.between(section.start_s - 8, section.end_s + 8))
            needed_s = rhythm.next_start_s - 8
            harmony.read(
                rhythm.beats_from(harmony.read_s),
                until_s=rhythm.final_s,
                seen_s=section.end_s,
                needed_s=needed_s,
            )
            kept = harmony.between(0.0, 1e6)
            assert kept.start_s == pytest.approx(needed_s, abs=0.1)
            assert harmony.read_s == pytest.approx(rhythm.final_s, abs=0.1)
    assert rhythm.next_start_s >= 90


@pytest.mark.parametrize("failing", [RhythmStream, HarmonyStream])
def test_one_of_the_two_goes_on_without_the_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: type[RhythmStream] | type[HarmonyStream],
) -> None:
    samples = loop("C major", 0.5, bars=72)
    pushed, push = [], failing.push

    def fail_later(self: Any, low: Any) -> None:
        pushed.append(low)
        if len(pushed) > 60:
            raise MemoryError("by design")
        push(self, low)

    monkeypatch.setattr(failing, "push", fail_later)
    found = analysed(tmp_path, samples)
    if failing is RhythmStream:
        assert list(found.errors) == ["rhythm"]
        assert found.harmony is not None
        assert found.harmony.key == "C major"
        assert found.harmony.chords[-1].end_s == pytest.approx(144.0)
    else:
        assert list(found.errors) == ["harmony"]
        assert found.rhythm is not None
        assert found.rhythm.tempo_bpm == pytest.approx(120, rel=0.01)
        assert found.rhythm.beats_s[-1] == pytest.approx(143.5, abs=0.6)


def test_loudness_of_hours_is_told_from_a_tenth_of_the_steps() -> None:
    random = np.random.default_rng(3)
    levels_db = np.repeat(random.uniform(-50, -10, 300), 100) + random.normal(0, 2, 30_000)
    steps = 10 ** (levels_db / 10)
    fine, coarse = energies.EnergyKeeper(), energies.EnergyKeeper()
    for part in np.split(steps, 12):
        coarse.add(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(energies, "FINE_STEPS_MAX", len(steps))
        fine.add(steps)
        expected = fine.finish()
    found = coarse.finish()
    assert (expected.steps_per_hop, found.steps_per_hop) == (10, 1)
    assert len(found.values) == len(steps) / 10
    assert found.momentary_max_lufs == pytest.approx(expected.momentary_max_lufs, abs=1e-4)
    assert found.short_term_max_lufs == pytest.approx(expected.short_term_max_lufs, abs=1e-4)
    assert found.momentary() == pytest.approx(expected.momentary()[::10], abs=1e-3)
    assert found.short_term() == pytest.approx(expected.short_term()[::10], abs=1e-3)
