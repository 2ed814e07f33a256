"""A secret key in a file that the first process to need it makes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from tonearm_kit.logs import get_logger

log = get_logger(__name__)


def read_or_make(path: Path, make: Callable[[], str]) -> str:
    """Return the text of the file, which is made (mode 0600) when missing.

    Of several processes that start at once, one makes the file and all read the same key.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        made.touch(mode=0o600)
        made.write_text(make() + "\n")
        try:
            os.link(made, path)
            log.warning("made a new secret key", path=str(path))
        except FileExistsError:
            log.info("another process made the secret key", path=str(path))
        finally:
            made.unlink()
    return path.read_text().strip()
