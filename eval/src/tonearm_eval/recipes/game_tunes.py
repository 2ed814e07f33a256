"""MIDI music of free games in Debian -> two folders of pieces that people wrote, with known beats.

Recipe (see the packages' copyright files; nothing of them is in this repository):
    apt-get download openttd-openmsx simutrans-data planetblupi-music-midi freedoom freedm
    for package in *.deb; do dpkg -x "$package" GAMES; done
    pip install mido
    python -m tonearm_eval.recipes.game_tunes GAMES --split dev --out DEV/games
    python -m tonearm_eval.recipes.game_tunes GAMES --split test --out .local/eval/tunes
    python -m tonearm_eval.accuracy --folder .local/eval/tunes

Development has Freedoom's pieces (BSD), several excerpts of each, and the test the other games', with
other soundfonts.  Playing takes minutes; a run that was stopped goes on.  Beats, tempo and, where a file
says its meter, downbeats are those of the file's bars.  Left out are files that were played without
regard to their bars: see `on_grid` and `on_beats`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import io
import struct
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile

from tonearm_eval.generator.soundfont import find, sounded

Doubles = npt.NDArray[np.float64]

SAMPLE_RATE_HZ: Final = 44_100
SHORTEST_S: Final = 16.0
# Quarters to a bar and to a beat of the meters that count; other meters are left out.
METERS: Final = {
    (4, 4): ("4/4", 4.0, 1.0),
    (2, 4): ("", 2.0, 1.0),
    (3, 4): ("3/4", 3.0, 1.0),
    (6, 8): ("6/8", 3.0, 1.5),
    (12, 8): ("", 6.0, 1.5),
}
GRID: Final = (0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4)
NEAR: Final = 0.04
FEWEST_NOTES: Final = 60
LEAST_ON_GRID: Final = 0.85
ABOUT: Final = """\
Pieces that people wrote for free games ({games}), played from their MIDI files by soundfonts. Tempo,
beats and bars are those of the files; keys and chords are not known. Files that were played without
regard to their bars are left out by their notes alone, before any analyser heard them. {use}
"""


@dataclass(frozen=True)
class Split:
    """What a half of the pieces is for.

    archived: whether its games keep their music in archives (WAD), which tells the halves apart.
    length_s, apart_s, most: of excerpts of a piece, the first from SKIPPED_S.
    """

    archived: bool
    fonts: tuple[str, ...]
    length_s: float
    apart_s: float
    most: int
    about: str


SKIPPED_S: Final = 8.0
SPLITS: Final = {
    "dev": Split(
        True, ("FluidR3_GM.sf2", "MuseScore_General.sf3"), 24.0, 30.0, 6,
        ABOUT.format(
            games="Freedoom: rock, metal, ambient",
            use="Numbers of the engine are fitted on them.",
        ),
    ),
    "test": Split(
        False, ("sf_GMbank.sf2", "OPL-3_FM_128M.sf2"), 40.0, 60.0, 1,
        ABOUT.format(
            games="OpenTTD's OpenMSX, Simutrans, Planet Blupi: techno, blues, swing, marches",
            use="No number of the engine was fitted on them.",
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Tune:
    """A MIDI file's bars: `meter` as written, None where it is not; notes by the second.

    ticks, seconds: of every change of tempo, from 0; the tempo after the last goes on.
    """

    meter: tuple[int, int] | None
    ticks: Doubles
    seconds: Doubles
    seconds_per_tick: float
    ticks_per_quarter: int
    notes_ticks: Doubles

    def at(self, ticks: Doubles) -> Doubles:
        """Seconds of ticks."""
        behind = np.maximum(ticks - self.ticks[-1], 0.0) * self.seconds_per_tick
        return np.asarray(np.interp(ticks, self.ticks, self.seconds) + behind, np.float64)


def read(midi: bytes) -> Tune | None:
    """What a file says; None where it cannot be read, its meter changes, or it has few notes."""
    mido: Any = importlib.import_module("mido")
    try:
        file = mido.MidiFile(file=io.BytesIO(midi), clip=True)
    except (mido.KeySignatureError, EOFError, OSError):
        return None
    tempo, meters, notes = 500_000, set(), []
    ticks, seconds, now = [0.0], [0.0], 0
    for message in mido.merge_tracks(file.tracks):
        now += message.time
        if message.type == "set_tempo":
            seconds.append(seconds[-1] + (now - ticks[-1]) * tempo / 1e6 / file.ticks_per_beat)
            ticks.append(float(now))
            tempo = message.tempo
        elif message.type == "time_signature":
            meters.add((message.numerator, message.denominator))
        elif message.type == "note_on" and message.velocity:
            notes.append(float(now))
    if len(meters) > 1 or len(notes) < FEWEST_NOTES:
        return None
    return Tune(
        meters.pop() if meters else None,
        np.array(ticks), np.array(seconds), tempo / 1e6 / file.ticks_per_beat,
        file.ticks_per_beat, np.array(notes),
    )  # fmt: skip


def phases(tune: Tune, quarters_to_beat: float) -> Doubles:
    """Where in its beat each note begins, 0 to 1."""
    return np.asarray((tune.notes_ticks / (tune.ticks_per_quarter * quarters_to_beat)) % 1.0)


def near(phases: Doubles, place: float) -> npt.NDArray[np.bool_]:
    """Which of them are at a place in the beat."""
    return np.asarray(np.abs((phases - place + 0.5) % 1.0 - 0.5) <= NEAR)


def on_grid(phases: Doubles) -> bool:
    """Whether notes begin on quarters and thirds of beats: those of a live player do not."""
    return bool(np.mean(np.any([near(phases, place) for place in GRID], axis=0)) >= LEAST_ON_GRID)


def on_beats(phases: Doubles) -> bool:
    """Whether more notes begin on beats than between any two at any other place of the grid."""
    counts = [near(phases, place).sum() for place in GRID]
    return bool(counts[0] == max(counts))


def midi_files(folder: Path, *, archived: bool) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the MIDI files below a folder, or in archives (WAD) there, each once."""
    seen = set()
    for path in sorted(folder.rglob("*.wad" if archived else "*.mid")):
        found = lumps(path) if archived else [(path.stem, path.read_bytes())]
        for name, data in found:
            digest = hashlib.sha256(data).digest()
            if data.startswith(b"MThd") and digest not in seen:
                seen.add(digest)
                yield f"{path.stem if archived else path.parent.name}__{name}", data


