"""Folders of degraded excerpts: every clip cut anywhere, with one effect and often more.

The same arguments give the same excerpts, and the first of a run are the same whatever the number;
a run that was stopped goes on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.degrade.effects import EFFECTS
from tonearm_eval.degrade.take import RATE_HZ, Take
from tonearm_eval.generator.piece import PITCH_NAMES

PLAIN: Final = "cut"
"""The kind that is an excerpt and nothing else."""
KINDS: Final = (PLAIN, *EFFECTS)
CUT_S: Final = (12.0, 20.0)
MORE: Final = 0.45
"""Chance of a second effect, and of a third where there is a second."""
PEAK: Final = 0.7
_STREAM: Final = 83


def degraded(
    rng: np.random.Generator, take: Take, kind: str, split: str
) -> tuple[Take, tuple[str, ...]]:
    """An excerpt of a take with the effect of that kind, and perhaps more; and all that was done."""
    length_s = min(float(rng.uniform(*CUT_S)), take.duration_s)
    start_s = float(rng.uniform(0, take.duration_s - length_s))
    out = take.cut(start_s, start_s + length_s)
    names = set() if kind == PLAIN else {kind}
    while names and len(names) < 3 and rng.random() < MORE:
        names.add(str(rng.choice(list(EFFECTS))))
    done = tuple(name for name in EFFECTS if name in names)
    for name in done:
        out = EFFECTS[name](rng, out, split)
    sound = out.sound / (np.abs(out.sound).max(initial=0.0) + 1e-9)
    return out.sounding(PEAK * sound), done


def chosen(clips: list[Clip], seed: int, count: int | None) -> list[Clip]:
    """The first `count` of a shuffle of the clips that have a key; they return where too few."""
    keyed = [clip for clip in clips if clip.key is not None]
    order = np.random.default_rng([seed, _STREAM]).permutation(len(keyed))
    return [keyed[order[k % len(keyed)]] for k in range(count or len(keyed))]


def write(out: Path, clip: Clip, index: int, seed: int, split: str) -> dict[str, Any]:
    """Write one excerpt and return its row of the manifest."""
    rng = np.random.default_rng([seed, _STREAM, index])
    kind, name = KINDS[index % len(KINDS)], f"x{index:04d}"
    take, done = degraded(rng, Take.of(clip), kind, split)
    path, beats, chords = (f"audio/{name}.flac", f"beats/{name}.beats", f"chords/{name}.lab")
    soundfile.write(out / path, take.sound, RATE_HZ, subtype="PCM_16")
    rows = "".join(f"{t:.6f}\t{number}\n" for t, number in take.beats)
    (out / beats).write_text(rows, encoding="utf-8")
    if take.chords:
        rows = "".join(f"{a:.6f}\t{b:.6f}\t{label}\n" for a, b, label in take.chords)
        (out / chords).write_text(rows, encoding="utf-8")
    key = clip.key or 0
    return {
        "path": path,
        "duration_s": f"{take.duration_s:.3f}",
        "tempo_bpm": "" if take.tempo_bpm is None else f"{take.tempo_bpm:.3f}",
        "key": PITCH_NAMES[key % 12],
        "mode": "major" if key < 12 else "minor",
        "meter": clip.meter or "",
        "style": kind,
        "beats_file": beats,
        "chords_file": chords if take.chords else "",
        "tuning_cents": f"{take.tuning_cents:.1f}",
        "soundfont": clip.soundfont,
        "degradation": "+".join(done) or PLAIN,
        "cut_from": f"{clip.path.parts[-3]}/{clip.path.stem}/{clip.style}",
    }


def make(folders: list[Path], out: Path, *, seed: int, clips: int | None, split: str) -> None:
    """Write the excerpts and their manifest, which is complete as far as it goes at any time."""
    for name in ("audio", "beats", "chords"):
        (out / name).mkdir(parents=True, exist_ok=True)
    wanted = chosen([c for folder in folders for c in read_manifest(folder)], seed, clips)
    manifest, done = out / "manifest.csv", []
    if manifest.exists():
        with manifest.open(newline="", encoding="utf-8") as file:
            done = list(csv.DictReader(file))[: len(wanted)]

    def rows() -> Iterator[dict[str, Any]]:
        yield from done
        for index in range(len(done), len(wanted)):
            yield write(out, wanted[index], index, seed, split)

    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        for row in rows():
            if writer is None:
                writer = csv.DictWriter(file, fieldnames=list(row))
                writer.writeheader()
            writer.writerow(row)
            file.flush()
