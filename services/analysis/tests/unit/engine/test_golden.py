"""Golden results: whole results of music made from whole numbers, which must not change unnoticed.

A change here is a new engine version: raise it, then write the file again with

    python services/analysis/tests/unit/engine/test_golden.py
"""

from __future__ import annotations

import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (loads its BLAS, which is part of the platform)
import soundfile
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from tonearm_analysis.engine import Parameters, analyze_whole
from tonearm_analysis.engine.compare import differences

GOLDEN = Path(__file__).with_name("golden.json")
LIBRARIES = ("numpy", "scipy", "onnxruntime", "soxr", "soundfile")
CLOSE = 2e-3
"""Other processors and libraries sum in another order; a result may show that in its last digit."""


def this_platform() -> dict[str, Any]:
    """Return what decides the last bits: instruction sets, and the libraries that use them."""
    config: Any = np.show_config(mode="dicts")
    return {
        "machine": platform.machine(),
        "simd": sorted(config["SIMD Extensions"]["found"]),
        "blas": sorted({library["architecture"] for library in threadpool_info()
                        if library["internal_api"] == "openblas"}),
        **{name: version(name) for name in LIBRARIES},
    }  # fmt: skip


def integer_music() -> NDArray[np.int16]:
    """Return 10 s of stereo at 44.1 kHz, made with whole numbers alone: equal everywhere."""
    frames = np.arange(441_000, dtype=np.int64)
    out = np.zeros((len(frames), 2), dtype=np.int64)
    bars = [(262, 330, 392), (349, 440, 523), (392, 494, 587), (262, 330, 392), (262, 330, 392)]
    for bar, chord in enumerate(bars):
        inside = (frames >= bar * 88_200) & (frames < (bar + 1) * 88_200)
        decay = 4096 - (frames - bar * 88_200) * 3000 // 88_200
        for voice, hz in enumerate(chord):
            triangle = np.abs((frames * hz * 65_536 // 44_100) % 65_536 - 32_768) - 16_384
            out[inside, voice % 2] += (triangle * decay // 4096 // 6)[inside]
    since_beat = frames % 22_050
    noise = (frames * 1_103_515_245 + 12_345) // 65_536 % 16_384 - 8_192
    out += np.where(since_beat < 2_205, noise * (2_205 - since_beat) // 2_205, 0)[:, None]
    return out.astype(np.int16)


def found(profile: str, folder: Path) -> dict[str, Any]:
    """Return what the engine says of the music, as JSON."""
    path = folder / "golden.wav"
    soundfile.write(path, integer_music(), 44_100, subtype="PCM_16")
    result = analyze_whole(path, parameters=Parameters.from_dict({"profile": profile}))
    read_back: dict[str, Any] = json.loads(result.canonical_json())
    return read_back


@pytest.mark.parametrize("profile", ["full", "fast"])
def test_golden_results_stay(tmp_path: Path, profile: str) -> None:
    """To the byte where the file was written; elsewhere rounding may show in the last digits."""
    golden = json.loads(GOLDEN.read_text())
    expected, is_same_platform = golden[profile], golden["platform"] == this_platform()
    result = found(profile, tmp_path)
    if is_same_platform:
        assert differences(expected, result) == []
        return
    for name in ("engine_version", "pcm_sha256", "result_id"):
        assert result[name] == expected[name]
    for part in ("properties", "waveform", "loudness", "spectral"):
        assert differences(expected[part], result[part], tolerance=CLOSE) == []
    assert result["harmony"]["key"] == expected["harmony"]["key"]
    assert [chord["label"] for chord in result["harmony"]["chords"]] == [
        chord["label"] for chord in expected["harmony"]["chords"]
    ]
    assert result["rhythm"]["meter"] == expected["rhythm"]["meter"]
    assert result["rhythm"]["tempo_bpm"] == pytest.approx(
        expected["rhythm"]["tempo_bpm"], rel=CLOSE
    )
    assert result["rhythm"]["beats_s"] == pytest.approx(expected["rhythm"]["beats_s"], abs=0.021)


def main() -> None:
    """Write what this engine says now."""
    golden: dict[str, Any] = {"platform": this_platform()}
    with tempfile.TemporaryDirectory() as folder:
        for profile in ("full", "fast"):
            golden[profile] = found(profile, Path(folder))
    GOLDEN.write_text(json.dumps(golden, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
