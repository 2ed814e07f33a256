"""The program as its callers see it: what is on which channel, and the exit code."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tonearm_cli import render
from tonearm_cli.board import Board
from tonearm_cli.evidence import evidence
from tonearm_cli.output import Output

NOBODY = "http://127.0.0.1:1"


def tonearm(
    *words: str, config: Path, password: str = "", stdin: str = "", token: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {"TONEARM_CONFIG_DIR": str(config), "PATH": "/usr/bin:/bin", "HOME": str(config)}
    if password:
        environment["TONEARM_PASSWORD"] = password
    if token:
        environment["TONEARM_TOKEN"] = token
    return subprocess.run(
        [sys.executable, "-m", "tonearm_cli", *words],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("upload",),
        ("nonsense",),
        ("analyze", "--profile", "odd", "x.wav"),
        ("analyze", "--tempo-range", "160-80", "x.wav"),
        ("show", "an-id", "--tempo-range", "fast"),
        ("list", "--limit", "0"),
        ("whoami", "--server", "ftp://x"),
        ("login", "--email", "a@b"),
        ("login",),
        ("dlq",),
        ("dlq", "redrive", "--odd"),
        ("replay",),
        ("replay", "--topic", "t", "--group", "g", "--from", "yesterday"),
        ("announce",),
        ("announce", "--kind", "gossip", "Hello."),
    ],
)
def test_wrong_usage_is_2(words: tuple[str, ...], tmp_path: Path) -> None:
    done = tonearm(*words, config=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr


def test_a_server_that_is_away_is_1_and_one_line(tmp_path: Path) -> None:
    done = tonearm(
        "register", "--email", "a@b", "--server", NOBODY, config=tmp_path, password="secret word"
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: Cannot reach {NOBODY}.")


@pytest.mark.parametrize(
    "words",
    [
        ("dlq", "list"),
        ("dlq", "redrive", "--all", "--dry-run"),
        ("replay", "--topic", "t", "--group", "g", "--from", "2026-01-01"),
    ],
)
def test_kafka_that_is_away_is_1_and_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    command, *more = words
    done = tonearm(command, "--bootstrap-servers", "127.0.0.1:1", *more, config=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"tonearm {command}: Kafka does not answer at 127.0.0.1:1.")


def test_output_that_cannot_be_written_is_1_and_one_line(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text('{"engine_version": "1"}')
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tonearm_cli", "diff", str(result), str(result), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["Error: No space left on device."]


@pytest.mark.parametrize("command", ["analyze", "verify"])
@pytest.mark.parametrize(
    ("name", "told"),
    [("nowhere.wav", "no such file"), (".", "a folder"), ("-", "no regular file")],
)
def test_what_is_no_file_is_told_apart(command: str, name: str, told: str, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text('{"engine_version": "1"}')
    words = [command, name, *([str(result)] if command == "verify" else [])]
    done = tonearm(*words, config=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {name}: ")
    assert told in line


def test_who_is_not_logged_in_is_told_how(tmp_path: Path) -> None:
    done = tonearm("list", "--json", config=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "tonearm login" in done.stderr


def test_a_token_by_environment_needs_no_log_in(tmp_path: Path) -> None:
    done = tonearm("list", "--server", NOBODY, config=tmp_path, token="t")
    assert "Cannot reach" in done.stderr


def test_the_password_is_read_from_standard_input(tmp_path: Path) -> None:
    done = tonearm(
        "login", "--email", "a@b", "--password-stdin", "--server", NOBODY,
        config=tmp_path, stdin="secret\n",
    )  # fmt: skip
    assert "Cannot reach" in done.stderr


@pytest.mark.parametrize("command", ["dlq", "replay"])
def test_commands_of_the_kit_have_their_own_help(command: str, tmp_path: Path) -> None:
    done = tonearm(command, "--help", config=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: tonearm {command}")


def test_starting_takes_no_time(tmp_path: Path) -> None:
    """The heavy libraries load with the command that needs them, not with the program."""
    listed = "import sys, tonearm_cli.__main__ as m; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "httpx", "centrifuge", "pydantic", "scipy", "av", "soundfile"}


def sound(path: Path) -> Path:
    rate_hz, seconds = 22_050, 3
    samples = b"".join(
        struct.pack("<h", 8000 if i // 25 % 2 else -8000) for i in range(rate_hz * seconds)
    )
    head = struct.pack("<HHIIHH", 1, 1, rate_hz, rate_hz * 2, 2, 16)
    path.write_bytes(
        b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", len(samples)) + samples
    )  # fmt: skip
    return path


def test_analyze_with_json_says_one_document_per_file(tmp_path: Path) -> None:
    good, text = sound(tmp_path / "good.wav"), tmp_path / "text.mp3"
    text.write_text("no music")
    done = tonearm("analyze", str(good), str(text), "/nowhere.wav", "--json", config=tmp_path)
    assert done.returncode == 1
    found, not_audio, missing = (json.loads(line) for line in done.stdout.splitlines())
    assert found["error"] is None
    assert found["result"]["properties"]["sample_rate_hz"] == 22_050
    assert not_audio["error"]["code"] == "not_audio"
    assert missing["error"]["code"] == "unreadable"
    assert len(done.stderr.splitlines()) == 2


def test_a_preferred_tempo_range_is_part_of_the_result(tmp_path: Path) -> None:
    path = sound(tmp_path / "good.wav")
    done = tonearm("analyze", str(path), "--tempo-range", "80-160", "--json", config=tmp_path)
    assert json.loads(done.stdout)["result"]["parameters"]["tempo_range_bpm"] == [80.0, 160.0]


def test_analyze_for_people(tmp_path: Path) -> None:
    done = tonearm("analyze", str(sound(tmp_path / "good.wav")), config=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Loudness" in done.stdout
    assert "✓ properties" in done.stderr


def test_evidence_shows_rivals_and_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    tempi = [{"bpm": 120.0, "probability": 0.7, "relation": "same"}]
    rhythm = {"candidates": tempi, "evidence": {"onset_comb": 0.25}}
    Output(as_json=False).out.print(evidence({"rhythm": rhythm, "harmony": None}))
    shown = capsys.readouterr().out
    assert "120.0 BPM" in shown
    assert "onset_comb 0.25" in shown
    assert "Key" not in shown


def test_a_card_takes_what_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False)
    for result in (
        {},
        {"rhythm": {"tempo_bpm": None}, "harmony": {"key": None}, "loudness": {}},
        {"errors": {"rhythm": "broke"}, "loudness": {"integrated_lufs": None, "x": 1}},
    ):
        output.out.print(render.result_card(result, name="a [b] c", took_s=None))
    shown = capsys.readouterr().out
    assert "a [b] c" in shown
    assert "broke" in shown
    assert "silence" in shown


def test_a_list_fits_narrow_and_wide_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    item = {
        "id": "0" * 36,
        "filename": "x" * 99,
        "status": "failed",
        "duration_s": 3.0,
        "summary": None,
    }
    output = Output(as_json=False)
    for columns in (80, 120):
        output.out.print(render.library_table([item], columns=columns), width=columns)
    shown = capsys.readouterr().out
    assert shown.count("0" * 36) == 2
    assert "✗ failed" in shown
    output.out.print(render.library_table([], columns=80))
    assert "tonearm upload" in capsys.readouterr().out


def test_a_board_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        board = Board(Output(as_json=as_json))
        with board.shown():
            board.busy("working")
            board.done("one", "found [it]", took_s=0.5)
            board.failed("two", "broke")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "✓ one          500 ms  found [it]",
        "✗ two                  broke",
    ]
