from __future__ import annotations

import pytest

from tonearm_cli import say


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.6, "1:00"),
        (205, "3:25"),
        (3723, "1:02:03"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert say.duration(seconds) == text


@pytest.mark.parametrize(
    ("format", "codec", "text"),
    [
        ("flac", "pcm_16", "FLAC"),
        ("flac", "flac", "FLAC"),
        ("wav", "pcm_s16le", "WAV"),
        ("wav", "float", "WAV"),
        ("mp3", "mpeg_layer_iii", "MP3"),
        ("ogg", "vorbis", "Vorbis"),
        ("mov", "alac", "ALAC"),
        ("mov", None, "MOV"),
        (None, None, ""),
    ],
)
def test_encodings(format: str | None, codec: str | None, text: str) -> None:
    assert say.encoding({"format": format, "codec": codec}) == text


def test_a_sound_too_short_for_a_loudness_is_not_called_silence() -> None:
    assert say.headline("loudness", {"integrated_lufs": None, "momentary": {"values": []}}) == (
        "too short to measure"
    )
    assert say.headline("loudness", {"integrated_lufs": None}) == "silence"


def test_numbers() -> None:
    assert say.number(-14.06, 1, "LUFS") == "−14.1 LUFS"
    assert say.number(None, 1, "LUFS") == "–"
    assert say.hertz(44_100) == "44.1 kHz"
    assert say.hertz(440.4) == "440 Hz"
    assert say.size(999) == "999 B"
    assert say.size(3_210_000) == "3.2 MB"
    assert say.took(0.0123) == "12 ms"
    assert say.took(1.44) == "1.4 s"
    assert say.dots(0.5) == "●●○○○"
    assert say.dots(None) == ""
    assert say.channels(1) == "mono"
    assert say.tuning(0.4) == "A = 440 Hz"
    assert say.tuning(-12.2) == "A = 440 Hz, 12 cents flat"
    assert say.tuning(1.0) == "A = 440 Hz, 1 cent sharp"
    assert say.channels(6) == "6 channels"


def test_a_sparkline_takes_the_extremes_of_the_level_that_fits() -> None:
    levels = [
        {"minima": [-10, -20], "maxima": [5, 20]},
        {"minima": [0, -127, 0, 0, 0, 0, 0, -10], "maxima": [0] * 8},
    ]
    assert say.sparkline({"levels": levels}, width=4) == "█▁▁▂"
    assert say.sparkline({"levels": levels}, width=100)
    assert say.sparkline(None, width=4) == ""
    assert say.sparkline({"levels": [{"minima": [0], "maxima": [0]}]}, width=9) == "▁"


@pytest.mark.parametrize(
    ("stage", "found", "text"),
    [
        (
            "rhythm",
            {"tempo_bpm": 120.04, "meter": "4/4", "beats_s": [0, 1]},
            "120.0 BPM · 4/4 · 2 beats",
        ),
        ("rhythm", {"tempo_bpm": None, "confidence": 0}, "no steady beat"),
        ("harmony", {"key": "A minor", "camelot": "8A", "chords": [1]}, "A minor · 8A · 1 chord"),
        ("harmony", {"key": None, "confidence": 0}, "no key"),
        ("loudness", {"integrated_lufs": None, "range_lu": None}, "silence"),
        ("a stage of tomorrow", {"x": 1}, ""),
        ("rhythm", {}, ""),
    ],
)
def test_headlines(stage: str, found: dict[str, object], text: str) -> None:
    assert say.headline(stage, found) == text


def test_a_summary_says_what_there_is() -> None:
    assert say.summary({"tempo_bpm": 120, "key": "A minor", "loudness_lufs": -14.04}) == (
        "120.0 BPM · A minor · −14.0 LUFS"
    )
    assert say.summary({"tempo_bpm": None, "key": None, "loudness_lufs": None}) == ""
