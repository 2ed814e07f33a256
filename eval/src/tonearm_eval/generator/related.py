"""Do two soundfonts share samples?  Notes played alike, compared wave by wave.

    python -m tonearm_eval.generator.related

Prints, for every soundfont of a development and one of a test split, the greatest correlation at
any lag between a program (or drum key) of one and a program (the same key) of the other.  Equal
samples come out near 1.  TimGM6mb and sf_GMbank do (drum keys 1.0, pianos .99), and therefore
TimGM6mb is no longer played in the development split and its clips are left out of fits;
FluidR3_GM and MuseScore_General stay below .9 against both soundfonts of the test split.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Sequence
from functools import cache
from itertools import chain, product
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft

from tonearm_eval.generator import soundfont
from tonearm_eval.generator.arrange import ENSEMBLES, LEADS
from tonearm_eval.generator.material import DEV, Material
from tonearm_eval.generator.material_held_out import TEST

# Soundfonts that share samples with one of the test split.
RELATED_TO_TEST: Final = ("timgm6mb",)
SAME_SAMPLES: Final = 0.9
PITCHES: Final = (43, 55, 67)
DRUM_KEYS: Final = (36, 38, 39, 37, 42, 46, 51, 49, 45, 50, 70, 54)
NOTE_S, STEP_S = 0.5, 0.7
_RATE_HZ: Final = 22_050
_FFT_SAMPLES: Final = 1 << 15
Spectra = npt.NDArray[np.complex64]


def related_to_test(name: str) -> bool:
    """Whether a soundfont of that name shares samples with one of the test split."""
    return name.lower().removesuffix(".sf2") in RELATED_TO_TEST


def played(font: Path, notes: Sequence[tuple[int, int]], *, drums: bool) -> Spectra:
    """Spectra of (program, pitch) notes, dry and each of unit energy."""
    channel = soundfont.DRUM_CHANNEL if drums else 0
    events = [
        (0.0, index, bytes([0xB0 | channel, control, value]))
        for index, (control, value) in enumerate(((7, 100), (91, 0), (93, 0)))
    ]
    for index, (program, pitch) in enumerate(notes):
        at = 0.1 + index * STEP_S
        events += [
            (at - 0.05, 4, bytes([0xB0 | channel, 120, 0])),
            (at - 0.05, 5, bytes([0xC0 | channel, program])),
            (at, 20, bytes([0x90 | channel, pitch, 100])),
            (at + NOTE_S, 10, bytes([0x80 | channel, pitch, 0])),
        ]
    tempo = soundfont.track([(0.0, 0, b"\xff\x51\x03\x07\xa1\x20")])
    midi = b"MThd" + struct.pack(">IHHH", 6, 1, 2, 960) + tempo + soundfont.track(events)
    options = ["-g", "0.5", "-R", "0", "-C", "0", "-o", "synth.dynamic-sample-loading=1"]
    sound = soundfont.sounded(midi, font, rate_hz=_RATE_HZ, options=options)
    n, rows = round(NOTE_S * _RATE_HZ), []
    for index in range(len(notes)):
        start = round((0.1 + index * STEP_S) * _RATE_HZ)
        wave = sound[start : start + n].mean(axis=1)
        wave = np.pad(wave - wave.mean(), (0, n - len(wave)))
        rows.append(wave / (np.linalg.norm(wave) + 1e-9))
    return np.asarray(rfft(np.stack(rows), _FFT_SAMPLES, axis=1), np.complex64)


def correlation(first: Spectra, second: Spectra) -> npt.NDArray[np.float32]:
    """Greatest correlation at any lag, row by row."""
    return np.asarray(np.abs(irfft(first * second.conj(), _FFT_SAMPLES, axis=1)).max(axis=1))


def programs(material: Material) -> list[int]:
    """All General MIDI programs of pitched instruments that a split plays."""
    sounds = material.sounds
    composed = {*sounds.midi_lead, *sounds.midi_chords, *sounds.midi_bass}
    arranged = {*LEADS, *chain(*ENSEMBLES)} if material is DEV else set()
    return sorted(composed | arranged)


@cache
def everything(font: Path, split: str, pitches: tuple[int, ...]) -> tuple[Spectra, Spectra]:
    """All that a split plays: (programs, pitches, ...) and (kits, keys, ...)."""
    material = {"dev": DEV, "test": TEST}[split]
    pitched = played(font, list(product(programs(material), pitches)), drums=False)
    kits = material.sounds.midi_kits
    drums = played(font, list(product(kits, DRUM_KEYS)), drums=True)
    return (
        pitched.reshape(-1, len(pitches), pitched.shape[1]),
        drums.reshape(len(kits), len(DRUM_KEYS), drums.shape[1]),
    )


def greatest(dev: Path, test: Path, pitches: tuple[int, ...] = PITCHES) -> dict[str, float]:
    """Greatest correlation between what the splits play, of pitched notes and of drums."""
    ours, theirs = everything(dev, "dev", pitches), everything(test, "test", pitches)
    return {
        name: round(max(float(correlation(a, b).max()) for a, b in product(*pair)), 3)
        for name, pair in zip(("pitched", "drums"), zip(ours, theirs, strict=True), strict=True)
    }


def main() -> None:
    """Measure what is installed, the related soundfont that is left out too."""
    argparse.ArgumentParser(
        prog="python -m tonearm_eval.generator.related",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    for dev, test in product((*DEV.soundfonts, "TimGM6mb.sf2"), TEST.soundfonts):
        first, second = soundfont.find(dev), soundfont.find(test)
        print(dev, test, greatest(first, second) if first and second else "not installed")


if __name__ == "__main__":
    main()
