"""`analyze`: the engine alone, on files of this machine, without any server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tonearm_cli.options import Evidence, Json, Output, TempoRange

if TYPE_CHECKING:
    from tonearm_analysis.engine import Parameters
    from tonearm_contracts.analysis_result import AnalysisResult

Files = Annotated[list[Path], typer.Argument(help="Audio files.", metavar="FILE")]
Profile = Annotated[
    Literal["full", "fast"],
    typer.Option(
        "--profile",
        help="`fast` hears beats with one small network and samples the spectrum.",
    ),
]


def analyze(
    files: Files,
    profile: Profile = "full",
    tempo_range: TempoRange = None,
    show_evidence: Evidence = False,
    as_json: Json = False,
) -> None:
    """Analyse files offline: tempo, beats, key, chords, loudness, spectrum."""
    from tonearm_analysis.engine import Parameters
    from tonearm_cli.errors import EXIT_FAILURE
    from tonearm_cli.evidence import evidence

    output = Output(as_json=as_json)
    preferred = (tempo_range.low, tempo_range.high) if tempo_range else None
    parameters = Parameters(profile=profile, tempo_range_bpm=preferred)
    n_failed = 0
    for path in files:
        result = _analyze_one(path, parameters, output)
        if result is None:
            n_failed += 1
        elif show_evidence and not as_json:
            output.out.print(evidence(result.model_dump(mode="json")))
    if n_failed:
        raise typer.Exit(EXIT_FAILURE)


def _analyze_one(path: Path, parameters: Parameters, output: Output) -> AnalysisResult | None:
    """Analyse one file and say what came of it; returns the result, None where it failed."""
    from tonearm_analysis.engine import AudioError
    from tonearm_cli import recordings
    from tonearm_cli.errors import CliError

    started_s = time.perf_counter()
    try:
        result = _run(recordings.check(path), parameters, output)
    except CliError as error:
        problem = error
    except AudioError as error:
        problem = CliError(f"{path}: {error}", code=str(error.code))
    except OSError as error:
        problem = CliError(f"{path}: {error.strerror or error}", code="unreadable")
    else:
        took_s = time.perf_counter() - started_s
        _show(result, path, took_s, output)
        return result
    if output.as_json:
        refusal: dict[str, Any] = {"code": problem.code, "message": problem.message}
        output.result({"file": str(path), "error": refusal, "result": None})
    output.error(problem)
    return None


def _run(path: Path, parameters: Parameters, output: Output) -> AnalysisResult:
    from tonearm_analysis.engine import STAGES, StageResult, analyze, assemble
    from tonearm_cli import say
    from tonearm_cli.board import Board

    board = Board(output)
    parts: list[StageResult] = []
    with board.shown():
        board.busy(f"reading {path.name}")
        for part in analyze(path, parameters=parameters):
            parts.append(part)
            if part.error:
                board.failed(part.stage, part.error)
            else:
                found = say.headline(part.stage, part.value or {})
                board.done(part.stage, found, took_s=part.duration_s)
            if len(parts) < len(STAGES):
                board.busy(f"analysing, {len(parts)} of {len(STAGES)} stages done")
    return assemble(parts, parameters=parameters)


def _show(result: AnalysisResult, path: Path, took_s: float, output: Output) -> None:
    document = result.model_dump(mode="json")
    if output.as_json:
        output.result({"file": str(path), "error": None, "result": document})
        return
    from tonearm_cli.render import result_card

    output.result(document, result_card(document, name=path.name, took_s=took_s))
