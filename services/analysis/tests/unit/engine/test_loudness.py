"""Loudness against the EBU's test signals, made from their definitions, and other meters."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
import pyloudnorm
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import BlockMaker
from tonearm_analysis.engine.loudness import LoudnessCollector

RATE_HZ = 48_000


def measure(
    samples: NDArray[np.floating], *, rate_hz: int = RATE_HZ, block: int = 65_536
) -> dict[str, Any]:
    """Return the stage's answer for samples of shape (n, channels)."""
    channels = samples.shape[1]
    collector = LoudnessCollector(sample_rate_hz=rate_hz, channels=channels)
    maker = BlockMaker(sample_rate_hz=rate_hz, channels=channels)
    exact = samples.astype(np.float32)
    for start in range(0, len(exact), block):
        collector.feed(maker.make(np.ascontiguousarray(exact[start : start + block])))
    collector.feed(maker.last())
    return collector.finish()


def tones(
    parts: Sequence[tuple[float, float]], *, channels: int = 2, rate_hz: int = RATE_HZ
) -> NDArray[np.float64]:
    """Return a 1 kHz sine through (level in dBFS, seconds) parts, the same in every channel."""
    gains = np.concatenate(
        [np.full(round(seconds * rate_hz), 10 ** (level / 20)) for level, seconds in parts]
    )
    sine = np.sin(2 * np.pi * 1000 * np.arange(len(gains)) / rate_hz)
    return np.repeat((gains * sine)[:, None], channels, axis=1)


