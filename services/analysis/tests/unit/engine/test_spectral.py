"""Spectral features against librosa, which defines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import BlockMaker
from tonearm_analysis.engine.spectral import SpectralCollector

Signal = NDArray[np.floating]


def measure(
    samples: Signal, *, rate_hz: int = 22_050, block: int = 65_536, pace: int = 1
) -> dict[str, Any]:
    """Return the stage's answer for mono samples, or samples of shape (n, channels)."""
    frames = samples.astype(np.float32).reshape(len(samples), -1)
    collector = SpectralCollector(sample_rate_hz=rate_hz, pace=pace)
    maker = BlockMaker(sample_rate_hz=rate_hz, channels=frames.shape[1])
    for start in range(0, len(frames), block):
        collector.feed(maker.make(np.ascontiguousarray(frames[start : start + block])))
    collector.feed(maker.last())
    return collector.finish()


@pytest.fixture(scope="module")
def low(music: Signal) -> Signal:
    """Return the music as `librosa.load` gives it: mono, 22.05 kHz."""
    mono = librosa.to_mono(music.T.astype(np.float32))
    resampled: Signal = librosa.resample(mono, orig_sr=44_100, target_sr=22_050)
    return resampled


@pytest.fixture(scope="module")
def found(low: Signal) -> dict[str, Any]:
    return measure(low)


def check(stats: dict[str, Any], expected: Signal, *, rel: float) -> None:
    """Compare every statistic with the one of librosa's frames."""
    exact = expected.astype(np.float64)
    wanted = {
        "mean": exact.mean(),
        "sd": exact.std(),
        **{f"p{p}": np.percentile(exact, p) for p in (5, 25, 50, 75, 95)},
    }
    scale = float(np.abs(exact).max())
    assert stats == {
        name: pytest.approx(value, rel=rel, abs=rel * scale) for name, value in wanted.items()
    }


@pytest.mark.parametrize(
    ("name", "reference", "rel"),
    [
        ("centroid_hz", librosa.feature.spectral_centroid, 1e-4),
        ("bandwidth_hz", librosa.feature.spectral_bandwidth, 1e-3),
        ("rolloff_hz", librosa.feature.spectral_rolloff, 1e-4),
        ("flatness", librosa.feature.spectral_flatness, 1e-3),
        ("zero_crossing_rate", librosa.feature.zero_crossing_rate, 1e-6),
        ("rms", librosa.feature.rms, 1e-4),
        ("flux", librosa.onset.onset_strength, 1e-3),
    ],
)
def test_agrees_with_librosa(
    found: dict[str, Any], low: Signal, name: str, reference: Callable[..., Signal], rel: float
) -> None:
    check(found[name], reference(y=low).ravel(), rel=rel)


def test_contrast_agrees_with_librosa(found: dict[str, Any], low: Signal) -> None:
    expected = librosa.feature.spectral_contrast(y=low)
    for stats, band in zip(found["contrast_db"][:-1], expected[:-1], strict=True):
        check(stats, band, rel=1e-3)
    # At the top, where the resampler leaves nothing, valleys are the transform's rounding noise.
    assert found["contrast_db"][-1]["mean"] == pytest.approx(float(expected[-1].mean()), abs=0.3)


def test_mfcc_agrees_with_librosa(found: dict[str, Any], low: Signal) -> None:
    expected = librosa.feature.mfcc(y=low, n_mfcc=20)
    for stats, coefficient in zip(found["mfcc"], expected, strict=True):
        check(stats, coefficient, rel=1e-3)


def test_frames_are_librosas(found: dict[str, Any], low: Signal) -> None:
    assert found["frames"] == librosa.feature.rms(y=low).shape[1]
    assert (found["frame_length"], found["hop_length"]) == (2048, 512)


@pytest.mark.parametrize("length", [1, 511, 1024, 2048, 5000])
def test_short_signals_agree_as_well(length: int) -> None:
    signal = np.random.default_rng(length).standard_normal(length).astype(np.float32) * 0.1
    stats = measure(signal)["centroid_hz"]
    expected = librosa.feature.spectral_centroid(
        S=np.abs(librosa.stft(np.pad(signal, 1024), center=False)), sr=22_050
    )
    assert stats["mean"] == pytest.approx(float(expected.mean()), rel=1e-3)


