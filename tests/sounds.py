"""Audio files for tests: small, made on the spot, different bytes for every seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(path: Path, *, seed: int, duration_s: float = 5.0, rate_hz: int = 22_050) -> Path:
    """Write clicks at 120 a minute over a quiet chord; the format follows the suffix."""
    random = np.random.default_rng(seed)
    times = np.arange(int(duration_s * rate_hz)) / rate_hz
    chord = sum(np.sin(2 * np.pi * pitch * times) for pitch in (220.0, 277.18, 329.63))
    click = np.exp(-60.0 * (times % 0.5)) * random.standard_normal(times.size)
    samples = 0.08 * chord + 0.4 * click
    soundfile.write(path, samples.astype(np.float32), rate_hz)
    return path


def silence(path: Path, *, duration_s: float, rate_hz: int = 8_000) -> Path:
    """Write digital silence, in pieces, so that hours fit into memory."""
    piece = np.zeros(rate_hz * 600, dtype=np.int16)
    left = int(duration_s * rate_hz)
    with soundfile.SoundFile(path, "w", rate_hz, 1, subtype="PCM_16") as file:
        while left > 0:
            file.write(piece[: min(left, piece.size)])
            left -= piece.size
    return path


def truncated(source: Path, path: Path, *, share: float) -> Path:
    """Write the first `share` of the bytes of `source`."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
