"""Songs of the game Frets on Fire in Debian -> a folder of real recordings with known tempo.

Recipe (the songs are free: MIT-like and CC BY-SA 3.0, see their packages' copyright files):
    apt-get download fretsonfire-songs-muldjord fretsonfire-songs-sectoid
    for package in fretsonfire-songs-*.deb; do dpkg -x "$package" SONGS; done
    pip install mido
    python -m tonearm_eval.recipes.game_songs SONGS .local/eval/songs
    python -m tonearm_eval.accuracy --folder .local/eval/songs

The truth is the tempo of each song's note chart; songs whose chart changes tempo are left out.
"""

from __future__ import annotations

import argparse
import csv
import importlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

START_S, LENGTH_S = 30.0, 90.0
ABOUT: Final = """\
Real recordings: rock and metal by two artists (Muldjord, Sectoid) that play along with the note
charts of the game Frets on Fire, from Debian's packages fretsonfire-songs-muldjord and
fretsonfire-songs-sectoid; 90 s of each from second 30. The truth is the chart's tempo; beats, keys
and chords are not known. No number of the engine was fitted on them. So few songs, of one kind and
fast, show that the engine works on records, not by how much it is better.
"""


def chart_tempo(path: Path) -> float | None:
    """Beats a minute of a note chart; None where it changes."""
    mido: Any = importlib.import_module("mido")
    tempi = {
        message.tempo
        for track in mido.MidiFile(path).tracks
        for message in track
        if message.type == "set_tempo"
    }
    return 60e6 / tempi.pop() if len(tempi) == 1 else None


def mixed(song: Path) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int]:
    """The parts of a song together, cut to the stretch that is scored."""
    total: np.ndarray[Any, np.dtype[np.float32]] | None = None
    rate_hz = 0
    for part in sorted(song.glob("*.ogg")):
        sound, rate_hz = soundfile.read(part, dtype="float32", always_2d=True)
        sound = sound[round(START_S * rate_hz) : round((START_S + LENGTH_S) * rate_hz)]
        total = sound if total is None else total[: len(sound)] + sound[: len(total)]
    if total is None:
        raise ValueError(f"{song} has no sound")
    return total / np.float32(max(1.0, float(np.abs(total).max()))), rate_hz


def main() -> None:
    """Write audio, manifest.csv and ABOUT.md."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.recipes.game_songs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("songs", type=Path, help="folder with unpacked packages")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    (args.out / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for chart in sorted(args.songs.rglob("notes.mid")):
        tempo_bpm = chart_tempo(chart)
        if tempo_bpm is None:
            continue
        name = f"{chart.parent.name.replace(' ', '_').lower()}.flac"
        sound, rate_hz = mixed(chart.parent)
        soundfile.write(args.out / "audio" / name, sound, rate_hz, subtype="PCM_16")
        rows.append({
            "path": f"audio/{name}",
            "duration_s": f"{len(sound) / rate_hz:.3f}",
            "tempo_bpm": f"{tempo_bpm:.3f}",
            "style": chart.parent.parent.name,
        })  # fmt: skip
    with (args.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=["path", "duration_s", "tempo_bpm", "style"])
        writer.writeheader()
        writer.writerows(rows)
    (args.out / "ABOUT.md").write_text(ABOUT, encoding="utf-8")
    print(f"{len(rows)} songs")


if __name__ == "__main__":
    main()
