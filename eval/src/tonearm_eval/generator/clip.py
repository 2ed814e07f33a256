"""One clip from its job: composed or arranged, played, spoilt, written with its truth."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile

from tonearm_eval.generator import degrade, soundfont, sung, synth
from tonearm_eval.generator.arrange import TUNE_STYLES, arrange, tempo_range
from tonearm_eval.generator.compose import compose, pick
from tonearm_eval.generator.idioms import IDIOM_STYLES, compose_idiom
from tonearm_eval.generator.loops import with_new_loops
from tonearm_eval.generator.material import DEV, STYLES, Material, Pattern
from tonearm_eval.generator.material_held_out import TEST
from tonearm_eval.generator.piece import PITCH_NAMES, Mode, Piece
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ
from tonearm_eval.generator.tunes import Tune
from tonearm_eval.loudness import integrated_lufs

MATERIALS: Final = {"dev": DEV, "test": TEST}
SOUNDFONT_SHARE: Final = 0.7
ALL_STYLES: Final = {**STYLES, **TUNE_STYLES, **IDIOM_STYLES}


@dataclass(frozen=True)
class Job:
    """What makes a clip: the same job, the same soundfonts, the same clip.

    index: its place in the run.  tune: None for a composed piece.  fonts: whether soundfonts may
    play.  new_loops: whether a composed piece has chord loops of its own in place of the listed ones.
    drums, rhythms: patterns and cells of tunes in place of the split's.
    """

    split: str
    seed: int
    index: int
    style: str
    tonic: int
    mode: Mode
    tune: Tune | None = None
    fonts: bool = True
    new_loops: bool = False
    drums: dict[str, list[Pattern]] | None = None
    rhythms: dict[str, list[tuple[float, ...]]] | None = None

    @property
    def name(self) -> str:
        """Of its files, without an ending."""
        return f"{self.split[0]}{self.index:04d}"

    def rng(self) -> np.random.Generator:
        """Its own randomness."""
        tuned = [] if self.tune is None else [1]
        return np.random.default_rng(
            [self.seed, zlib.crc32(self.split.encode()), self.index, *tuned]
        )


def play(
    rng: np.random.Generator, piece: Piece, duration_s: float, font: Path | None
) -> tuple[npt.NDArray[np.float32], dict[str, str]]:
    """The sound of a piece and how it was played."""
    cents = 0.0 if rng.random() < 0.6 else float(np.round(rng.uniform(-35, 35), 1))
    low, high = ALL_STYLES[piece.style].loose_ms
    looseness_s = float(rng.uniform(low, high)) / 1000
    if piece.style in IDIOM_STYLES:
        sound = sung.render(piece, duration_s, font, rng=rng, cents=cents, looseness_s=looseness_s)
    elif font is None:
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


def make_piece(
    rng: np.random.Generator,
    job: Job,
    material: Material,
    *,
    tempo_bpm: tuple[float, float],
    duration_s: float,
    midi: bool,
) -> Piece:
    """Compose it, or arrange the job's tune."""
    if job.tune is not None:
        return arrange(
            rng, job.tune, material, tonic=job.tonic, tempo_bpm=tempo_bpm,
            duration_s=duration_s, midi=midi,
        )  # fmt: skip
    made = compose_idiom if job.style in IDIOM_STYLES else compose
    return made(
        rng, job.style, material, tonic=job.tonic, mode=job.mode, tempo_bpm=tempo_bpm,
        duration_s=duration_s, midi=midi,
    )  # fmt: skip


def start_tempo(rng: np.random.Generator, job: Job) -> float:
    """Beats a minute: evenly over a style's range, over a tune's by ratio."""
    if job.tune is None:
        return float(np.round(rng.uniform(*ALL_STYLES[job.style].tempo), 2))
    low, high = np.log(tempo_range(job.tune))
    return float(np.round(np.exp(rng.uniform(low, high)), 2))


def material_of(job: Job) -> Material:
    """What the job's piece is made of."""
    material = MATERIALS[job.split]
    if job.drums is not None:
        material = replace(material, drums=job.drums)
    if job.rhythms is not None:
        material = replace(material, rhythms=job.rhythms)
    if job.new_loops:
        rng = np.random.default_rng([job.seed, zlib.crc32(b"loops"), job.index])
        material = with_new_loops(rng, material, job.mode)
    return material


def make_clip(job: Job, out: Path) -> dict[str, Any]:
    """Write one clip with its truth and return its row of the manifest."""
    material = material_of(job)
    rng = job.rng()
    duration_s = float(np.round(rng.uniform(20, 30), 3))
    start_bpm = start_tempo(rng, job)
    ramp = float(np.round(rng.uniform(0.93, 1.07), 3)) if rng.random() < 0.1 else 1.0
    installed = [path for name in material.soundfonts if (path := soundfont.find(name))]
    chosen = job.fonts and installed and rng.random() < SOUNDFONT_SHARE
    font = pick(rng, installed) if chosen else None
    piece = make_piece(
        rng, job, material, tempo_bpm=(start_bpm, start_bpm * ramp),
        duration_s=duration_s, midi=font is not None,
    )  # fmt: skip
    sound, manner = play(rng, piece, duration_s, font)
    sound, degradation = spoil(rng, sound, material)
    soundfile.write(out / f"audio/{job.name}.flac", sound, SAMPLE_RATE_HZ, subtype="PCM_16")
    beats = piece.beats(duration_s)
    write_truth(out, job.name, piece, beats, duration_s)
    gaps = np.diff([t for t, _ in beats])
    row = {
        "path": f"audio/{job.name}.flac",
        "duration_s": f"{duration_s:.3f}",
        "tempo_bpm": f"{60 / float(np.median(gaps)):.3f}",
        "key": PITCH_NAMES[job.tonic],
        "mode": job.mode,
        "meter": piece.meter,
        "style": piece.style,
        "beats_file": f"beats/{job.name}.beats",
        "chords_file": f"chords/{job.name}.lab" if piece.chords else "",
        "loudness_lufs": f"{integrated_lufs(sound, SAMPLE_RATE_HZ):.3f}",
        "tempo_ramp": f"{ramp:.3f}",
        "degradation": degradation,
        **manner,
    }
    return row | piece.traits if job.tune is not None else row


def write_truth(
    out: Path, name: str, piece: Piece, beats: list[tuple[float, int]], duration_s: float
) -> None:
    """The beat file (time, number in the bar) and, where chords are known, the chord file."""
    rows = "".join(f"{t:.6f}\t{number}\n" for t, number in beats)
    (out / f"beats/{name}.beats").write_text(rows, encoding="utf-8")
    lines = []
    for chord in piece.chords:
        start, stop = piece.tempo.seconds([chord.start, chord.start + chord.length])
        if start < duration_s:
            lines.append(f"{start:.6f}\t{min(stop, duration_s):.6f}\t{chord.label}\n")
    if piece.chords:
        (out / f"chords/{name}.lab").write_text("".join(lines), encoding="utf-8")
