"""Rendering through FluidSynth and a soundfont, where both are installed."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile

from tonearm_eval.generator.piece import Piece
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ

FOLDERS: Final = tuple(
    Path(folder)
    for folder in ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/samples")
)
TICKS_PER_SECOND: Final = 1_920  # 960 to the quarter at 120 a minute
DRUM_CHANNEL: Final = 9


class FluidSynthFailed(Exception):
    """FluidSynth could not play a piece with a soundfont."""


def find(name: str) -> Path | None:
    """Where a soundfont of that file name is installed; None without it or without FluidSynth."""
    if shutil.which("fluidsynth") is None:
        return None
    return next((folder / name for folder in FOLDERS if (folder / name).exists()), None)


def _variable_length(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def track(events: list[tuple[float, int, bytes]]) -> bytes:
    """A track chunk of (second, order, message) events."""
    body, last = bytearray(), 0
    for second, _, message in sorted(events, key=lambda event: (event[0], event[1])):
        tick = max(0, round(second * TICKS_PER_SECOND))
        body += _variable_length(tick - last) + message
        last = tick
    body += b"\x00\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def midi_bytes(
    piece: Piece, *, rng: np.random.Generator, cents: float, looseness_s: float
) -> bytes:
    """The piece as a standard MIDI file whose ticks are absolute time."""
    tracks, channel = [track([(0.0, 0, b"\xff\x51\x03\x07\xa1\x20")])], 0
    for part in piece.parts:
        if part.is_drums:
            number = DRUM_CHANNEL
        else:
            number, channel = channel, channel + 1
        pan, volume = round(64 + 50 * part.pan), round(min(127, 95 * part.gain))
        events: list[tuple[float, int, bytes]] = [
            (0.0, 0, bytes([0xC0 | number, int(part.instrument)])),
            (0.0, 1, bytes([0xB0 | number, 7, volume])),
            (0.0, 2, bytes([0xB0 | number, 10, pan])),
        ]
        if cents and not part.is_drums:
            fine = round(8192 + cents / 100 * 8192)
            for control, value in ((101, 0), (100, 1), (6, fine >> 7), (38, fine & 127)):
                events.append((0.0, len(events), bytes([0xB0 | number, control, value])))
        starts = piece.tempo.seconds([piece.swung(note.start) for note in part.notes])
        ends = piece.tempo.seconds([note.start + note.length for note in part.notes])
        spread = np.clip(rng.standard_normal(len(part.notes)), -2.5, 2.5) * looseness_s
        for note, start, end, late in zip(part.notes, starts, ends, spread, strict=True):
            velocity = int(np.clip(note.velocity + rng.normal(0, 4), 20, 127))
            on = max(0.0, float(start + late))
            off = max(on + 0.03, float(end + late))
            events.append((on, 20, bytes([0x90 | number, note.pitch, velocity])))
            events.append((off, 10, bytes([0x80 | number, note.pitch, 0])))
        tracks.append(track(events))
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), 960) + b"".join(tracks)


def sounded(
    midi: bytes, font: Path, *, rate_hz: int, options: list[str]
) -> npt.NDArray[np.float32]:
    """A MIDI file as FluidSynth plays it, (n, 2); raises FluidSynthFailed with what it said."""
    with tempfile.TemporaryDirectory() as folder:
        path, wav = Path(folder) / "piece.mid", Path(folder) / "piece.wav"
        path.write_bytes(midi)
        command = ["fluidsynth", "-ni", "-q", *options, "-r", str(rate_hz)]
        command += ["-F", str(wav), "-T", "wav", "-O", "s16", str(font), str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode or not wav.exists():
            raise FluidSynthFailed(f"{font.name}: {done.stderr.strip() or done.returncode}")
        sound, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    return np.asarray(sound, np.float32)


def render(
    piece: Piece,
    duration_s: float,
    font: Path,
    *,
    rng: np.random.Generator,
    cents: float = 0.0,
    looseness_s: float = 0.0,
) -> npt.NDArray[np.float32]:
    """The piece as stereo sound (n, 2) at 44.1 kHz, peak 1."""
    data = midi_bytes(piece, rng=rng, cents=cents, looseness_s=looseness_s)
    reverb = "1" if rng.random() < 0.7 else "0"
    # Unpacks the samples of a packed soundfont that are played only: a fifth of the time, the same
    # sound.  Not for .sf2, where it saves nothing and changes the sound.
    options = ["-o", "synth.dynamic-sample-loading=1"] if font.suffix == ".sf3" else []
    options = ["-g", "0.35", "-R", reverb, "-C", "0", "-o", "synth.cpu-cores=1", *options]
    sound = sounded(data, font, rate_hz=SAMPLE_RATE_HZ, options=options)
    n = round(duration_s * SAMPLE_RATE_HZ)
    sound = np.pad(sound, ((0, max(0, n - len(sound))), (0, 0)))[:n]
    return np.asarray(sound / (np.abs(sound).max() + 1e-9), np.float32)
