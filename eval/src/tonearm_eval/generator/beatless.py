"""Sounds without a beat or without a key, for learning when to say "none"."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

Floats = npt.NDArray[np.float32]

RATE_HZ = 22_050
KINDS = (
    "white",
    "pink",
    "brown",
    "clicks",
    "bursts",
    "drone",
    "clusters",
    "babble",
    "sweep",
    "wind",
)


def _coloured(rng: np.random.Generator, n: int, slope: float) -> npt.NDArray[np.float64]:
    hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 20.0)
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) / hz**slope, n))


def _events(
    rng: np.random.Generator, n: int, rate_hz: float, length_s: float, kind: str
) -> npt.NDArray[np.float64]:
    """Bursts at random moments, Poisson in time."""
    out = np.zeros(n + RATE_HZ)
    at = 0
    while True:
        at += int(rng.exponential(1 / rate_hz) * RATE_HZ) + 1
        if at >= n:
            return out[:n]
        length = max(8, int(length_s * rng.uniform(0.5, 2) * RATE_HZ))
        body = np.exp(-np.arange(length) / (0.3 * length))
        if kind == "tone":
            hz = 110 * 2 ** rng.uniform(0, 4)
            wave = np.sin(2 * np.pi * hz * np.arange(length) / RATE_HZ)
        else:
            wave = rng.standard_normal(length)
        stop = min(len(out), at + length)
        out[at:stop] += rng.uniform(0.2, 1) * (body * wave)[: stop - at]


def _babble(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """Syllable-like noise through moving formants at an uneven pace."""
    out, at = np.zeros(n), 0
    while at < n:
        length = int(rng.uniform(0.06, 0.35) * RATE_HZ)
        if rng.random() < 0.8:
            pitch = rng.uniform(90, 220)
            phase = 2 * np.pi * pitch * np.arange(length) / RATE_HZ
            source = np.sign(np.sin(phase)) if rng.random() < 0.7 else rng.standard_normal(length)
            centre = rng.uniform(300, 2_500)
            sos = butter(2, [0.7 * centre, 1.4 * centre], "bandpass", fs=RATE_HZ, output="sos")
            syllable = sosfilt(sos, source) * np.hanning(length)
            out[at : at + length] = syllable[: n - at]
        at += length + int(rng.exponential(0.05) * RATE_HZ)
    return out


def _drone(rng: np.random.Generator, n: int, *, cluster: bool) -> npt.NDArray[np.float64]:
    """Held tones that swell slowly; as a cluster they fit no key."""
    when, out = np.arange(n) / RATE_HZ, np.zeros(n)
    for k in range(14 if cluster else 3):
        hz = 110 * 2 ** (rng.uniform(0, 3) if cluster else k * 7 / 12)
        swell = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.01, 0.08) * when + rng.uniform(0, 6))
        out += swell * np.sin(2 * np.pi * hz * when + rng.uniform(0, 6))
    return out


def sound(rng: np.random.Generator, kind: str, duration_s: float) -> Floats:
    """Mono sound of that kind at 22 050 Hz, peak .5."""
    n = int(duration_s * RATE_HZ)
    if kind in ("white", "pink", "brown"):
        out = _coloured(rng, n, {"white": 0.0, "pink": 0.5, "brown": 1.0}[kind])
    elif kind == "clicks":
        out = _events(rng, n, rng.uniform(0.5, 12), 0.001, "noise")
    elif kind == "bursts":
        out = _events(rng, n, rng.uniform(0.5, 6), rng.uniform(0.02, 0.4), "tone")
    elif kind in ("drone", "clusters"):
        out = _drone(rng, n, cluster=kind == "clusters")
    elif kind == "babble":
        out = _babble(rng, n)
    elif kind == "sweep":
        hz = np.geomspace(40, 9_000, n)
        out = np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)
    else:
        slow = _coloured(rng, n, 1.5)
        out = _coloured(rng, n, 0.7) * (0.5 + np.abs(slow) / np.abs(slow).max())
    return np.asarray(0.5 * out / (np.abs(out).max() + 1e-9), np.float32)
