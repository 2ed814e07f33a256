"""Tunes of games: beats where their ticks are, and pieces played without regard to bars left out."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tonearm_eval.generator.related import related_to_test
from tonearm_eval.recipes.game_tunes import (
    SPLITS,
    Tune,
    beats,
    excerpts,
    lumps,
    midi_files,
    on_beats,
    on_grid,
    phases,
)

QUARTER_TICKS = 480
HALF_S_A_QUARTER = 0.5 / QUARTER_TICKS


def tune(
    quarters: list[float],
    *,
    meter: tuple[int, int] | None = (4, 4),
    ticks: tuple[float, ...] = (0.0,),
    seconds: tuple[float, ...] = (0.0,),
    seconds_per_tick: float = HALF_S_A_QUARTER,
) -> Tune:
    notes = np.array(quarters) * QUARTER_TICKS
    return Tune(meter, np.array(ticks), np.array(seconds), seconds_per_tick, QUARTER_TICKS, notes)


def wad(*named: tuple[bytes, bytes]) -> bytes:
    """An archive of Doom's kind: what is in it, then its directory."""
    data, directory = b"", b""
    for name, content in named:
        directory += struct.pack("<II8s", 12 + len(data), len(content), name)
        data += content
    return struct.pack("<4sII", b"IWAD", len(named), 12 + len(data)) + data + directory


def test_seconds_follow_changes_of_tempo_and_the_last_tempo_goes_on() -> None:
    changes = tune(
        [0.0], ticks=(0.0, 960.0), seconds=(0.0, 1.0), seconds_per_tick=1.0 / QUARTER_TICKS
    )
    assert changes.at(np.array([0.0, 480.0, 960.0, 1440.0])) == pytest.approx([0, 0.5, 1, 2])


@pytest.mark.parametrize(
    ("meter", "numbers", "beat_s"),
    [
        ((4, 4), [1, 2, 3, 4, 1, 2], 0.5),
        ((3, 4), [1, 2, 3, 1, 2, 3], 0.5),
        ((6, 8), [1, 2, 1, 2, 1, 2], 0.75),
        (None, [0, 0, 0, 0, 0, 0], 0.5),
    ],
)
def test_beats_are_those_of_the_written_bars(
    meter: tuple[int, int] | None, numbers: list[int], beat_s: float
) -> None:
    rows = beats(tune([0.0, 40.0], meter=meter), start_s=0.0, end_s=6 * beat_s)
    assert [number for _, number in rows] == numbers
    assert [second for second, _ in rows] == pytest.approx([k * beat_s for k in range(6)])


def test_an_excerpt_counts_its_seconds_from_where_it_starts_and_keeps_its_bars() -> None:
    rows = beats(tune([0.0, 40.0]), start_s=1.2, end_s=3.0)
    assert [(round(second, 6), number) for second, number in rows] == [(0.3, 4), (0.8, 1), (1.3, 2)]


def test_a_live_player_is_off_the_grid_and_swing_is_on_it() -> None:
    swung = tune([k + part for k in range(32) for part in (0.0, 2 / 3)])
    assert on_grid(phases(swung, 1.0))
    played = tune(list(np.random.default_rng(7).uniform(0.0, 64.0, 200)))
    assert not on_grid(phases(played, 1.0))


def test_bars_that_the_music_does_not_keep_are_told_by_where_its_notes_begin() -> None:
    straight = [k / 2 for k in range(64)]
    assert on_beats(phases(tune([*straight, *range(32)]), 1.0))
    shifted = tune([k + 0.5 for k in range(32)] + straight)
    assert on_grid(phases(shifted, 1.0))
    assert not on_beats(phases(shifted, 1.0))


def test_midi_files_of_folders_and_of_archives_are_different_halves_each_file_once(
    tmp_path: Path,
) -> None:
    first, second = b"MThd first", b"MThd second"
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs/one.mid").write_bytes(first)
    (tmp_path / "songs/again.mid").write_bytes(first)
    (tmp_path / "songs/text.mid").write_bytes(b"no music")
    archive = wad((b"D_ONE\0\0\0", first), (b"D_TWO\0\0\0", second), (b"PLAYPAL\0", b"colours"))
    (tmp_path / "game.wad").write_bytes(archive)
    assert [name for name, _ in lumps(tmp_path / "game.wad")] == ["d_one", "d_two", "playpal"]
    archived = dict(midi_files(tmp_path, archived=True))
    assert archived == {"game__d_one": first, "game__d_two": second}
    assert dict(midi_files(tmp_path, archived=False)) == {"songs__again": first}


def test_excerpts_lie_apart_inside_the_piece() -> None:
    piece = tune([float(k) for k in range(200)])  # its last note begins at 99.5 s
    split = SPLITS["dev"]
    spans = excerpts(piece, split)
    assert spans == [(8.0, 32.0), (38.0, 62.0), (68.0, 92.0)]
    assert excerpts(tune([float(k) for k in range(40)]), split) == []


def test_the_halves_are_played_with_different_soundfonts() -> None:
    assert not set(SPLITS["dev"].fonts) & set(SPLITS["test"].fonts)
    assert not any(related_to_test(font) for font in SPLITS["dev"].fonts)