def lumps(wad: Path) -> Iterator[tuple[str, bytes]]:
    """Everything in an archive of Doom's kind: a directory of offset, size and name of 8 bytes."""
    data = wad.read_bytes()
    _, count, start = struct.unpack_from("<4sII", data)
    for number in range(count):
        offset, size, name = struct.unpack_from("<II8s", data, start + 16 * number)
        yield name.rstrip(b"\0").decode("ascii").lower(), data[offset : offset + size]


def beats(tune: Tune, *, start_s: float, end_s: float) -> list[tuple[float, int]]:
    """(second from start_s, number in the bar, 0 without a written meter) of the beats between."""
    _, bar, step = METERS[tune.meter or (4, 4)]
    last = tune.notes_ticks.max()
    count = int(last / (tune.ticks_per_quarter * step)) + 1
    numbers = np.arange(count, dtype=np.float64)
    seconds = tune.at(numbers * step * tune.ticks_per_quarter)
    places = numbers % round(bar / step) + 1 if tune.meter else np.zeros(count)
    inside = (seconds >= start_s) & (seconds < end_s)
    return [
        (float(s) - start_s, int(n)) for s, n in zip(seconds[inside], places[inside], strict=True)
    ]


def excerpts(tune: Tune, split: Split) -> list[tuple[float, float]]:
    """Starts and ends of a piece's excerpts, s from the file's start; none of a piece too short."""
    times = tune.at(tune.notes_ticks)
    last_s = float(times.max())
    starts = float(times.min()) + SKIPPED_S + split.apart_s * np.arange(split.most)
    ends = np.minimum(starts + split.length_s, last_s)
    return [
        (float(start), float(end))
        for start, end in zip(starts, ends, strict=True)
        if end - start >= SHORTEST_S
    ]


def usable(midi: bytes) -> Tune | None:
    """What a file says, if it has beats that its notes keep."""
    tune = read(midi)
    if tune is None or (tune.meter or (4, 4)) not in METERS:
        return None
    places = phases(tune, METERS[tune.meter or (4, 4)][2])
    return tune if on_grid(places) and on_beats(places) else None


def write_tune(
    name: str, midi: bytes, tune: Tune, font: Path, split: Split, out: Path
) -> list[dict[str, str]]:
    """Play one file and write its excerpts and their beats; their rows of the manifest."""
    spans = excerpts(tune, split)
    paths = [f"audio/{name}_{number}.flac" for number in range(len(spans))]
    if not all((out / path).exists() for path in paths):
        options = ["-g", "0.35", "-C", "0", "-o", "synth.cpu-cores=1"]
        sound = sounded(midi, font, rate_hz=SAMPLE_RATE_HZ, options=options)
        for path, (start_s, end_s) in zip(paths, spans, strict=True):
            part = sound[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
            peak = float(np.abs(part).max(initial=0.0)) + 1e-9
            soundfile.write(out / path, part / peak * 0.9, SAMPLE_RATE_HZ)
    rows = []
    for path, (start_s, end_s) in zip(paths, spans, strict=True):
        counted = beats(tune, start_s=start_s, end_s=end_s)
        beats_file = f"beats/{Path(path).stem}.beats"
        lines = "".join(f"{second:.4f} {number}\n" for second, number in counted)
        (out / beats_file).write_text(lines, encoding="utf-8")
        tempo_bpm = 60.0 / float(np.median(np.diff([second for second, _ in counted])))
        rows.append({
            "path": path,
            "duration_s": f"{end_s - start_s:.3f}",
            "tempo_bpm": f"{tempo_bpm:.3f}",
            "meter": METERS[tune.meter][0] if tune.meter else "",
            "style": name.split("__")[0],
            "beats_file": beats_file,
            "soundfont": font.stem,
        })  # fmt: skip
    return rows


def main() -> None:
    """Write audio, beats, manifest.csv and ABOUT.md."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.recipes.game_tunes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("games", type=Path, help="folder with unpacked packages")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    split = SPLITS[args.split]
    fonts = [font for name in split.fonts if (font := find(name)) is not None]
    if len(fonts) < len(split.fonts):
        parser.error(f"FluidSynth and {', '.join(split.fonts)} are needed (eval/README.md)")
    for folder in ("audio", "beats"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    rows, left_out = [], 0
    for number, (name, midi) in enumerate(midi_files(args.games, archived=split.archived)):
        tune = usable(midi)
        found = write_tune(
            name, midi, tune, fonts[number % len(fonts)], split, args.out
        ) if tune else []  # fmt: skip
        left_out += not found
        rows += found
    fields = ["path", "duration_s", "tempo_bpm", "meter", "style", "beats_file", "soundfont"]
    with (args.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=fields)
        writer.writeheader()
        writer.writerows(rows)
    (args.out / "ABOUT.md").write_text(textwrap.fill(split.about, 100) + "\n", encoding="utf-8")
    print(f"{len(rows)} excerpts; {left_out} pieces left out")


if __name__ == "__main__":
    main()
