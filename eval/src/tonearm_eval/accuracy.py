"""The accuracy card: our engine and every installed peer on the generator's test split.

    python -m tonearm_eval.accuracy [--clips 300] [--folder DIR ...]

Generates the test split, and degraded excerpts of it, if they are not there, gets all answers (a run
that stopped goes on), and writes docs/accuracy.json, docs/accuracy.md and a reliability diagram a set.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np

from tonearm_analysis.engine import ENGINE_VERSION
from tonearm_eval import degrade, reliability, tonality
from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.comparison import Scores, best_settings, by_group, column, lead, summary
from tonearm_eval.page import HARMONY_METRICS, RHYTHM_METRICS, STYLE_METRICS, page
from tonearm_eval.run import (
    OURS,
    PEERS,
    answer_all,
    answer_file,
    known_answers,
    scored,
    settings_of,
)
from tonearm_eval.score import METRICS, key_index, key_relation

SEED: Final = 20_261_122
ROUGH_CLIPS: Final = 96
ROUGH: Final = (
    "Excerpts of the test split's clips, 12 to 20 s from anywhere, degraded as records are: every "
    "excerpt suffers what its style is called, often a second and a third thing. The effects' code "
    "is that of the excerpts that weights were fitted on; pieces, players, drums, noises and codecs "
    "are not. `python -m tonearm_eval.degrade` says more."
)
FEWEST_FOR_RELIABILITY: Final = 50
GROUPS: Final[dict[str, tuple[Callable[[Clip], str], tuple[str, ...]]]] = {
    "meter": (lambda clip: clip.meter or "", RHYTHM_METRICS),
    "soundfont": (lambda clip: clip.soundfont, RHYTHM_METRICS),
    "scale": (tonality.holding, HARMONY_METRICS),
    "style": (
        lambda clip: clip.style,
        tuple(metric for pair in STYLE_METRICS.values() for metric in pair),
    ),
}
GENERATED: Final = (
    "Made by the generator's test split: tempo, beats, meter, key and chords are exact, and every "
    "figure says how an analyser does on synthetic music, not on records. The split shares no "
    "progression (as a loop, whatever its first chord), drum pattern, melody rhythm, instrument, "
    "codec or soundfont with the development split, nor a soundfont whose samples are the same. "
    "What each of the engine's weights was fitted on is said with the models below and in "
    "eval/README.md; no clip of those was played with a soundfont related to one of the test split."
)


def ensure_clips(folder: Path, clips: int) -> None:
    """Generate the test split, or go on with one that was stopped."""
    manifest = folder / "manifest.csv"
    if manifest.exists() and len(read_manifest(folder)) >= clips:
        return
    command = [sys.executable, "-m", "tonearm_eval.generator", "--split", "test"]
    command += ["--clips", str(clips), "--seed", str(SEED), "--out", str(folder)]
    subprocess.run(command, check=True)


def ensure_rough(folder: Path, test: Path) -> None:
    """Degrade some of the test split's clips, or go on with a run that was stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ABOUT.md").write_text(ROUGH + "\n", encoding="utf-8")
    degrade.make([test], folder, seed=SEED, clips=ROUGH_CLIPS, split="test")


def key_errors(
    all_scores: dict[str, Scores], clips: list[Clip], out: Path
) -> dict[str, dict[str, int]]:
    """How each analyser's keys relate to the true ones, at its best setting."""
    table: dict[str, dict[str, int]] = {}
    for name, scores in all_scores.items():
        best = best_settings(scores).get("key_exact")
        if best is None:
            continue
        answers = settings_of(name, clips, out)[best["setting"]]
        counts = dict.fromkeys(("right", "relative", "parallel", "fifth up", "fifth down"), 0)
        counts |= {"other": 0, "none": 0}
        for clip in clips:
            answer = answers.get(str(clip.path.resolve()))
            if answer is not None and clip.key is not None:
                key = answer.get("key")
                counts[key_relation(clip.key, key_index(key)) if key else "none"] += 1
        table[name] = counts
    return table


