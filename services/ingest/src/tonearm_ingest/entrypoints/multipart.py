"""Read one file out of a multipart body as it arrives, holding only the piece at hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from email.message import Message
from typing import Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import ClientDisconnect

from tonearm_ingest.domain.errors import (
    FileMissing,
    MalformedMultipart,
    NotMultipart,
    UploadStalled,
)

FILE_FIELD = "file"
_HEADER_BYTES_MAX = 4096
_HEADERS_MAX = 8
_PARTS_MAX = 16
_OTHER_BYTES_MAX = 64 * 1024


class MultipartFile:
    """The file of a form: its name first, then its bytes, once.

    Other fields are read over, within bounds. The end of `chunks` means that the closing
    boundary was seen, so a body that was cut short never looks like a whole file.
    """

    def __init__(self, body: AsyncIterator[bytes], boundary: str, *, idle_s_max: float) -> None:
        self.filename = ""
        self._body = body
        self._idle_s_max = idle_s_max
        self._pieces: deque[bytes] = deque()
        self._header_name, self._header_value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._n_parts = 0
        self._other_bytes = 0
        self._in_file = False
        self._in_other_file = False
        self._seen_file = False
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=_HEADERS_MAX,
            max_header_size=_HEADER_BYTES_MAX,
        )

    @classmethod
    async def open(
        cls, body: AsyncIterator[bytes], *, content_type: str, idle_s_max: float
    ) -> Self:
        """Read up to the first byte of the file.

        idle_s_max: longest wait for the next bytes, in seconds. Raises `NotMultipart`,
        `MalformedMultipart`, `FileMissing`, `UploadStalled`.
        """
        header = Message()
        header["content-type"] = content_type
        boundary = header.get_param("boundary")
        if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
            raise NotMultipart
        try:
            file = cls(body, boundary, idle_s_max=idle_s_max)
        except FormParserError as error:
            raise MalformedMultipart(str(error)) from None
        while not file._seen_file:
            if not await file._read():
                raise FileMissing if file._ended else MalformedMultipart
        return file

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the bytes of the file, then make sure that the form is complete."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if not await self._read():
                break
        if not self._ended:
            raise MalformedMultipart("The body ended before its closing boundary.")

    async def _read(self) -> bool:
        """Feed the parser with what arrives next; False at the end of the body."""
        try:
            async with asyncio.timeout(self._idle_s_max):
                received = await anext(self._body, b"")
        except TimeoutError:
            raise UploadStalled(idle_s_max=self._idle_s_max) from None
        except ClientDisconnect:
            raise MalformedMultipart("The client went away in the middle of the upload.") from None
        if not received:
            return False
        try:
            self._parser.write(received)
        except FormParserError as error:
            raise MalformedMultipart(f"Broken multipart body: {error}") from None
        return True

    def _on_part_begin(self) -> None:
        self._n_parts += 1
        self._headers.clear()
        if self._n_parts > _PARTS_MAX:
            raise MalformedMultipart("The form has too many parts.")

    def _on_header_field(self, piece: bytes, start: int, end: int) -> None:
        self._header_name += piece[start:end]

    def _on_header_value(self, piece: bytes, start: int, end: int) -> None:
        self._header_value += piece[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name, self._header_value = b"", b""

    def _on_headers_finished(self) -> None:
        header = Message()
        header["content-disposition"] = _text(self._headers.get(b"content-disposition", b""))
        name = header.get_param("name", header="content-disposition")
        filename = header.get_filename()
        self._in_file = name == FILE_FIELD and filename is not None
        self._in_other_file = filename is not None and not self._in_file
        if not self._in_file:
            return
        if self._seen_file:
            raise MalformedMultipart("Send one file per request.")
        self._seen_file = True
        # Browsers write a quote in a name as %22 (HTML, "multipart/form-data encoding").
        self.filename = (filename or "").replace("%22", '"')

    def _on_part_data(self, piece: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(piece[start:end])
            return
        self._other_bytes += end - start
        if self._other_bytes > _OTHER_BYTES_MAX:
            if self._in_other_file and not self._seen_file:
                raise FileMissing  # it was sent under another name, rather than not at all
            raise MalformedMultipart("The fields beside the file are too long.")

    def _on_part_end(self) -> None:
        self._in_file = False

    def _on_end(self) -> None:
        self._ended = True


def _text(raw: bytes) -> str:
    """Decode a header: browsers send UTF-8, old clients Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
