"""Recordings on this machine, as the commands are given them."""

from __future__ import annotations

from pathlib import Path

from tonearm_cli.errors import CliError


def check(path: Path) -> Path:
    """Return `path` if it is a file that can be read more than once. Raises `CliError`."""
    if path.is_file():
        return path
    if path.is_dir():
        problem, hint = "This is a folder.", "Name the files in it."
    elif path.exists() or str(path) == "-":
        problem, hint = "This is no regular file.", "Save what it gives to one first."
    else:
        problem, hint = "There is no such file.", ""
    raise CliError(f"{path}: {problem}", hint=hint, code="unreadable")
