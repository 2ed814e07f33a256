"""Byte ranges of RFC 9110, section 14: one range, or the whole."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"^bytes=(\d{0,19})-(\d{0,19})$")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes [start, end) of something larger."""

    start: int
    end: int

    def content_range(self, size_bytes: int) -> str:
        """Return the value of `Content-Range`."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


class Unsatisfiable(ValueError):
    """No byte of the representation lies in the range."""


def parse_range(header: str | None, *, size_bytes: int) -> ByteRange | None:
    """Return the range that was asked for, or None for "send the whole".

    Several ranges and what is not a range at all mean the whole, as the RFC allows. Raises
    `Unsatisfiable`.
    """
    match = _ONE_RANGE.match((header or "").replace(" ", ""))
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0:
            raise Unsatisfiable
        return ByteRange(max(0, size_bytes - int(last)), size_bytes)
    start = int(first)
    if start >= size_bytes:
        raise Unsatisfiable
    if not last:
        return ByteRange(start, size_bytes)
    if int(last) < start:
        return None
    return ByteRange(start, min(int(last) + 1, size_bytes))
