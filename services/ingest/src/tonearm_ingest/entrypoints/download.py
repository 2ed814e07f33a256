"""The answer to a download: whole or in part, cacheable, never sniffed by a browser."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from email.utils import format_datetime
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from tonearm_ingest.domain.audio import Audio
from tonearm_ingest.domain.formats import media_type
from tonearm_ingest.entrypoints.ranges import ByteRange, Unsatisfiable, parse_range
from tonearm_ingest.usecases.browse import Download
from tonearm_kit.http import problem_response, request_id


async def download_response(request: Request, download: Download) -> Response:
    """Return 200, 206, 304 or 416 with their headers.

    The first piece is read before the answer begins, so that missing bytes are an error and
    not a broken body.
    """
    audio = download.audio
    etag = f'"{audio.sha256}"'
    headers = _headers(audio, etag=etag)
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    try:
        wanted = parse_range(_range_header(request, etag), size_bytes=audio.size_bytes)
    except Unsatisfiable:
        return problem_response(
            status=416,
            code="range_not_satisfiable",
            title="The range lies outside the file.",
            request_id=request_id(request),
            headers={"Content-Range": f"bytes */{audio.size_bytes}"},
        )
    span = wanted or ByteRange(0, audio.size_bytes)
    headers["Content-Length"] = str(span.end - span.start)
    if wanted is not None:
        headers["Content-Range"] = wanted.content_range(audio.size_bytes)
    else:
        digest = base64.b64encode(bytes.fromhex(audio.sha256)).decode()
        headers["Repr-Digest"] = f"sha-256=:{digest}:"
    status = 206 if wanted is not None else 200
    kind = media_type(audio.properties.format)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    pieces = download.read(start=span.start, end=span.end)
    first = await anext(pieces, b"")
    return StreamingResponse(
        _from_first(first, pieces), status_code=status, headers=headers, media_type=kind
    )


async def _from_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _headers(audio: Audio, *, etag: str) -> dict[str, str]:
    plain = audio.filename.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "_")
    return {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Last-Modified": format_datetime(audio.uploaded_at.replace(microsecond=0), usegmt=True),
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": (
            f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(audio.filename, safe='')}"
        ),
    }


def _matches(header: str | None, etag: str) -> bool:
    """Compare weakly, as If-None-Match wants it."""
    if header is None:
        return False
    given = {item.strip().removeprefix("W/") for item in header.split(",")}
    return "*" in given or etag in given


def _range_header(request: Request, etag: str) -> str | None:
    """Return `Range`, unless `If-Range` says that the client's part is of something else."""
    if_range = request.headers.get("if-range")
    return request.headers.get("range") if if_range in {None, etag} else None