def about(folder: Path) -> list[str]:
    """What a set says of itself: its ABOUT.md, or what the generator's are."""
    text = folder / "ABOUT.md"
    return text.read_text(encoding="utf-8").splitlines() if text.exists() else [GENERATED]


def set_figures(folder: Path, out: Path, names: list[str]) -> dict[str, Any]:
    """All figures of one folder of clips."""
    clips = read_manifest(folder)
    all_scores = {name: scores for name in names if (scores := scored(name, clips, out))}
    analysers = {
        name: {
            "best": best_settings(scores),
            "settings": {
                setting: {
                    metric: summary(values)
                    for metric in METRICS
                    if np.isfinite(values := column(rows, metric)).any()
                }
                for setting, rows in scores.items()
            },
        }
        for name, scores in all_scores.items()
    }
    us, others = names[0], [name for name in all_scores if name not in OURS]
    compared = [us, *others] if us in all_scores else others
    return {
        "clips": len(clips),
        "about": about(folder),
        "analysers": analysers,
        "lead": lead(all_scores, us, others) if us in all_scores else {},
        "groups": {
            group: {n: by_group(all_scores[n], [name(c) for c in clips], metrics) for n in compared}
            for group, (name, metrics) in GROUPS.items()
        },
        "key_errors": key_errors(all_scores, clips, out),
        "reliability": reliability.tables(clips, known_answers(answer_file(out, us)))
        if len(clips) >= FEWEST_FOR_RELIABILITY
        else {},
    }


def training() -> dict[str, str]:
    """What each file of numbers in the engine was fitted on or taken from, by its card."""
    folder = files("tonearm_analysis.engine.models")
    cards = sorted(p.name for p in folder.iterdir() if p.name.endswith(".card.json"))
    read = {name: json.loads(folder.joinpath(name).read_text(encoding="utf-8")) for name in cards}
    return {
        card["name"]: f"{card['training']}. Licence {card['licence']}." for card in read.values()
    }


def card(folders: list[Path], out: Path, names: list[str]) -> dict[str, Any]:
    """All figures, ready for JSON."""
    return {
        "engine_version": ENGINE_VERSION,
        "metrics": METRICS,
        "diagrams": {folder.name: f"accuracy-{folder.name}.svg" for folder in folders},
        "training": training(),
        "sets": {folder.name: set_figures(folder, out, names) for folder in folders},
    }


def main() -> None:
    """Generate, answer, score, write."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--clips", type=int, default=300, help="of the test split; default: %(default)s"
    )
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="more sets, beside the test split"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(".local/eval"),
        help="clips and answers; default: %(default)s",
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(".local/peers"),
        help="environments of peers; default: %(default)s",
    )
    parser.add_argument("--only", default=",".join((*OURS, *PEERS)), help="analysers to ask")
    parser.add_argument(
        "--docs", type=Path, default=Path("docs"), help="where the card goes; default: %(default)s"
    )
    parser.add_argument("--again", action="store_true", help="ask our engine anew")
    parser.add_argument("--no-new-answers", action="store_true", help="score what is there")
    args = parser.parse_args()
    args.docs.mkdir(parents=True, exist_ok=True)
    folders = [args.work / "test", args.work / "rough", *args.folder]
    ensure_clips(folders[0], args.clips)
    ensure_rough(folders[1], folders[0])
    out = args.work / "answers"
    out.mkdir(parents=True, exist_ok=True)
    clips = [clip for folder in folders for clip in read_manifest(folder)]
    for name in () if args.no_new_answers else args.only.split(","):
        if args.again and name in OURS:
            answer_file(out, name).unlink(missing_ok=True)
        print(name if answer_all(name, clips, out, args.peers) else f"{name}: not installed")
    data = card(folders, out, [*OURS, *PEERS])
    text = json.dumps(data, indent=1) + "\n"
    (args.docs / "accuracy.json").write_text(text, encoding="utf-8")
    (args.docs / "accuracy.md").write_text(page(data), encoding="utf-8")
    for name, figures in data["sets"].items():
        if figures["reliability"]:
            svg = reliability.diagram(figures["reliability"])
            (args.docs / data["diagrams"][name]).write_text(svg, encoding="utf-8")
    print(page(data))


if __name__ == "__main__":
    main()
