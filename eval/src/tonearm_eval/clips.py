"""A folder of clips with truth beside it: manifest.csv, beat files, chord files.

Columns of the manifest: path, duration_s, tempo_bpm, key, mode, meter, style, beats_file,
chords_file, tuning_cents, soundfont, cut_from; any may be empty but the path.  Beat file: time and
number in the bar on a line.  Chord file: start, end and label on a line.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

PITCH_CLASSES = {
    "C": 0, "C#": 1, "Db": 1, "D": 2, "D#": 3, "Eb": 3, "E": 4, "Fb": 4, "E#": 5, "F": 5,
    "F#": 6, "Gb": 6, "G": 7, "G#": 8, "Ab": 8, "A": 9, "A#": 10, "Bb": 10, "B": 11, "Cb": 11,
    "B#": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """One recording and what is known of it; None or empty where nothing is.

    key: 0-11 major from C, 12-23 minor.  beats: (second, number in the bar or 0).
    chords: (start second, end second, label).  soundfont: what it was played with.
    tuning_cents: deviation from A = 440 Hz, 0 where it is not said.  cut_from: of an excerpt,
    the folder, clip and style that it comes from, "dev31/d0003/pop".
    """

    name: str
    path: Path
    style: str
    duration_s: float | None
    tempo_bpm: float | None
    key: int | None
    meter: str | None
    beats: tuple[tuple[float, int], ...]
    chords: tuple[tuple[float, float, str], ...]
    soundfont: str = ""
    tuning_cents: float = 0.0
    cut_from: str = ""


def read_manifest(folder: Path) -> list[Clip]:
    """All clips of a folder, in the manifest's order."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return [_clip(folder, row) for row in csv.DictReader(file)]


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    path = folder / row["path"]
    suspect = "tempo_suspect" in (row.get("labels") or "")
    return Clip(
        name=row["path"],
        path=path,
        style=row.get("style") or row.get("genre") or "",
        duration_s=_number(row.get("duration_s")),
        tempo_bpm=None if suspect else _number(row.get("tempo_bpm")),
        key=_key(row.get("key"), row.get("mode")),
        meter=row.get("meter") or None,
        beats=_beats(_beside(folder, row.get("beats_file"), f"beats/{path.stem}.beats")),
        chords=_chords(_beside(folder, row.get("chords_file"), f"chords/{path.stem}.lab")),
        soundfont=row.get("soundfont") or "",
        tuning_cents=_number(row.get("tuning_cents")) or 0.0,
        cut_from=row.get("cut_from") or "",
    )


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _key(tonic: str | None, mode: str | None) -> int | None:
    if not tonic or mode not in ("major", "minor"):
        return None
    return PITCH_CLASSES[tonic] + 12 * (mode == "minor")


def _beside(folder: Path, named: str | None, usual: str) -> Path | None:
    path = folder / (named or usual)
    return path if path.is_file() else None


def _beats(path: Path | None) -> tuple[tuple[float, int], ...]:
    if path is None:
        return ()
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return tuple((float(row[0]), int(float(row[1])) if len(row) > 1 else 0) for row in rows)


def _chords(path: Path | None) -> tuple[tuple[float, float, str], ...]:
    if path is None:
        return ()
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return tuple((float(row[0]), float(row[1]), row[2]) for row in rows)
