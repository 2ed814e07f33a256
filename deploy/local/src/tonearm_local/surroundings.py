"""What this process was started with: the one place that reads the environment directly."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
"""The checkout."""


def inherited() -> dict[str, str]:
    """A copy of this process's environment."""
    return dict(os.environ)  # noqa: TID251 - a supervisor hands its environment down


def env_file() -> Path | None:
    """The file with settings: TONEARM_ENV_FILE, else `.env`; None when that is set but empty."""
    given = inherited().get("TONEARM_ENV_FILE")
    if given is None:
        return ROOT / ".env"
    return Path(given) if given else None


def dotenv() -> dict[str, str]:
    """NAME=value lines of that file; comments and blank lines left out, quotes removed."""
    path = env_file()
    if path is None or not path.is_file():
        return {}
    values = {}
    for line in path.read_text("utf-8").splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            values[name.strip()] = value.strip().strip("'\"")
    return values
