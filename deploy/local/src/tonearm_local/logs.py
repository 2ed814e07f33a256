"""Reading the components' logs."""

import sys
import time
from pathlib import Path

from tonearm_local.settings import LocalSettings

_TAIL_BYTES = 256 * 1024
_POLL_S = 0.3


class NoLog(Exception):
    """There is no log of that name."""


def tail(path: Path, n_lines: int) -> list[str]:
    """The last lines of *path*; none when there is no such file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return lines[-n_lines:] if n_lines else []


def show(settings: LocalSettings, component: str, *, follow: bool, n_lines: int) -> None:
    """Print the last lines of one log or of all; with *follow* whatever comes, until interrupted.

    Raises NoLog, naming those that there are.
    """
    folder = settings.path("logs")
    paths = sorted(folder.glob("*.log"))
    if component:
        known = [path.stem for path in paths]
        if component not in known:
            raise NoLog(f"no log of {component!r}; there are: {', '.join(known) or 'none yet'}")
        paths = [folder / f"{component}.log"]
    width = max((len(path.stem) for path in paths), default=0) if len(paths) > 1 else 0
    offsets = {}
    for path in paths:
        offsets[path] = path.stat().st_size
        for line in tail(path, n_lines):
            _print(path, line, width)
    try:
        while follow:
            for path in paths:
                offsets[path] = _print_new(path, offsets[path], width)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return


def _print_new(path: Path, offset: int, width: int) -> int:
    size = path.stat().st_size
    if size < offset:
        offset = 0  # the supervisor cut it
    with path.open("rb") as file:
        file.seek(offset)
        fresh = file.read()
    whole, newline, _rest = fresh.rpartition(b"\n")
    for line in whole.decode("utf-8", "replace").splitlines() if newline else ():
        _print(path, line, width)
    return offset + len(whole) + len(newline)


def _print(path: Path, line: str, width: int) -> None:
    prefix = f"{path.stem:<{width}} | " if width else ""
    sys.stdout.write(f"{prefix}{line}\n")
    sys.stdout.flush()
