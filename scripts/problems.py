"""Write docs/problems.md: every problem that a client may meet, from the classes that raise it.

.venv/bin/python scripts/problems.py write
.venv/bin/python scripts/problems.py check
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tonearm_analysis.engine.errors import AUDIO_ERROR_CODES, AudioError
from tonearm_kit.errors import AppError, Kind, RemoteError, problem_type
from tonearm_kit.http.problem import FRAMEWORK_PROBLEMS, status_of
from tonearm_local.gateway import LOCAL_REPLIES

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs/problems.md"
SOURCES: Final = ("libs/kit/src", "services/*/src")
BETWEEN_SERVICES: Final = frozenset(
    {
        "amount_invalid",
        "reservation_key_reused",
        "reservation_not_found",
        "reservation_refunded",
        "type_mismatch",
    }
)
"""Told over gRPC alone."""
JOB_FAILURES: Final = {
    "gave_up": "The analysis was begun several times and never ended.",
    "invalid_parameters": "A parameter of the analysis has no meaning.",
}
"""Those that no class stands for."""
IN_JOBS_ONLY: Final = frozenset(
    {"not_analysable", "object_missing", "object_store_away", "timed_out", "worker_died"}
)
RETRIED: Final = frozenset({"not_analysable", "object_store_away"})
"""Never the last word on a job: replaced by the engine's own code, or tried again."""

HEAD: Final = """\
# Every problem

Written by `make problems` from the classes that raise them. A refusal is a problem document
(RFC 9457, `application/problem+json`): `type` is `{base}` and the code with
dashes, `code` the same for programs. Codes are stable: they are never renamed or given another
meaning, and new ones may come, so treat a code that you do not know by its status. How to react:
[http.md](http.md#errors).

| status | `code` | told by | what it means |
|---|---|---|---|
"""
JOBS_HEAD: Final = """
## A recording that cannot be analysed

is no refusal: its upload was taken, its `status` is `failed`, and `failure` holds one of these as
`code`, with a `reason` for people.

| `code` | what it means |
|---|---|
"""


class Row(NamedTuple):
    """One line of the page; sorted as it stands there."""

    status: int
    code: str
    told_by: str
    title: str


def _error_classes(parent: type[AppError] = AppError) -> Iterator[type[AppError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _error_classes(child)


def _import_all_that_raise() -> None:
    for pattern in SOURCES:
        for source in ROOT.glob(pattern):
            for file in source.rglob("*.py"):
                if "(AppError)" in file.read_text("utf-8"):
                    name = ".".join(file.relative_to(source).with_suffix("").parts)
                    importlib.import_module(name.removesuffix(".__init__"))


def _teller(error: type[AppError]) -> str:
    package = error.__module__.partition(".")[0]
    return package.removeprefix("tonearm_").replace("kit", "every service")


def _rows() -> list[Row]:
    """Return a row per code and status. What several tell stands once, in the kit's words."""
    found: dict[tuple[int, str], Row] = {}
    tellers: dict[tuple[int, str], list[str]] = {}
    told = [
        Row(status_of(error), error.code, _teller(error), error.title())
        for error in _error_classes()
        if error.kind is not Kind.INTERNAL and error is not RemoteError
    ]
    told += [Row(status, code, "every service", title) for status, code, title in _framework()]
    told += [Row(reply.status, reply.code, "gateway", reply.title) for reply in LOCAL_REPLIES]
    for row in sorted(told, key=lambda row: (row.told_by != "every service", row)):
        key = row.status, row.code
        found.setdefault(key, row)
        if row.told_by not in tellers.setdefault(key, []):
            tellers[key].append(row.told_by)
    return sorted(row._replace(told_by=", ".join(tellers[key])) for key, row in found.items())


def _framework() -> Iterable[tuple[int, str, str]]:
    return ((status, code, title) for status, (code, title) in FRAMEWORK_PROBLEMS.items())


def _job_failures() -> dict[str, str]:
    described = dict(re.findall(r"^ +([a-z_]+) {2,}(.+)$", AudioError.__doc__ or "", re.MULTILINE))
    engine = {
        code: f"{described[code][:1].upper()}{described[code][1:]}." for code in AUDIO_ERROR_CODES
    }
    service = {
        error.code: error.title()
        for error in _error_classes()
        if error.code in IN_JOBS_ONLY - RETRIED and error.__module__.startswith("tonearm_analysis.")
    }
    return dict(sorted((engine | service | JOB_FAILURES).items()))


def render() -> str:
    """Return the text of the page."""
    _import_all_that_raise()
    left_out = BETWEEN_SERVICES | IN_JOBS_ONLY
    lines = [
        f"| {row.status} | `{row.code}` | {row.told_by} | {row.title} |"
        for row in _rows()
        if row.code not in left_out or "gateway" in row.told_by
    ]
    jobs = [f"| `{code}` | {text} |" for code, text in _job_failures().items()]
    head = HEAD.format(base=problem_type(""))
    return head + "\n".join(lines) + "\n" + JOBS_HEAD + "\n".join(jobs) + "\n"


def main() -> None:
    """Write the page, or fail where it is not what the classes say."""
    text = render()
    if sys.argv[1:] == ["write"]:
        PAGE.write_text(text, "utf-8")
    elif sys.argv[1:] == ["check"]:
        if PAGE.read_text("utf-8") != text:
            raise SystemExit("docs/problems.md differs from the errors: make problems")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
