"""Clips as the engine's listeners take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

RATE_HZ = 22_050


def mono_22k(path: Path) -> npt.NDArray[np.float32]:
    """Mean of the channels at 22 050 Hz."""
    sound, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1, dtype=np.float32)
    return np.asarray(soxr.resample(mono, rate_hz, RATE_HZ) if rate_hz != RATE_HZ else mono)
