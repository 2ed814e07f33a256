"""A small band of known tempo, key, chords and loudness, as a WAV file; the truth goes to stdout.

    python -m tonearm_eval.band --out band.wav --tempo 120 --key "A minor" --seed 1

The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tonearm_eval.clips import PITCH_CLASSES
from tonearm_eval.generator.piece import PITCH_NAMES, ChordSpan, Mode, Note, Part, Piece, TempoMap
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ, render
from tonearm_eval.loudness import integrated_lufs

# One chord a bar: semitones above the tonic and quality.
PROGRESSIONS: dict[Mode, list[tuple[int, str]]] = {
    "major": [(0, "maj"), (9, "min"), (5, "maj"), (7, "maj")],
    "minor": [(0, "min"), (8, "maj"), (5, "min"), (7, "maj")],
}


def parse_key(text: str) -> tuple[int, Mode]:
    """ "A minor" -> (9, "minor").  Raises ValueError for anything else."""
    tonic, _, mode = text.partition(" ")
    tonic = tonic[:1].upper() + tonic[1:]
    number = PITCH_CLASSES.get(tonic)
    if number is None or mode not in ("major", "minor"):
        raise ValueError(f"{text!r} is no key such as 'A minor' or 'Eb major'")
    return number, "major" if mode == "major" else "minor"


def compose(tempo_bpm: float, tonic: int, mode: Mode, duration_s: float) -> Piece:
    """Drums, bass, chords and a melody in 4/4 at a constant tempo."""
    lead_s = 0.25
    bars = math.ceil((duration_s - lead_s) * tempo_bpm / 60 / 4) + 1
    progression = PROGRESSIONS[mode]
    chords = [
        ChordSpan(4.0 * bar, 4.0, (tonic + step) % 12, quality)
        for bar, (step, quality) in ((b, progression[b % 4]) for b in range(bars))
    ]
    tempo = TempoMap("4/4", tempo_bpm, tempo_bpm, lead_s, 4.0 * bars)
    parts = [
        Part("drums", "kit_round", _drums(bars)),
        Part("bass", "finger_bass", [n for chord in chords for n in _bass(chord)]),
        Part("chords", "piano", [n for chord in chords for n in _comping(chord)], pan=-0.3),
        Part("lead", "reed", [n for chord in chords for n in _melody(chord)], pan=0.3, gain=0.7),
    ]
    return Piece("demo", tonic, mode, tempo, chords, parts)


def _drums(bars: int) -> list[Note]:
    notes = []
    for bar in range(bars):
        base = 4.0 * bar
        notes += [Note(base + q, 0.2, 36, 110) for q in (0.0, 2.0)]
        notes += [Note(base + q, 0.2, 38, 105) for q in (1.0, 3.0)]
        notes += [Note(base + q / 2, 0.2, 42, 90 if q % 2 == 0 else 65) for q in range(8)]
    return notes


def _bass(chord: ChordSpan) -> list[Note]:
    root = 36 + (chord.root - 36) % 12
    return [Note(chord.start + q, 0.9, root, 100) for q in (0.0, 1.0, 2.0)] + [
        Note(chord.start + 3.0, 0.9, root + 7, 90)
    ]


def _comping(chord: ChordSpan) -> list[Note]:
    tones = (0, 4, 7) if chord.quality == "maj" else (0, 3, 7)
    return [
        Note(chord.start + at, length, 55 + (chord.root + step - 55) % 12, 85)
        for at, length in ((0.0, 1.4), (1.5, 0.4), (2.0, 1.8))
        for step in tones
    ]


def _melody(chord: ChordSpan) -> list[Note]:
    third = 4 if chord.quality == "maj" else 3
    steps = ((0.0, 1.0, 7), (1.0, 0.5, third), (1.5, 0.5, 0), (2.0, 1.5, third), (3.5, 0.5, 0))
    return [
        Note(chord.start + at, 0.9 * length, 67 + (chord.root + step - 67) % 12, 95)
        for at, length, step in steps
    ]


def play(
    piece: Piece, duration_s: float, *, seed: int, loudness_lufs: float
) -> npt.NDArray[np.float64]:
    """Stereo sound at 44.1 kHz with the given integrated loudness."""
    sound = render(piece, duration_s, rng=np.random.default_rng(seed), looseness_s=0.002)
    fade = round(0.02 * SAMPLE_RATE_HZ)
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    gain_db = loudness_lufs - integrated_lufs(sound, SAMPLE_RATE_HZ)
    return np.asarray(sound * 10 ** (gain_db / 20), np.float64)


def truth(piece: Piece, duration_s: float, loudness_lufs: float) -> dict[str, Any]:
    """What is known of the sound, ready for JSON."""
    beats = piece.beats(duration_s)
    spans = [
        (round(float(start), 6), round(float(stop), 6), chord.label)
        for chord in piece.chords
        for start, stop in [piece.tempo.seconds([chord.start, chord.start + chord.length])]
    ]
    return {
        "tempo_bpm": piece.tempo.start_bpm,
        "meter": piece.meter,
        "key": f"{PITCH_NAMES[piece.tonic]} {piece.mode}",
        "loudness_lufs": loudness_lufs,
        "duration_s": duration_s,
        "beats_s": [round(t, 6) for t, _ in beats],
        "downbeats_s": [round(t, 6) for t, number in beats if number == 1],
        "chords": [
            {"start_s": start, "end_s": min(stop, duration_s), "label": label}
            for start, stop, label in spans
            if start < duration_s
        ],
    }


def main() -> None:
    """Write the WAV file and print the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="WAV file to write")
    parser.add_argument("--tempo", type=float, default=120.0, help="beats a minute")
    parser.add_argument("--key", type=parse_key, default=parse_key("A minor"), help='"A minor"')
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duration-s", type=float, default=20.0)
    parser.add_argument("--loudness-lufs", type=float, default=-18.0)
    args = parser.parse_args()
    tonic, mode = args.key
    piece = compose(args.tempo, tonic, mode, args.duration_s)
    sound = play(piece, args.duration_s, seed=args.seed, loudness_lufs=args.loudness_lufs)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(args.out, sound, SAMPLE_RATE_HZ, subtype="PCM_24")
    known = truth(piece, args.duration_s, args.loudness_lufs)
    print(json.dumps({"path": str(args.out), "seed": args.seed, **known}))


if __name__ == "__main__":
    main()