def test_a_file_agrees_through_resampling_and_mixing(music: Signal, low: Signal) -> None:
    found = measure(music, rate_hz=44_100)
    check(found["centroid_hz"], librosa.feature.spectral_centroid(y=low).ravel(), rel=1e-3)
    check(found["rms"], librosa.feature.rms(y=low).ravel(), rel=1e-3)


def test_block_size_does_not_matter(music: Signal) -> None:
    whole = measure(music, rate_hz=44_100, block=1 << 20)
    pieces = measure(music, rate_hz=44_100, block=4096)
    assert pieces["centroid_hz"] == pytest.approx(whole["centroid_hz"], rel=1e-4)
    assert pieces["flux"] == pytest.approx(whole["flux"], rel=1e-3)


@pytest.mark.parametrize(
    ("hz", "band"), [(60, "low"), (400, "mid_low"), (2000, "mid_high"), (9000, "high")]
)
def test_a_tone_lies_in_its_band(hz: float, band: str) -> None:
    tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(44_100 * 2) / 44_100)
    shares = {b["name"]: b["share"]["p50"] for b in measure(tone, rate_hz=44_100)["band_energies"]}
    assert shares.pop(band) > 0.98
    assert sum(shares.values()) < 0.02


def test_a_low_pass_shows_as_cutoff() -> None:
    noise = np.random.default_rng(5).standard_normal(44_100 * 4) * 0.1
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(len(noise), 1 / 44_100) > 16_000] = 0
    cut = np.fft.irfft(spectrum, n=len(noise))
    assert measure(cut, rate_hz=44_100)["cutoff_hz"] == pytest.approx(16_000, abs=200)
    assert measure(noise, rate_hz=44_100)["cutoff_hz"] == pytest.approx(22_050, abs=100)


def test_silence_is_all_zeros() -> None:
    found = measure(np.zeros(22_050 * 2))
    assert found["centroid_hz"]["mean"] == 0.0
    assert found["rms"]["p95"] == 0.0
    assert found["energy"] == 0.0
    assert found["cutoff_hz"] is None


@pytest.mark.parametrize("gain", [0.05, 0.5])
def test_gain_leaves_the_shape_alone(music: Signal, gain: float) -> None:
    before = measure(music, rate_hz=44_100)
    after = measure(music * gain, rate_hz=44_100)
    for name in ("centroid_hz", "bandwidth_hz", "rolloff_hz", "zero_crossing_rate"):
        assert after[name]["mean"] == pytest.approx(before[name]["mean"], rel=1e-3)
    assert after["energy"] == pytest.approx(before["energy"], abs=0.01)


def test_energy_ranks_loud_fast_bright_over_soft_slow_dark(music: Signal) -> None:
    random = np.random.default_rng(3)
    pad = np.sin(2 * np.pi * 220 * np.arange(44_100 * 8) / 44_100) * 0.2
    rapid = random.standard_normal(44_100 * 8) * np.tile(np.linspace(1, 0.2, 4410), 80) * 0.3
    energies = [measure(signal, rate_hz=44_100)["energy"] for signal in (pad, music, rapid)]
    assert energies == sorted(energies)
    assert all(0 <= energy <= 1 for energy in energies)


@pytest.mark.parametrize("block", [65_536, 4096])
def test_one_stretch_of_four_tells_nearly_the_same(low: Signal, block: int) -> None:
    long = np.tile(low, 5)
    whole, sampled = measure(long), measure(long, pace=4, block=block)
    assert sampled["frames"] == pytest.approx(whole["frames"] / 4, rel=0.06)
    for name in ("centroid_hz", "bandwidth_hz", "rolloff_hz", "rms", "flux", "zero_crossing_rate"):
        assert sampled[name]["mean"] == pytest.approx(whole[name]["mean"], rel=0.1)
    assert sampled["energy"] == pytest.approx(whole["energy"], abs=0.05)
    for some, every in zip(sampled["band_energies"], whole["band_energies"], strict=True):
        assert some["share"]["mean"] == pytest.approx(every["share"]["mean"], abs=0.05)
