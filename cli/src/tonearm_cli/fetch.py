"""Download to a file: resumable, and checked against what the server knows of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tonearm_cli.api import Api
from tonearm_cli.board import byte_bar
from tonearm_cli.errors import CliError
from tonearm_cli.output import Output

_PIECE_BYTES = 256 * 1024


async def fetch(api: Api, audio: dict[str, Any], *, to: Path | None, output: Output) -> Path:
    """Write the recording to `to` (a file, a folder, or None for here) and return the path.

    The bytes come into `<name>.part`, which a later call continues, and get their name only
    when their SHA-256 is right.
    """
    # The last component only: a name is the server's word, and no way out of this folder.
    name = Path(audio["filename"]).name or audio["id"]
    target = to or Path(name)
    if target.is_dir():
        target = target / name
    if target.exists():
        raise CliError(f"{target} exists.", hint="Choose another name with --to.")
    part = target.with_name(target.name + ".part")
    size_bytes: int = audio["size_bytes"]
    start = part.stat().st_size if part.exists() else 0
    start = start if start < size_bytes else 0
    with byte_bar(output, target.name, size_bytes=size_bytes, done_bytes=start) as bar:
        async with api.download(audio["id"], start=start) as response:
            mode = "ab" if response.status_code == 206 else "wb"
            with part.open(mode) as file:
                async for piece in response.aiter_bytes(_PIECE_BYTES):
                    file.write(piece)
                    bar.advance(len(piece))
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != audio["sha256"]:
        part.unlink()
        raise CliError("What was downloaded is not what was uploaded.", hint="Try again.")
    part.rename(target)
    return target
