"""A form with one file as a stream: the file is never in memory, and its progress is real."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

CHUNK_BYTES = 128 * 1024


class FileForm:
    """The body of `multipart/form-data` with the file in the part `file`.

    `sent` is told the number of bytes of the file after each piece that the connection took.
    """

    def __init__(self, path: Path, *, sent: Callable[[int], None]) -> None:
        self._path, self._sent = path, sent
        self.size_bytes = path.stat().st_size
        boundary = secrets.token_hex(16)
        name = path.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        self._head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self._head) + self.size_bytes + len(self._tail)),
        }

    async def body(self) -> AsyncIterator[bytes]:
        """Give the pieces. A file that changes its size meanwhile breaks the request."""
        yield self._head
        with self._path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                yield piece
                # The transport asks for more only when this piece went out.
                self._sent(len(piece))
        yield self._tail
