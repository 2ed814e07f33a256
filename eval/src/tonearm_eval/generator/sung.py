"""Parts that no sampler plays: a voice that glides and trembles, and guitars through an amplifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from tonearm_eval.generator import soundfont, synth
from tonearm_eval.generator.idioms import shortened
from tonearm_eval.generator.piece import Part, Piece
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ

Floats = npt.NDArray[np.float32]

SUNG_SHARE: Final = 0.6
DRIVEN_SHARE: Final = {"metal": 0.95, "riff": 0.75, "groove": 0.1, "bluesband": 0.4}
DRIVEN_OTHERWISE: Final = 0.25
HARMONICS: Final = 20
# First and second formants of some vowels, in hertz.
VOWELS: Final = ((730, 1_090), (530, 1_840), (390, 1_990), (570, 840), (440, 1_020), (660, 1_720))


def voice(
    rng: np.random.Generator, part: Part, piece: Piece, n_samples: int, cents: float
) -> Floats:
    """A part as one voice sings it, mono: late and early, sliding into notes, with vibrato."""
    starts = piece.tempo.seconds([piece.swung(note.start) for note in part.notes])
    ends = piece.tempo.seconds([note.start + note.length for note in part.notes])
    slide_s, wobble = rng.uniform(0.03, 0.14), rng.uniform(10, 55)
    bend, late_s = rng.uniform(0.5, 2.5), rng.uniform(0.0, 0.03)
    out = np.zeros(n_samples + SAMPLE_RATE_HZ, np.float32)
    before = part.notes[0].pitch
    for note, start_s, end_s in zip(part.notes, starts, ends, strict=True):
        length = round(max(0.12, float(end_s - start_s)) * SAMPLE_RATE_HZ)
        at = max(0, round((start_s + rng.normal(late_s, 0.02)) * SAMPLE_RATE_HZ))
        if at >= n_samples:
            break
        step = np.clip(before - note.pitch, -3, 3) if rng.random() < 0.6 else -bend
        sound = _syllable(
            rng, note.pitch + cents / 100 + rng.normal(0, 0.12), length,
            step=float(step), slide_s=slide_s, wobble_cents=wobble,
        )  # fmt: skip
        stop = min(len(out), at + length)
        out[at:stop] += note.velocity / 127 * sound[: stop - at]
        before = note.pitch
    return out[:n_samples]


def _syllable(
    rng: np.random.Generator, pitch: float, length: int, *,
    step: float, slide_s: float, wobble_cents: float,
) -> Floats:  # fmt: skip
    """One sung note: begins `step` semitones beside its pitch and slides there."""
    when = np.arange(length) / SAMPLE_RATE_HZ
    vibrato = wobble_cents / 100 * np.sin(2 * np.pi * rng.uniform(4.8, 6.5) * when)
    vibrato *= np.clip((when - 0.15) / 0.25, 0, 1)
    semitones = pitch - 69 + step * np.exp(-when / (slide_s / 2)) + vibrato
    phase = 2 * np.pi * np.cumsum(440 * 2 ** (semitones / 12)) / SAMPLE_RATE_HZ
    hz = 440 * 2 ** ((pitch - 69) / 12)
    first, second = VOWELS[int(rng.integers(len(VOWELS)))]
    out = np.zeros(length)
    for k in range(1, HARMONICS + 1):
        if hz * k > 8_000:
            break
        gain = sum(1 / (1 + ((hz * k - centre) / (0.13 * centre + 60)) ** 2)
                   for centre in (first, second, 2_900))  # fmt: skip
        out += (gain + 0.04) / k**0.6 * np.sin(k * phase)
    out += 0.02 * rng.standard_normal(length)
    rise, fall = (
        min(length, round(0.03 * SAMPLE_RATE_HZ)),
        min(length, round(0.05 * SAMPLE_RATE_HZ)),
    )
    out[:rise] *= np.linspace(0, 1, rise)
    out[length - fall :] *= np.linspace(1, 0, fall)
    return np.asarray(out, np.float32)


def amplified(rng: np.random.Generator, sound: Floats) -> Floats:
    """Through an overdriven amplifier and its loudspeaker."""
    loud = float(np.sqrt(np.mean(sound**2))) + 1e-6
    drive = float(np.exp(rng.uniform(np.log(1.5), np.log(25))))
    out = np.tanh(drive * sound / (3 * loud) + rng.uniform(0, 0.3))
    sos = butter(2, [90, rng.uniform(3_000, 6_500)], "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfilt(sos, out, axis=0), np.float32)


def render(
    piece: Piece, duration_s: float, font: Path | None, *,
    rng: np.random.Generator, cents: float, looseness_s: float,
) -> Floats:  # fmt: skip
    """An idiom's piece as stereo sound (n, 2): its lead perhaps sung, its guitars perhaps driven."""

    def played(part: Piece) -> Floats:
        if font is None:
            return synth.render(part, duration_s, rng=rng, cents=cents, looseness_s=looseness_s)
        return soundfont.render(
            part, duration_s, font, rng=rng, cents=cents, looseness_s=looseness_s
        )

    roles = {part.role for part in piece.parts}
    sung = "lead" in roles and rng.random() < SUNG_SHARE
    share = DRIVEN_SHARE.get(piece.style, DRIVEN_OTHERWISE)
    driven = "chords" in roles and rng.random() < share
    apart = {name for name, on in (("lead", sung), ("chords", driven)) if on}
    out = _even(played(shortened(piece, tuple(roles - apart))))
    if driven:
        guitar = amplified(rng, played(shortened(piece, ("chords",))))
        out += np.float32(rng.uniform(0.5, 1.3)) * _even(guitar)
    if sung:
        part = next(part for part in piece.parts if part.role == "lead")
        down = 12 * int(rng.random() < 0.4)  # a man's voice
        low = replace(part, notes=[n._replace(pitch=n.pitch - down) for n in part.notes])
        line = voice(rng, low, piece, len(out), cents)
        out += np.float32(rng.uniform(0.4, 1.3)) * _even(np.stack([line, line], axis=1))
    return np.asarray(out / (np.abs(out).max() + 1e-9), np.float32)


def _even(sound: Floats) -> Floats:
    """The sound at unit power."""
    return np.asarray(sound / (np.sqrt(np.mean(sound**2)) + 1e-6), np.float32)
