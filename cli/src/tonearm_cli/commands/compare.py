"""`verify` and `diff`: does a recording still give a result, and what changed between two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonearm_cli.options import Json, Output

if TYPE_CHECKING:
    from rich.table import Table

    from tonearm_analysis.engine.compare import Difference

Recording = Annotated[Path, typer.Argument(help="The recording.", metavar="FILE")]
Result = Annotated[
    Path, typer.Argument(help="Its result, as `analyze --json` prints it.", metavar="RESULT")
]
Old = Annotated[Path, typer.Argument(help="The earlier result.", metavar="OLD")]
New = Annotated[Path, typer.Argument(help="The later result.", metavar="NEW")]
All = Annotated[bool, typer.Option("--all", help="Show every difference, not the first few.")]
Tolerance = Annotated[
    float,
    typer.Option(min=0, help="Numbers that differ by no more than this share are equal."),
]

SHOWN_MAX = 40
_HOW_TO_MAKE_ONE = "`tonearm analyze FILE --json > RESULT` makes one, of one file."


def verify(file: Recording, result: Result, show_all: All = False, as_json: Json = False) -> None:
    """Analyse FILE again and compare with RESULT; exits with 1 where they differ."""
    from tonearm_analysis.engine import EngineError
    from tonearm_analysis.engine.compare import verify as verify_result
    from tonearm_cli import recordings
    from tonearm_cli.errors import EXIT_FAILURE, CliError

    output = Output(as_json=as_json)
    stored = _read(result)
    try:
        found = verify_result(recordings.check(file), stored)
    except EngineError as problem:
        raise CliError(f"{file}: {problem}", code=getattr(problem, "code", "")) from problem
    except OSError as problem:
        raise CliError(f"{file}: {problem.strerror or problem}", code="unreadable") from problem
    document = {
        "holds": found.holds,
        "same_audio": found.same_audio,
        "same_engine": found.same_engine,
        "differences": [asdict(difference) for difference in found.differences],
    }
    _show(output, document, found.differences, show_all=show_all)
    if found.holds:
        output.note("The result holds: every value is the same.")
        return
    if not found.same_audio:
        output.note("The decoded audio is not the one of the result.")
    elif not found.same_engine:
        output.note("Another engine version made the result; values may differ.")
    raise typer.Exit(EXIT_FAILURE)


def diff(
    old: Old,
    new: New,
    tolerance: Tolerance = 0.0,
    show_all: All = False,
    as_json: Json = False,
) -> None:
    """Show what changed between two results; exits with 1 where they differ."""
    from tonearm_analysis.engine.compare import differences
    from tonearm_cli.errors import EXIT_FAILURE

    output = Output(as_json=as_json)
    found = differences(_read(old), _read(new), tolerance=tolerance)
    document = {"differences": [asdict(difference) for difference in found]}
    _show(output, document, found, show_all=show_all)
    if not found:
        output.note("No difference.")
        return
    raise typer.Exit(EXIT_FAILURE)


def _read(path: Path) -> dict[str, Any]:
    """Read a result, bare or within the line that `analyze --json` prints."""
    from tonearm_cli.errors import CliError

    try:
        document = json.loads(path.read_text())
    except OSError as problem:
        raise CliError(f"{path}: {problem.strerror or problem}", code="unreadable") from problem
    except ValueError as problem:
        raise CliError(
            f"{path} is no JSON document.", hint=_HOW_TO_MAKE_ONE, code="not_a_result"
        ) from problem
    if isinstance(document, dict) and isinstance(document.get("result"), dict):
        document = document["result"]
    if not isinstance(document, dict) or "engine_version" not in document:
        raise CliError(
            f"{path} holds no result of the engine.", hint=_HOW_TO_MAKE_ONE, code="not_a_result"
        )
    return document


def _show(
    output: Output, document: dict[str, Any], found: Sequence[Difference], *, show_all: bool
) -> None:
    """Print the differences, those of findings before those of evidence and inside of lists."""
    ordered = sorted(found, key=lambda difference: _detail(difference.path))
    shown = ordered if show_all else ordered[:SHOWN_MAX]
    output.result(document, _table(shown) if shown else None)
    if len(shown) < len(ordered):
        output.note(f"{len(ordered) - len(shown)} more; --all shows them.")


def _detail(path: str) -> int:
    parts = path.split(".")
    return sum(part.isdigit() for part in parts) + ("evidence" in parts)


def _table(found: Sequence[Difference]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    # A place that is cut short names nothing.
    longest = max((len(difference.path) for difference in found), default=0)
    table.add_column("where", no_wrap=True, min_width=longest)
    for name in ("old", "new", ""):
        table.add_column(name, overflow="fold")
    for difference in found:
        cells = (difference.path, str(difference.old), str(difference.new), difference.note)
        table.add_row(*cells)
    return table
