"""Generate a folder of clips with exact truth.

    python -m tonearm_eval.generator --split test --clips 320 --seed 7 --out DIR

Writes audio/, beats/ and chords/ files and manifest.csv.  The same arguments and the same
soundfonts give the same clips.  Without FluidSynth, or with --synth-only, every clip is played by
the built-in synthesiser.
"""

from __future__ import annotations

import argparse
import csv
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile

from tonearm_eval.generator import degrade, soundfont, synth
from tonearm_eval.generator.compose import compose, pick
from tonearm_eval.generator.material import DEV, STYLES, Material
from tonearm_eval.generator.material_test import TEST
from tonearm_eval.generator.piece import PITCH_NAMES, Mode, Piece
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ
from tonearm_eval.loudness import integrated_lufs

MATERIALS: Final = {"dev": DEV, "test": TEST}
SOUNDFONT_SHARE: Final = 0.7


def plan(rng: np.random.Generator, clips: int) -> list[tuple[str, int, Mode]]:
    """(style, tonic, mode) of every clip: styles by weight, keys all equally often."""
    names = list(STYLES)
    weights = np.array([STYLES[name].weight for name in names])
    counts = np.floor(weights / weights.sum() * clips).astype(int)
    while counts.sum() < clips:
        counts[int(rng.integers(len(counts)))] += 1
    styles = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    modes: tuple[Mode, Mode] = ("major", "minor")
    keys = [(tonic, mode) for tonic in range(12) for mode in modes]
    deck = [keys[k] for _ in range(-(-clips // 24)) for k in rng.permutation(24)]
    order = rng.permutation(clips)
    return [(styles[k], *deck[i]) for i, k in enumerate(order)]


def play(
    rng: np.random.Generator, piece: Piece, duration_s: float, font: Path | None
) -> tuple[npt.NDArray[np.float32], dict[str, str]]:
    """The sound of a piece and how it was played."""
    cents = 0.0 if rng.random() < 0.6 else float(np.round(rng.uniform(-35, 35), 1))
    low, high = STYLES[piece.style].loose_ms
    looseness_s = float(rng.uniform(low, high)) / 1000
    if font is None:
        sound = synth.render(piece, duration_s, rng=rng, cents=cents, looseness_s=looseness_s)
    else:
        sound = soundfont.render(
            piece, duration_s, font, rng=rng, cents=cents, looseness_s=looseness_s
        )
    return sound, {
        "tuning_cents": f"{cents:.1f}",
        "soundfont": font.stem if font else "built-in",
        "human_ms": f"{1000 * looseness_s:.1f}",
    }


def spoil(
    rng: np.random.Generator, sound: npt.NDArray[np.float32], material: Material
) -> tuple[npt.NDArray[np.float32], str]:
    """Perhaps saturation, a narrow band, noise and a codec; the name says which."""
    done = []
    if rng.random() < 0.2:
        sound = degrade.saturated(sound, float(rng.uniform(1.5, 4)))
        done.append("saturated")
    if rng.random() < 0.12:
        kind = pick(rng, ("thin", "dull"))
        sound = degrade.filtered(sound, kind)
        done.append(kind)
    if rng.random() < 0.2:
        kind, snr_db = pick(rng, material.noises), float(rng.uniform(8, 26))
        sound = degrade.with_noise(rng, sound, kind, snr_db)
        done.append(f"{kind}{snr_db:.0f}dB")
    peak_db = float(rng.uniform(0.5, 12))
    sound = sound / (np.abs(sound).max() + 1e-9) * np.float32(10 ** (-peak_db / 20))
    if rng.random() < 0.25:
        codec, kbps = pick(rng, material.codecs)
        sound = degrade.recoded(sound, codec, kbps)
        done.append(f"{codec}{kbps}")
    return np.clip(sound, -1, 1).astype(np.float32), "+".join(done) or "none"


def make_clip(
    split: str, seed: int, index: int, style: str, tonic: int, mode: Mode, out: Path, *, fonts: bool
) -> dict[str, Any]:
    """Write one clip with its truth and return its row of the manifest."""
    material = MATERIALS[split]
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
    duration_s = float(np.round(rng.uniform(20, 30), 3))
    low, high = STYLES[style].tempo
    start_bpm = float(np.round(rng.uniform(low, high), 2))
    ramp = float(np.round(rng.uniform(0.93, 1.07), 3)) if rng.random() < 0.1 else 1.0
    installed = [path for name in material.soundfonts if (path := soundfont.find(name))]
    font = pick(rng, installed) if fonts and installed and rng.random() < SOUNDFONT_SHARE else None
    piece = compose(
        rng, style, material, tonic=tonic, mode=mode,
        tempo_bpm=(start_bpm, start_bpm * ramp), duration_s=duration_s, midi=font is not None,
    )  # fmt: skip
    sound, manner = play(rng, piece, duration_s, font)
    sound, degradation = spoil(rng, sound, material)
    name = f"{split[0]}{index:04d}"
    soundfile.write(out / f"audio/{name}.flac", sound, SAMPLE_RATE_HZ, subtype="PCM_16")
    beats = piece.beats(duration_s)
    write_truth(out, name, piece, beats, duration_s)
    gaps = np.diff([t for t, _ in beats])
    return {
        "path": f"audio/{name}.flac",
        "duration_s": f"{duration_s:.3f}",
        "tempo_bpm": f"{60 / float(np.median(gaps)):.3f}",
        "key": PITCH_NAMES[tonic],
        "mode": mode,
        "meter": piece.meter,
        "style": style,
        "beats_file": f"beats/{name}.beats",
        "chords_file": f"chords/{name}.lab",
        "loudness_lufs": f"{integrated_lufs(sound, SAMPLE_RATE_HZ):.3f}",
        "tempo_ramp": f"{ramp:.3f}",
        "degradation": degradation,
        **manner,
    }


def write_truth(
    out: Path, name: str, piece: Piece, beats: list[tuple[float, int]], duration_s: float
) -> None:
    """The beat file (time, number in the bar) and the chord file (start, end, label)."""
    rows = "".join(f"{t:.6f}\t{number}\n" for t, number in beats)
    (out / f"beats/{name}.beats").write_text(rows, encoding="utf-8")
    lines = []
    for chord in piece.chords:
        start, stop = piece.tempo.seconds([chord.start, chord.start + chord.length])
        if start < duration_s:
            lines.append(f"{start:.6f}\t{min(stop, duration_s):.6f}\t{chord.label}\n")
    (out / f"chords/{name}.lab").write_text("".join(lines), encoding="utf-8")


def known_rows(manifest: Path) -> list[dict[str, Any]]:
    """Rows of a run that stopped: clips are made in order, so these are the first ones."""
    if not manifest.exists():
        return []
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Generate the clips and the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=sorted(MATERIALS), required=True)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--seed", type=int, default=20_261_122)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--synth-only", action="store_true", help="use no soundfont")
    args = parser.parse_args()
    for folder in ("audio", "beats", "chords"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    jobs = plan(np.random.default_rng([args.seed, zlib.crc32(args.split.encode())]), args.clips)
    manifest = args.out / "manifest.csv"
    done = known_rows(manifest)
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        for index, (style, tonic, mode) in enumerate(jobs):
            row = done[index] if index < len(done) else make_clip(
                args.split, args.seed, index, style, tonic, mode, args.out,
                fonts=not args.synth_only,
            )  # fmt: skip
            if writer is None:
                writer = csv.DictWriter(file, fieldnames=list(row))
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            if index % 20 == 19:
                print(f"{index + 1}/{len(jobs)}", flush=True)


if __name__ == "__main__":
    main()
