"""Score our engine, and every installed peer, on folders of clips.

    python -m tonearm_eval.run FOLDER... --out answers/ [--only tonearm,essentia] [--limit N]

Answers are kept, one JSON line a clip, so that a run can go on where it stopped.  An answer of
another version of our engine does not count.  A peer answers under several settings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.score import METRICS, Answer, means, score

# Peers, each with the parts that it answers in, so that what is slow can be left for later.
PEERS: Final[dict[str, tuple[str, ...]]] = {
    "essentia": ("",),
    "librosa": ("",),
    "aubio": ("",),
    "madmom": ("downbeats", "key", "beats", "chords"),
}
OURS: Final = ("tonearm", "tonearm-fast")


def ours(paths: list[Path], profile: str) -> Iterator[dict[str, Any]]:
    """Our engine's answers, from the file to the result."""
    from tonearm_analysis.engine import ENGINE_VERSION, Parameters, analyze_whole

    for path in paths:
        start_s = time.process_time()
        result = analyze_whole(path, parameters=Parameters(profile=profile))  # type: ignore[arg-type]
        rhythm, harmony = result.rhythm, result.harmony
        yield {
            "path": str(path),
            "engine_version": ENGINE_VERSION,
            "cpu_s": round(time.process_time() - start_s, 4),
            "tempo_bpm": rhythm.tempo_bpm if rhythm else None,
            "tempo_confidence": rhythm.confidence if rhythm else 0.0,
            "beats_s": list(rhythm.beats_s) if rhythm else [],
            "downbeats_s": list(rhythm.downbeats_s) if rhythm else [],
            "meter": rhythm.meter if rhythm else None,
            "meter_confidence": rhythm.meter_confidence if rhythm else 0.0,
            "key": harmony.key if harmony else None,
            "key_confidence": harmony.confidence if harmony else 0.0,
            "chords": [
                [chord.start_s, chord.end_s, chord.label, chord.confidence]
                for chord in (harmony.chords if harmony else [])
            ],
        }


def interpreter(peer: str, folder: Path) -> Path | None:
    """The Python of a peer's environment, if there is one."""
    own = folder / peer / "bin/python"
    return own if own.exists() else None


def peers(paths: list[Path], peer: str, part: str, python: Path) -> Iterator[dict[str, Any]]:
    """A peer's answers, from a process of its own."""
    command = [str(python), str(Path(__file__).parent / f"peers/with_{peer}.py"), part]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        for path in paths:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            # Some peers greet on stdout.
            line = process.stdout.readline()
            while line and not line.startswith("{"):
                line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{peer} stopped at {path}")
            yield json.loads(line)
        process.stdin.close()


def answer_file(out: Path, name: str, part: str = "") -> Path:
    """Where the answers of an analyser, or of a part of it, are kept."""
    return out / f"{name}{'.' if part else ''}{part}.jsonl"


def known_answers(file: Path) -> dict[str, dict[str, Any]]:
    """Answers of an earlier run, by path; none of another version of our engine."""
    if not file.exists():
        return {}
    from tonearm_analysis.engine import ENGINE_VERSION

    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    current = [row for row in rows if row.get("engine_version", ENGINE_VERSION) == ENGINE_VERSION]
    return {row["path"]: row for row in current}


def answer_all(name: str, clips: list[Clip], out: Path, peer_folder: Path) -> bool:
    """Get the answers that are still missing; False where the peer is not installed."""
    python = None if name in OURS else interpreter(name, peer_folder)
    if name not in OURS and python is None:
        return False
    for part in PEERS.get(name, ("",)):
        file = answer_file(out, name, part)
        known = known_answers(file)
        paths = [c.path.resolve() for c in clips if str(c.path.resolve()) not in known]
        if not paths:
            continue
        if python is None:
            answers = ours(paths, "fast" if name.endswith("fast") else "full")
        else:
            answers = peers(paths, name, part, python)
        with file.open("a", encoding="utf-8") as sink:
            for answer in answers:
                sink.write(json.dumps(answer) + "\n")
                sink.flush()
    return True


def settings_of(name: str, clips: list[Clip], out: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Answers by setting and clip; ours have one setting, the profile."""
    wanted = {str(clip.path.resolve()): clip.name for clip in clips}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for part in PEERS.get(name, ("",)):
        for path, answer in known_answers(answer_file(out, name, part)).items():
            if path not in wanted:
                continue
            own = {"fast" if name.endswith("fast") else "full": answer}
            for setting, fields in answer.get("settings", own).items():
                found.setdefault(setting, {})[path] = fields
    return found


def scored(name: str, clips: list[Clip], out: Path) -> dict[str, list[dict[str, float]]]:
    """Scores of every clip under each setting, in the order of the clips; {} without an answer."""
    return {
        setting: [
            score(clip, Answer.of(answers.get(str(clip.path.resolve()), {}))) for clip in clips
        ]
        for setting, answers in settings_of(name, clips, out).items()
    }


def main() -> None:
    """Answer, score and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders with a manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers")
    parser.add_argument(
        "--only", default=",".join((*OURS, *PEERS)), help="analysers to ask; default: all"
    )
    parser.add_argument("--limit", type=int, help="the first N clips of each folder")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(".local/peers"),
        help="environments of peers; default: %(default)s",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    clips = [c for folder in args.folders for c in read_manifest(folder)[: args.limit]]
    print("analyser      " + "".join(f"{name:>13s}" for name in METRICS))
    for name in args.only.split(","):
        if not answer_all(name, clips, args.out, args.peers):
            print(f"{name:14s} not installed", flush=True)
            continue
        for setting, rows in scored(name, clips, args.out).items():
            found = means(rows)
            cells = [f"{found[m][0]:.3f}" if m in found else "-" for m in METRICS]
            print(f"{name:14s}" + "".join(f"{cell:>13s}" for cell in cells) + f"  {setting}")


if __name__ == "__main__":
    main()
