"""`tonearm verify` and `tonearm diff`, as a script sees them."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest


def tonearm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tonearm_cli", *words],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 22_050, 0, "NONE", ""))
        levels = (round(9000 * math.sin(k * 0.125)) for k in range(22_050 * 2))
        file.writeframes(b"".join(struct.pack("<h", level) for level in levels))
    return path


@pytest.fixture(scope="module")
def result(song: Path) -> Path:
    path = song.with_name("result.json")
    path.write_text(tonearm("analyze", str(song), "--profile", "fast", "--json").stdout)
    return path


def changed(result: Path) -> Path:
    document = json.loads(result.read_text())
    document["result"]["loudness"]["integrated_lufs"] = -1.0
    path = result.with_name("changed.json")
    path.write_text(json.dumps(document))
    return path


def test_a_result_that_holds_exits_with_0(song: Path, result: Path) -> None:
    done = tonearm("verify", str(song), str(result))
    assert (done.returncode, done.stdout) == (0, "")
    assert "holds" in done.stderr


def test_a_result_that_does_not_hold_exits_with_1_and_says_where(song: Path, result: Path) -> None:
    done = tonearm("verify", str(song), str(changed(result)), "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["same_audio"]
    assert [item["path"] for item in found["differences"]] == ["loudness.integrated_lufs"]


def test_diff_shows_what_changed(result: Path) -> None:
    done = tonearm("diff", str(result), str(changed(result)))
    assert done.returncode == 1
    assert "loudness.integrated_lufs" in done.stdout
    assert tonearm("diff", str(result), str(result)).returncode == 0


def test_what_is_no_result_is_refused_in_one_line(song: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("[1, 2]")
    done = tonearm("diff", str(other), str(other))
    assert done.returncode == 1
    assert "no result" in done.stderr
    assert done.stderr.count("\n") == 1
    assert tonearm("verify", str(song), str(tmp_path / "absent.json")).returncode == 1


def test_findings_come_first_and_a_long_list_is_cut(result: Path) -> None:
    document = json.loads(result.read_text())
    old, new = (result.with_name(name) for name in ("old.json", "new.json"))
    curve = [{"at_s": float(k), "bpm": 120.0 + k} for k in range(60)]
    document["result"]["rhythm"]["tempo_curve"] = curve
    old.write_text(json.dumps(document))
    document["result"]["rhythm"]["tempo_curve"] = [{**point, "bpm": 99.0} for point in curve]
    document["result"]["waveform"]["levels"] = []
    document["result"]["loudness"]["integrated_lufs"] *= 1.0001
    new.write_text(json.dumps(document))
    done = tonearm("diff", str(old), str(new))
    assert done.returncode == 1
    assert done.stdout.index("loudness.integrated_lufs") < done.stdout.index("rhythm.tempo_curve.0")
    assert "22 more; --all shows them." in done.stderr
    assert "rhythm.tempo_curve.59.bpm" in tonearm("diff", str(old), str(new), "--all").stdout
    close = tonearm("diff", str(old), str(new), "--tolerance", "0.001").stdout
    assert "loudness.integrated_lufs" not in close
