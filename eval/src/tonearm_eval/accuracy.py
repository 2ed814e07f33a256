"""The accuracy card: our engine and every installed peer on the generator's test split.

    python -m tonearm_eval.accuracy [--clips 300] [--folder DIR ...]

Generates the test split if it is not there, gets all answers (a run that stopped goes on), and
writes docs/accuracy.json and docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from tonearm_analysis.engine import ENGINE_VERSION
from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.run import OURS, PEERS, answer_all, known_answers, scored
from tonearm_eval.score import METRICS, key_index, means

SEED: Final = 20_261_122
BINS: Final = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0001)
METHODS: Final = {
    "tonearm": "profile full",
    "tonearm-fast": "profile fast",
    "essentia": "RhythmExtractor2013 multifeature, KeyExtractor bgate, ChordsDetection",
    "librosa": "beat_track, chroma_cqt with Krumhansl profiles",
    "aubio": "tempo default",
    "madmom": "RNN + DBN downbeats in bars of 3 or 4, CNN key",
}


def ensure_clips(folder: Path, clips: int) -> None:
    """Generate the test split, or go on with one that was stopped."""
    manifest = folder / "manifest.csv"
    if manifest.exists() and len(read_manifest(folder)) >= clips:
        return
    command = [sys.executable, "-m", "tonearm_eval.generator", "--split", "test"]
    command += ["--clips", str(clips), "--seed", str(SEED), "--out", str(folder)]
    subprocess.run(command, check=True)


def reliability(clips: list[Clip], out: Path) -> dict[str, list[dict[str, float]]]:
    """Stated confidence against how often it came true, for tempo and key."""
    answers = known_answers(out / "tonearm.jsonl")
    tempo, key = [], []
    for clip in clips:
        answer = answers.get(str(clip.path.resolve()))
        if answer is None:
            continue
        if clip.tempo_bpm and answer["tempo_bpm"]:
            right = abs(answer["tempo_bpm"] - clip.tempo_bpm) <= 0.04 * clip.tempo_bpm
            tempo.append((answer["tempo_confidence"], right))
        if clip.key is not None and answer["key"]:
            key.append((answer["key_confidence"], key_index(answer["key"]) == clip.key))
    return {"tempo": _binned(tempo), "key": _binned(key)}


def _binned(pairs: list[tuple[float, bool]]) -> list[dict[str, float]]:
    rows = []
    for low, high in pairwise(BINS):
        inside = [(stated, right) for stated, right in pairs if low <= stated < high]
        if inside:
            rows.append(
                {
                    "from": low,
                    "to": min(high, 1.0),
                    "clips": len(inside),
                    "stated": round(float(np.mean([stated for stated, _ in inside])), 3),
                    "true": round(float(np.mean([right for _, right in inside])), 3),
                }
            )
    return rows


def card(folders: list[Path], out: Path, names: list[str]) -> dict[str, Any]:
    """All figures, ready for JSON."""
    sets = {}
    for folder in folders:
        clips = read_manifest(folder)
        analysers = {}
        for name in names:
            rows = scored(name, clips, out)
            if rows:
                found = means(row for _, row in rows)
                figures = {k: {"mean": round(v, 4), "clips": n} for k, (v, n) in found.items()}
                analysers[name] = {"clips": len(rows), "figures": figures}
        sets[folder.name] = {
            "clips": len(clips),
            "analysers": analysers,
            "reliability": reliability(clips, out),
        }
    return {"engine_version": ENGINE_VERSION, "metrics": METRICS, "methods": METHODS, "sets": sets}


def page(data: dict[str, Any]) -> str:
    """The card as Markdown."""
    lines = [
        "# Accuracy",
        "",
        f"Engine {data['engine_version']}. Written by `make accuracy`; the figures are in "
        "[accuracy.json](accuracy.json).",
        "",
        "The clips are generated: tempo, beats, meter, key and chords are exact, and every figure "
        "says how the engine does on synthetic music, not on records. The test split shares no "
        "progression, drum pattern, melody rhythm, instrument or soundfont with the development "
        "split that the engine's own numbers were fitted on. Peers run in the same way on the "
        "same files; a dash means that the peer does not answer.",
        "",
    ]
    for name, figures in data["sets"].items():
        lines += [f"## {name}: {figures['clips']} clips", ""]
        lines += ["| analyser | clips | " + " | ".join(METRICS) + " |"]
        lines += ["|" + " --- |" * (len(METRICS) + 2)]
        for analyser, row in figures["analysers"].items():
            cells = [
                f"{row['figures'][m]['mean']:.3f}" if m in row["figures"] else "-" for m in METRICS
            ]
            lines.append(f"| {analyser} | {row['clips']} | " + " | ".join(cells) + " |")
        lines += ["", "Stated confidence against how often it came true:", ""]
        lines += ["| estimate | stated | clips | mean stated | came true |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for estimate, rows in figures["reliability"].items():
            lines += [
                f"| {estimate} | {row['from']:.2f}-{row['to']:.2f} | {row['clips']} | "
                f"{row['stated']:.3f} | {row['true']:.3f} |"
                for row in rows
            ]
        lines.append("")
    lines += ["## What the columns mean", ""]
    lines += [f"- `{name}`: {text}" for name, text in METRICS.items()]
    lines += ["", "## What ran", ""]
    lines += [f"- {name}: {method}" for name, method in METHODS.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Generate, answer, score, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--folder", type=Path, action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path(".local/eval"))
    parser.add_argument("--peers", type=Path, default=Path(".local/peers"))
    parser.add_argument("--only", default=",".join((*OURS, *PEERS)))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--no-new-answers", action="store_true", help="score what is there")
    args = parser.parse_args()
    folders = args.folder or [args.work / "test"]
    if not args.folder:
        ensure_clips(folders[0], args.clips)
    out = args.work / "answers"
    out.mkdir(parents=True, exist_ok=True)
    names = args.only.split(",")
    if not args.no_new_answers:
        clips = [clip for folder in folders for clip in read_manifest(folder)]
        for name in names:
            print(name if answer_all(name, clips, out, args.peers) else f"{name}: not installed")
    data = card(folders, out, names)
    text = json.dumps(data, indent=1) + "\n"
    (args.docs / "accuracy.json").write_text(text, encoding="utf-8")
    (args.docs / "accuracy.md").write_text(page(data), encoding="utf-8")
    print(page(data))


if __name__ == "__main__":
    main()
