"""MIDI music of free games in Debian -> a folder of pieces that people wrote, with known beats.

Recipe (see the packages' copyright files; nothing of them is in this repository):
    apt-get download openttd-openmsx simutrans-data planetblupi-music-midi freedoom freedm
    for package in *.deb; do dpkg -x "$package" GAMES; done
    pip install mido
    python -m tonearm_eval.recipes.game_tunes GAMES .local/eval/tunes
    python -m tonearm_eval.accuracy --folder .local/eval/tunes

Playing takes a quarter of an hour of one core; a run that was stopped goes on. Beats, tempo and,
where a file says its meter, downbeats are those of the file's bars. Left out are files that were
played without regard to their bars: see `on_grid` and `on_beats`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import io
import struct
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
SKIPPED_S, LENGTH_S, SHORTEST_S = 8.0, 40.0, 20.0
FONTS: Final = ("FluidR3_GM.sf2", "MuseScore_General.sf3", "sf_GMbank.sf2")
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
Pieces that people wrote for free games (OpenTTD's OpenMSX, Simutrans, Planet Blupi, Freedoom: rock,
metal, techno, blues, swing, marches, ambient), played from their MIDI files by three soundfonts: up
to 40 s of each from second 8. Tempo, beats and bars are those of the files; keys and chords are not
known. Files that were played without regard to their bars are left out by their notes alone, before
any analyser heard them. No number of the engine was fitted on them. Two of the soundfonts played
clips that weights were fitted on.
"""


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


def midi_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of all MIDI files below a folder, those in games' archives (WAD) too, once."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() == ".wad":
            found = list(lumps(path))
        elif path.suffix.lower() == ".mid":
            found = [(path.stem, path.read_bytes())]
        else:
            continue
        for name, data in found:
            digest = hashlib.sha256(data).digest()
            if data.startswith(b"MThd") and digest not in seen:
                seen.add(digest)
                yield f"{path.parent.name if path.suffix == '.mid' else path.stem}__{name}", data


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


def write_tune(name: str, midi: bytes, font: Path, out: Path) -> dict[str, str] | None:
    """Play one file and write its beats; the row of the manifest, None where it does not count."""
    tune = read(midi)
    if tune is None or (tune.meter or (4, 4)) not in METERS:
        return None
    meter, _, step = METERS[tune.meter or (4, 4)]
    places = phases(tune, step)
    if not (on_grid(places) and on_beats(places)):
        return None
    times = tune.at(tune.notes_ticks)
    start_s = float(times.min()) + SKIPPED_S
    end_s = min(start_s + LENGTH_S, float(times.max()))
    rows = beats(tune, start_s=start_s, end_s=end_s)
    if end_s - start_s < SHORTEST_S or len(rows) < 2:
        return None
    path = out / f"audio/{name}.flac"
    if not path.exists():
        options = ["-g", "0.35", "-C", "0", "-o", "synth.cpu-cores=1"]
        sound = sounded(midi, font, rate_hz=SAMPLE_RATE_HZ, options=options)
        sound = sound[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
        peak = float(np.abs(sound).max(initial=0.0))
        if not peak:
            return None
        soundfile.write(path, sound / peak * 0.9, SAMPLE_RATE_HZ)
    lines = "".join(f"{second:.4f} {number}\n" for second, number in rows)
    (out / f"beats/{name}.beats").write_text(lines, encoding="utf-8")
    tempo_bpm = 60.0 / float(np.median(np.diff([second for second, _ in rows])))
    return {
        "path": f"audio/{name}.flac",
        "duration_s": f"{soundfile.info(path).duration:.3f}",
        "tempo_bpm": f"{tempo_bpm:.3f}",
        "meter": meter if tune.meter else "",
        "style": name.split("__")[0],
        "beats_file": f"beats/{name}.beats",
        "soundfont": font.stem,
    }


def main() -> None:
    """Write audio, beats, manifest.csv and ABOUT.md."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.recipes.game_tunes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("games", type=Path, help="folder with unpacked packages")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    fonts = [font for name in FONTS if (font := find(name)) is not None]
    if len(fonts) < len(FONTS):
        parser.error(f"FluidSynth and {', '.join(FONTS)} are needed (eval/README.md)")
    for folder in ("audio", "beats"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    rows, left_out = [], 0
    for number, (name, midi) in enumerate(midi_files(args.games)):
        row = write_tune(name, midi, fonts[number % len(fonts)], args.out)
        left_out += row is None
        if row is not None:
            rows.append(row)
    fields = ["path", "duration_s", "tempo_bpm", "meter", "style", "beats_file", "soundfont"]
    with (args.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=fields)
        writer.writeheader()
        writer.writerows(rows)
    (args.out / "ABOUT.md").write_text(ABOUT, encoding="utf-8")
    print(f"{len(rows)} pieces, {left_out} left out")


if __name__ == "__main__":
    main()