@pytest.mark.parametrize(
    ("parts", "expected_lufs"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
    ids=["tech3341-1", "tech3341-2", "tech3341-3", "tech3341-4", "tech3341-5"],
)
def test_integrated_loudness_of_the_ebu_signals(
    parts: list[tuple[float, float]], expected_lufs: float
) -> None:
    assert measure(tones(parts))["integrated_lufs"] == pytest.approx(expected_lufs, abs=0.1)


def test_five_channels_weigh_the_surrounds() -> None:
    """Tech 3341, case 6."""
    tone = tones([(0, 20)], channels=5)
    gains = 10 ** (np.array([-28, -28, -24, -30, -30]) / 20)
    assert measure(tone * gains)["integrated_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_the_subwoofer_of_six_channels_weighs_nothing() -> None:
    tone = tones([(0, 20)], channels=6)
    gains = 10 ** (np.array([-28, -28, -24, -3, -30, -30]) / 20)
    assert measure(tone * gains)["integrated_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_momentary_and_short_term_of_a_steady_tone() -> None:
    found = measure(tones([(-23, 20)]))
    assert found["momentary_max_lufs"] == pytest.approx(-23.0, abs=0.1)
    assert found["short_term_max_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_short_term_is_steady_over_alternating_levels() -> None:
    """Tech 3341, case 9: within 0.1 LU of -23 from 3 s on."""
    curve = measure(tones([(-20, 1.34), (-30, 1.66)] * 5))["short_term"]["values"]
    assert curve == pytest.approx([-23.0] * len(curve), abs=0.1)


@pytest.mark.parametrize("case", range(1, 21))
def test_short_term_maximum_of_a_burst(case: int) -> None:
    """Tech 3341, case 10: a 3 s burst behind a growing silence."""
    burst = tones([(-200, 0.15 * case), (-23, 3), (-200, 1)])
    assert measure(burst)["short_term_max_lufs"] == pytest.approx(-23.0, abs=0.1)


def test_momentary_is_steady_over_alternating_levels() -> None:
    """Tech 3341, case 12."""
    curve = measure(tones([(-20, 0.18), (-30, 0.22)] * 25))["momentary"]["values"]
    assert curve[6:] == pytest.approx([-23.0] * len(curve[6:]), abs=0.1)


@pytest.mark.parametrize("case", range(1, 21))
def test_momentary_maximum_of_a_burst(case: int) -> None:
    """Tech 3341, case 13: a 400 ms burst behind a growing silence."""
    burst = tones([(-200, 0.02 * case), (-23, 0.4), (-200, 1)])
    assert measure(burst)["momentary_max_lufs"] == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize(
    ("parts", "expected_lu"),
    [
        ([(-20, 20), (-30, 20)], 10),
        ([(-20, 20), (-15, 20)], 5),
        ([(-40, 20), (-20, 20)], 20),
        ([(-50, 20), (-35, 20), (-20, 20), (-35, 20), (-50, 20)], 15),
    ],
    ids=["tech3342-1", "tech3342-2", "tech3342-3", "tech3342-4"],
)
def test_range_of_the_ebu_signals(parts: list[tuple[float, float]], expected_lu: float) -> None:
    assert measure(tones(parts))["range_lu"] == pytest.approx(expected_lu, abs=0.1)


@pytest.mark.parametrize(
    ("cycle", "phase_deg", "amplitude", "expected_dbtp"),
    [(4, 0, 0.5, -6.0), (4, 45, 0.5, -6.0), (6, 60, 0.5, -6.0), (8, 67.5, 0.5, -6.0),
     (4, 45, 1.41, 3.0)],
    ids=["tech3341-15", "tech3341-16", "tech3341-17", "tech3341-18", "tech3341-19"],
)  # fmt: skip
def test_true_peak_of_the_ebu_sines(
    cycle: int, phase_deg: float, amplitude: float, expected_dbtp: float
) -> None:
    angle = 2 * np.pi * np.arange(RATE_HZ) / cycle + np.radians(phase_deg)
    sine = amplitude * np.sin(angle)
    found = measure(np.stack([sine, sine], axis=1))["true_peak_dbtp"]
    assert -0.4 <= found - expected_dbtp <= 0.2


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 96_000, 192_000])
def test_true_peak_of_a_pulse_between_samples(offset: int, rate_hz: int) -> None:
    """Tech 3341, cases 20-23: a band-limited pulse of 0 dBTP, at four quarter-sample offsets."""
    at = np.arange(rate_hz // 4) - rate_hz // 8 - offset / 4
    pulse = np.sinc(0.4 * at * 48_000 / rate_hz) * np.exp(-((at / rate_hz * 250) ** 2))
    found = measure(np.stack([pulse, 0 * pulse], axis=1), rate_hz=rate_hz)["true_peak_dbtp"]
    assert -0.4 <= found <= 0.2


def test_skipping_quiet_stretches_never_loses_the_true_peak(music: NDArray[np.float64]) -> None:
    from tonearm_analysis.engine.loudness import truepeak

    quick = truepeak.TruePeak(sample_rate_hz=44_100, channels=2)
    planar = np.ascontiguousarray(music.T.astype(np.float32))
    for start in range(0, planar.shape[1], 10_240):
        piece = planar[:, start : start + 10_240]
        short = -piece.shape[1] % 256
        buckets = np.pad(np.abs(piece), ((0, 0), (0, short))).reshape(2, -1, 256)
        quick.feed(piece, buckets.max(axis=2))
    windows = np.lib.stride_tricks.sliding_window_view(planar, truepeak.TAPS, axis=1)
    fine = windows.astype(np.float64) @ truepeak.interpolator(32).T.astype(np.float64)
    expected = np.maximum(np.abs(fine).max(axis=(1, 2)), np.abs(planar).max(axis=1))
    assert quick.peaks == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 32_000, 44_100, 48_000, 88_200, 192_000])
def test_loudness_hardly_depends_on_the_sample_rate(rate_hz: int) -> None:
    found = measure(tones([(-20, 5)], rate_hz=rate_hz), rate_hz=rate_hz)
    assert found["integrated_lufs"] == pytest.approx(-20.0, abs=0.1)


def test_agrees_with_pyloudnorm(music: NDArray[np.float64]) -> None:
    expected = pyloudnorm.Meter(44_100, filter_class="DeMan").integrated_loudness(music)
    found = measure(music, rate_hz=44_100)["integrated_lufs"]
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_agrees_with_ffmpeg(music: NDArray[np.float64], channels: int) -> None:
    gains = np.linspace(1, 0.3, len(music))[:, None]
    samples = np.tile(music, (1, 3))[:, :channels] * gains
    found = measure(samples, rate_hz=44_100)
    expected = ebur128(samples, rate_hz=44_100)
    assert found["integrated_lufs"] == pytest.approx(expected["I"], abs=0.1)
    assert found["range_lu"] == pytest.approx(expected["LRA"], abs=0.3)
    assert found["true_peak_dbtp"] == pytest.approx(expected["true_peak_dbtp"], abs=0.1)


def ebur128(samples: NDArray[np.float64], *, rate_hz: int) -> dict[str, float]:
    """Return what FFmpeg's meter says."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=rate_hz, format="flt", layout=layout, time_base=Fraction(1, rate_hz)
    )

    meter = graph.add("ebur128", "metadata=1:peak=true")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    metadata: dict[str, str] = {}
    exact = samples.astype(np.float32)
    for start in range(0, len(exact), rate_hz // 10):
        piece = np.ascontiguousarray(exact[start : start + rate_hz // 10])
        frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, start
        source.push(frame)
        try:
            while True:
                metadata = graph.pull().metadata
        except (av.error.BlockingIOError, av.error.EOFError):
            continue
    return {
        "I": float(metadata["lavfi.r128.I"]),
        "LRA": float(metadata["lavfi.r128.LRA"]),
        "true_peak_dbtp": 20 * np.log10(float(metadata["lavfi.r128.true_peak"])),
    }


@pytest.mark.parametrize("gain_db", [-20.0, -6.0, -1.0])
def test_gain_shifts_every_level_by_itself(music: NDArray[np.float64], gain_db: float) -> None:
    music = music / np.abs(music).max() * 0.9
    before, after = measure(music), measure(music * 10 ** (gain_db / 20))
    for name in ("integrated_lufs", "momentary_max_lufs", "true_peak_dbtp", "sample_peak_dbfs"):
        assert after[name] - before[name] == pytest.approx(gain_db, abs=0.01)
    for name in ("range_lu", "plr_db", "dynamic_complexity_db"):
        assert after[name] == pytest.approx(before[name], abs=0.01)
    assert after["stereo"] == pytest.approx(before["stereo"], abs=1e-4)


def test_block_size_does_not_matter(music: NDArray[np.float64]) -> None:
    whole, pieces = measure(music, block=1 << 20), measure(music, block=4096)
    assert pieces["integrated_lufs"] == pytest.approx(whole["integrated_lufs"], abs=1e-6)
    assert pieces["true_peak_dbtp"] == pytest.approx(whole["true_peak_dbtp"], abs=1e-5)
    assert pieces["silences"] == whole["silences"]


def test_silence_has_no_loudness() -> None:
    found = measure(np.zeros((RATE_HZ * 5, 2)))
    for name in ("integrated_lufs", "range_lu", "true_peak_dbtp", "sample_peak_dbfs", "plr_db"):
        assert found[name] is None
    assert found["silence_share"] == 1.0
    assert found["lead_in_s"] == 5.0
    assert found["verdicts"] == []


def test_silences_and_ends_are_found() -> None:
    sound, pause = tones([(-20, 2)]), np.zeros((RATE_HZ, 2))
    found = measure(np.concatenate([pause, sound, pause, sound, pause[: RATE_HZ // 4]]))
    spans = [(span["start_s"], span["end_s"]) for span in found["silences"]]
    assert spans == [pytest.approx((0, 1), abs=0.02), pytest.approx((3, 4), abs=0.02)]
    assert found["lead_in_s"] == pytest.approx(1.0, abs=0.02)
    assert found["lead_out_s"] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("block", [1000 * 1024, 1024])
def test_clipping_is_found_where_it_is(block: int) -> None:
    samples = tones([(-6, 2)], channels=2)
    samples[RATE_HZ : RATE_HZ + 50, 1] = 1.0
    samples[100:102, 0] = 1.0  # two samples are a peak, not clipping
    found = measure(samples, block=block)
    assert found["clipped_samples"] == 50
    assert found["clipping"] == [
        {"start_s": 1.0, "end_s": pytest.approx(1.0 + 50 / RATE_HZ), "channel": 1}
    ]


def test_offset_and_stereo_image() -> None:
    random = np.random.default_rng(1)
    left, right = random.standard_normal((2, RATE_HZ * 3)) * 0.1
    unrelated = measure(np.stack([left + 0.05, right], axis=1))
    assert unrelated["dc_offset"] == pytest.approx([0.05, 0.0], abs=1e-3)
    assert unrelated["stereo"]["correlation"] == pytest.approx(0.0, abs=0.02)
    mono = measure(np.stack([left, left], axis=1))["stereo"]
    assert (mono["correlation"], mono["width"], mono["balance_db"]) == pytest.approx((1, 0, 0))
    opposed = measure(np.stack([left, -left], axis=1))["stereo"]
    assert (opposed["correlation"], opposed["width"]) == pytest.approx((-1, 1))
    quieter = measure(np.stack([left, left / 2], axis=1))["stereo"]
    assert quieter["balance_db"] == pytest.approx(6.02, abs=0.01)


def test_fades_are_found_and_an_abrupt_end_is_not_one(music: NDArray[np.float64]) -> None:
    plain = measure(music, rate_hz=44_100)
    assert plain["fade_in_end_s"] is None
    assert plain["fade_out_start_s"] is None
    seconds = np.arange(len(music)) / 44_100
    fade_db = -10 * np.maximum(seconds - 8, 0) - 12 * np.maximum(3 - seconds, 0)
    faded = measure(music * 10 ** (fade_db[:, None] / 20), rate_hz=44_100)
    assert faded["fade_out_start_s"] == pytest.approx(8.0, abs=1.0)
    assert faded["fade_in_end_s"] == pytest.approx(3.0, abs=1.0)


def test_verdicts_say_why() -> None:
    loud = measure(tones([(-9, 10)]))
    by_name = {verdict["profile"]: verdict for verdict in loud["verdicts"]}
    assert by_name["streaming_14"]["passes"]
    assert not by_name["broadcast_ebu_r128"]["passes"]
    assert by_name["broadcast_ebu_r128"]["gain_db"] == pytest.approx(-14.0, abs=0.1)
    assert by_name["broadcast_ebu_r128"]["reasons"] == ["14.0 LU too loud"]
    exact = {v["profile"]: v["passes"] for v in measure(tones([(-23, 10)]))["verdicts"]}
    assert exact["broadcast_ebu_r128"]
    assert exact["broadcast_atsc_a85"]
    assert not exact["podcast_16"]


@pytest.mark.parametrize("length", [1, 100, 4799, 4800, 19_199])
def test_less_than_one_window_has_no_loudness_but_has_peaks(length: int) -> None:
    found = measure(np.full((length, 2), 0.5))
    assert found["integrated_lufs"] is None
    assert found["sample_peak_dbfs"] == pytest.approx(-6.02, abs=0.01)


def test_no_value_between_samples_exceeds_them_by_more_than_their_bend_allows() -> None:
    from tonearm_analysis.engine.loudness.truepeak import TAPS, bend_gain, interpolator

    kernel = interpolator(32)
    noise = np.random.default_rng(5).standard_normal((50_000, TAPS))
    for smoothing in range(4):  # from white to what bends little
        samples = np.cumsum(noise, axis=1) if smoothing == 3 else noise
        highest = np.abs(samples @ kernel.T).max(axis=1)
        around = np.abs(samples[:, TAPS // 2 - 1 : TAPS // 2 + 1]).max(axis=1)
        bends = np.abs(np.diff(samples, 2, axis=1)).max(axis=1)
        assert (highest <= around + bend_gain(kernel) * bends * (1 + 1e-6)).all()
        noise = (noise + np.roll(noise, 1, axis=1)) / 2


@pytest.mark.parametrize("rate_hz", [4_000, 44_100, 192_000])
def test_the_block_filter_is_the_recursive_filter(rate_hz: int) -> None:
    from scipy.signal import lfilter

    from tonearm_analysis.engine.loudness.kweighting import k_weighting
    from tonearm_analysis.engine.loudness.recursion import BlockFilter

    numerator, poles = k_weighting(rate_hz)
    denominator = np.poly(np.concatenate([poles, poles.conj()])).real
    noise = np.random.default_rng(2).standard_normal(100_000 // 32 * 32) * 0.1 + 0.3
    filter = BlockFilter(numerator, poles, channels=2)
    both = np.stack([noise, noise[::-1]]).astype(np.float32)
    parts = [filter.run(part).copy() for part in np.split(both, 5, axis=1)]
    found = np.concatenate(parts, axis=1)
    expected = lfilter(numerator, denominator, [noise, noise[::-1]])
    assert np.abs(found - expected).max() < 1e-6
