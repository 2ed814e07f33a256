"""What makes two results the same result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonearm_analysis.engine.parameters import Parameters
from tonearm_analysis.engine.version import ENGINE_VERSION


class PcmHash:
    """SHA-256 of decoded audio: rate, channels, then float32 little-endian, interleaved.

    The container and a lossless codec leave no trace: a WAV and its FLAC hash alike. Rate and
    channels count, since equal samples at another rate are another recording.
    """

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        head = f"tonearm-pcm-1 {sample_rate_hz} {channels}\n"
        self._sha256 = hashlib.sha256(head.encode())

    def feed(self, frames: NDArray[np.float32]) -> None:
        """Add samples, shape (n, channels), C-contiguous."""
        self._sha256.update(np.ascontiguousarray(frames, dtype="<f4").data)

    def hexdigest(self) -> str:
        """Return the hash so far."""
        return self._sha256.hexdigest()


def result_id(
    pcm_sha256: str, parameters: Parameters, *, engine_version: str = ENGINE_VERSION
) -> str:
    """Return the id of the result that this engine gives for these samples."""
    name: dict[str, Any] = {
        "engine_version": engine_version,
        "parameters": parameters.canonical(),
        "pcm_sha256": pcm_sha256,
    }
    text = json.dumps(name, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
