"""A small synthesiser in numpy: eight kinds of pitched sound and a drum kit, exact to the sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from tonearm_eval.generator.piece import Part, Piece

Floats = npt.NDArray[np.float32]

SAMPLE_RATE_HZ: Final = 44_100
RELEASE_S: Final = 0.06


class Timbre(NamedTuple):
    """How a pitched sound is made: harmonics with slopes, a decay and an attack.

    slope: amplitude of harmonic k is k ** -slope.  odd: share of even harmonics kept.
    decay_s: time constant of the fundamental (inf holds).  damping: how much faster harmonic k
    decays.  attack_s.  vibrato: cents.  detune: cents between two voices.  breath: noise share.
    stretch: inharmonicity.
    """

    slope: float
    even: float = 1.0
    decay_s: float = np.inf
    damping: float = 0.0
    attack_s: float = 0.005
    vibrato: float = 0.0
    detune: float = 0.0
    breath: float = 0.0
    stretch: float = 0.0


TIMBRES: Final[dict[str, Timbre]] = {
    "piano": Timbre(1.4, decay_s=1.4, damping=0.35, attack_s=0.002, stretch=4e-4),
    "steel": Timbre(1.0, decay_s=0.9, damping=0.5, attack_s=0.001),
    "nylon": Timbre(1.6, decay_s=0.7, damping=0.6, attack_s=0.002),
    "tine": Timbre(2.2, even=0.3, decay_s=1.1, damping=0.8, attack_s=0.002),
    "organ": Timbre(0.8, even=0.6, attack_s=0.01),
    "strings": Timbre(1.1, attack_s=0.12, vibrato=8.0, detune=7.0),
    "saw": Timbre(1.0, attack_s=0.004, detune=9.0),
    "square": Timbre(1.0, even=0.0, attack_s=0.004),
    "flute": Timbre(2.5, even=0.5, attack_s=0.05, vibrato=6.0, breath=0.04),
    "reed": Timbre(0.9, even=0.25, attack_s=0.03, vibrato=5.0),
    "brass": Timbre(1.2, attack_s=0.04, vibrato=4.0),
    "mallet": Timbre(2.0, even=0.1, decay_s=0.4, damping=1.2, attack_s=0.001),
    "finger_bass": Timbre(1.7, decay_s=1.2, damping=0.5, attack_s=0.004),
    "upright": Timbre(2.1, decay_s=0.6, damping=0.7, attack_s=0.006, breath=0.01),
    "sub": Timbre(3.0, attack_s=0.006),
    "acid": Timbre(0.9, decay_s=0.5, damping=0.6, attack_s=0.002),
    "drive": Timbre(0.7, even=0.8, decay_s=2.5, attack_s=0.003, detune=4.0),
}
HARMONICS_MAX: Final = 24
HIGHEST_HZ: Final = 12_000.0


def _noise(n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


@lru_cache(maxsize=512)
def tone(instrument: str, pitch: int, n_samples: int, cents: float) -> Floats:
    """One note of a pitched instrument at full velocity; the release is part of the samples."""
    timbre = TIMBRES[instrument]
    hz = 440.0 * 2.0 ** ((pitch - 69 + cents / 100.0) / 12.0)
    when = (np.arange(n_samples) / SAMPLE_RATE_HZ).astype(np.float32)
    wobble = timbre.vibrato / 1731.0 * np.sin(2 * np.pi * 5.2 * when) / (2 * np.pi * 5.2)
    out = np.zeros(n_samples, np.float32)
    for side in (-0.5, 0.5) if timbre.detune else (0.0,):
        base = hz * 2.0 ** (side * timbre.detune / 1200.0)
        for k in range(1, HARMONICS_MAX + 1):
            partial = base * k * np.sqrt(1 + timbre.stretch * k * k)
            if partial > HIGHEST_HZ:
                break
            size = k**-timbre.slope * (timbre.even if k % 2 == 0 else 1.0)
            wave = np.sin(2 * np.pi * partial * (when + wobble) + 0.7 * k * (1 + side))
            if np.isfinite(timbre.decay_s):
                wave *= np.exp(-when * (1 + timbre.damping * (k - 1)) / timbre.decay_s)
            out += (size * wave).astype(np.float32)
    if timbre.breath:
        out += timbre.breath * _noise(n_samples, pitch)
    return out * _envelope(n_samples, timbre.attack_s)


def _envelope(n: int, attack_s: float) -> Floats:
    rise = min(n, max(1, round(attack_s * SAMPLE_RATE_HZ)))
    fall = min(n, round(RELEASE_S * SAMPLE_RATE_HZ))
    out = np.ones(n, np.float32)
    out[:rise] = np.linspace(0, 1, rise, endpoint=False)
    out[n - fall :] *= np.linspace(1, 0, fall)
    return out


def _decaying(n_s: float, tau_s: float) -> Floats:
    when = np.arange(round(n_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return np.asarray(np.exp(-when / tau_s), np.float32)


def _filtered(noise: Floats, low_hz: float, high_hz: float) -> Floats:
    edge = [low_hz, min(high_hz, 0.49 * SAMPLE_RATE_HZ)]
    sos = butter(2, edge, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfilt(sos, noise), np.float32)


def _drop(start_hz: float, end_hz: float, sweep_s: float, tau_s: float) -> Floats:
    body = _decaying(5 * tau_s, tau_s)
    when = np.arange(len(body)) / SAMPLE_RATE_HZ
    hz = end_hz + (start_hz - end_hz) * np.exp(-when / sweep_s)
    return np.asarray(body * np.sin(2 * np.pi * np.cumsum(hz) / SAMPLE_RATE_HZ), np.float32)


def _burst(low_hz: float, high_hz: float, tau_s: float, seed: int) -> Floats:
    body = _decaying(5 * tau_s, tau_s)
    return _filtered(_noise(len(body), seed), low_hz, high_hz) * body


def _metal(tau_s: float, seed: int) -> Floats:
    body = _decaying(5 * tau_s, tau_s)
    when = np.arange(len(body)) / SAMPLE_RATE_HZ
    ring = sum(np.sign(np.sin(2 * np.pi * f * when)) for f in (2051, 3037, 4172, 5401, 6243))
    return (0.05 * np.asarray(ring, np.float32) + 0.4 * _burst(5_000, 15_000, tau_s, seed)) * body


def _snare(tone_hz: float, tau_s: float, seed: int) -> Floats:
    wires = 0.8 * _burst(1_200, 9_000, tau_s, seed)
    head = _drop(1.6 * tone_hz, tone_hz, 0.02, 0.06)
    wires[: len(head)] += 0.6 * head[: len(wires)]
    return wires


def _clap(seed: int) -> Floats:
    out = np.zeros(round(0.3 * SAMPLE_RATE_HZ), np.float32)
    for at_s in (0.0, 0.011, 0.022):
        burst = _burst(900, 4_500, 0.03 if at_s > 0.02 else 0.006, seed)
        start = round(at_s * SAMPLE_RATE_HZ)
        out[start : start + len(burst)] += burst[: len(out) - start]
    return out


# Percussion keys as in General MIDI, for two kits that share no parameter.
KITS: Final[dict[str, dict[int, Callable[[], Floats]]]] = {
    "kit_round": {
        36: lambda: _drop(160, 48, 0.03, 0.11),
        38: lambda: _snare(190, 0.07, 1),
        39: lambda: _clap(2),
        37: lambda: 0.7 * _burst(1_500, 4_000, 0.012, 3),
        42: lambda: 0.5 * _burst(7_000, 16_000, 0.022, 4),
        46: lambda: 0.5 * _burst(6_500, 16_000, 0.12, 5),
        51: lambda: 0.6 * _metal(0.18, 6),
        49: lambda: 0.7 * _burst(3_000, 16_000, 0.45, 7),
        45: lambda: _drop(180, 95, 0.05, 0.12),
        50: lambda: _drop(260, 150, 0.05, 0.1),
        70: lambda: 0.4 * _burst(5_000, 12_000, 0.018, 8),
        54: lambda: 0.5 * _burst(6_000, 14_000, 0.05, 9),
    },
    "kit_hard": {
        36: lambda: np.tanh(2.5 * _drop(230, 55, 0.015, 0.08)),
        38: lambda: np.tanh(2.0 * _snare(240, 0.1, 11)),
        39: lambda: _clap(12),
        37: lambda: 0.8 * _burst(2_000, 6_000, 0.008, 13),
        42: lambda: 0.45 * _metal(0.03, 14),
        46: lambda: 0.45 * _metal(0.16, 15),
        51: lambda: 0.5 * _metal(0.3, 16),
        49: lambda: 0.6 * _burst(2_500, 15_000, 0.6, 17),
        45: lambda: _drop(150, 80, 0.06, 0.16),
        50: lambda: _drop(220, 120, 0.06, 0.14),
        70: lambda: 0.35 * _burst(4_000, 10_000, 0.03, 18),
        54: lambda: 0.4 * _metal(0.06, 19),
    },
}


@lru_cache(maxsize=64)
def hit(kit: str, key: int) -> Floats:
    """One stroke of a percussion key at full velocity; keys that a kit lacks sound like a rim."""
    strokes = KITS[kit]
    return strokes.get(key, strokes[37])()


def render_part(
    part: Part, piece: Piece, n_samples: int, cents: float, offsets_s: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """One part as mono sound.  offsets_s: how early or late each note is played."""
    out = np.zeros(n_samples + SAMPLE_RATE_HZ, np.float32)
    starts = piece.tempo.seconds([piece.swung(note.start) for note in part.notes]) + offsets_s
    ends = piece.tempo.seconds([note.start + note.length for note in part.notes]) + offsets_s
    for note, start_s, end_s in zip(part.notes, starts, ends, strict=True):
        at = max(0, round(float(start_s) * SAMPLE_RATE_HZ))
        if at >= n_samples:
            continue
        if part.is_drums:
            sound = hit(part.instrument, note.pitch)
        else:
            length_s = max(0.05, round(float(end_s - start_s), 3)) + RELEASE_S
            sound = tone(part.instrument, note.pitch, round(length_s * SAMPLE_RATE_HZ), cents)
        stop = min(len(out), at + len(sound))
        out[at:stop] += (note.velocity / 127.0) ** 1.5 * sound[: stop - at]
    return out[:n_samples]


LEVELS: Final = {"drums": 0.9, "bass": 0.8, "chords": 0.5, "lead": 0.55, "pad": 0.3}


def render(
    piece: Piece,
    duration_s: float,
    *,
    rng: np.random.Generator,
    cents: float = 0.0,
    looseness_s: float = 0.0,
) -> Floats:
    """The piece as stereo sound (n, 2) at 44.1 kHz, peak 1.

    cents: tuning of all pitched parts.  looseness_s: standard deviation of each note's time.
    """
    n = round(duration_s * SAMPLE_RATE_HZ)
    out = np.zeros((n, 2), np.float32)
    for part in piece.parts:
        spread = np.clip(rng.standard_normal(len(part.notes)), -2.5, 2.5) * looseness_s
        sound = render_part(part, piece, n, cents, spread * (0.6 if part.is_drums else 1.0))
        loud = float(np.sqrt(np.mean(sound**2))) + 1e-9
        level = LEVELS[part.role] * part.gain * 0.1 / loud
        angle = (part.pan + 1) * np.pi / 4
        out += level * sound[:, None] * np.array([np.cos(angle), np.sin(angle)], np.float32)
    return np.asarray(out / (np.abs(out).max() + 1e-9), np.float32)
