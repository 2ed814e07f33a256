"""Score our engine, and every installed peer, on folders of clips.

    python -m tonearm_eval.run FOLDER... --out answers/ [--only tonearm,essentia] [--limit N]

Answers are kept, one JSON line a clip, so that a run can go on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.score import METRICS, Answer, means, score

PEERS: Final = ("essentia", "librosa", "aubio", "madmom")
OURS: Final = ("tonearm", "tonearm-fast")


def ours(paths: list[Path], profile: str) -> Iterator[dict[str, Any]]:
    """Our engine's answers, from the file to the result."""
    from tonearm_analysis.engine import Parameters, analyze_whole

    for path in paths:
        start_s = time.process_time()
        result = analyze_whole(path, parameters=Parameters(profile=profile))  # type: ignore[arg-type]
        rhythm, harmony = result.rhythm, result.harmony
        yield {
            "path": str(path),
            "cpu_s": round(time.process_time() - start_s, 4),
            "tempo_bpm": rhythm.tempo_bpm if rhythm else None,
            "tempo_confidence": rhythm.confidence if rhythm else 0.0,
            "beats_s": list(rhythm.beats_s) if rhythm else [],
            "downbeats_s": list(rhythm.downbeats_s) if rhythm else [],
            "meter": rhythm.meter if rhythm else None,
            "meter_confidence": rhythm.meter_confidence if rhythm else 0.0,
            "key": harmony.key if harmony else None,
            "key_confidence": harmony.confidence if harmony else 0.0,
            "chords": [[c.start_s, c.end_s, c.label] for c in harmony.chords] if harmony else [],
        }


def interpreter(peer: str, folder: Path) -> Path | None:
    """The Python of a peer's environment; librosa may also be in ours."""
    own = folder / peer / "bin/python"
    if own.exists():
        return own
    return Path(sys.executable) if peer == "librosa" else None


def peers(paths: list[Path], peer: str, python: Path) -> Iterator[dict[str, Any]]:
    """A peer's answers, from a process of its own."""
    script = Path(__file__).parent / f"peers/with_{peer}.py"
    with subprocess.Popen(
        [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        for path in paths:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{peer} stopped at {path}")
            yield json.loads(line)
        process.stdin.close()


def known_answers(file: Path) -> dict[str, dict[str, Any]]:
    """Answers of an earlier run, by path."""
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {row["path"]: row for row in rows}


def answer_all(name: str, clips: list[Clip], out: Path, peer_folder: Path) -> bool:
    """Get the answers that are still missing; False where the peer is not installed."""
    file = out / f"{name}.jsonl"
    paths = [c.path.resolve() for c in clips if str(c.path.resolve()) not in known_answers(file)]
    if name in OURS:
        answers = ours(paths, "fast" if name.endswith("fast") else "full")
    else:
        python = interpreter(name, peer_folder)
        if python is None:
            return False
        answers = peers(paths, name, python)
    with file.open("a", encoding="utf-8") as sink:
        for answer in answers:
            sink.write(json.dumps(answer) + "\n")
            sink.flush()
    return True


def scored(name: str, clips: list[Clip], out: Path) -> list[tuple[Clip, dict[str, float]]]:
    """Scores of every clip that has an answer."""
    answers = known_answers(out / f"{name}.jsonl")
    return [
        (clip, score(clip, Answer.of(answers[str(clip.path.resolve())])))
        for clip in clips
        if str(clip.path.resolve()) in answers
    ]


def main() -> None:
    """Answer, score and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers")
    parser.add_argument("--only", default=",".join((*OURS, *PEERS)))
    parser.add_argument("--limit", type=int, help="the first N clips of each folder")
    parser.add_argument("--peers", type=Path, default=Path(".local/peers"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    clips = [c for folder in args.folders for c in read_manifest(folder)[: args.limit]]
    print("analyser      " + "".join(f"{name:>13s}" for name in METRICS))
    for name in args.only.split(","):
        if not answer_all(name, clips, args.out, args.peers):
            print(f"{name:14s} not installed", flush=True)
            continue
        found = means(row for _, row in scored(name, clips, args.out))
        cells = [f"{found[m][0]:.3f}" if m in found else "-" for m in METRICS]
        print(f"{name:14s}" + "".join(f"{cell:>13s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
