"""What every way of uploading has in common at the door."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from tonearm_ingest.domain.errors import TooManyUploads
from tonearm_ingest.entrypoints import measures
from tonearm_ingest.usecases.accept_upload import Accepted
from tonearm_ingest.usecases.ports import Caller
from tonearm_kit import tokens
from tonearm_kit.errors import AppError


class UploadGate:
    """At most `places` uploads at once; the next one is told to come again."""

    def __init__(
        self, places: int, *, refused_body_bytes_max: int, refused_body_s_max: float
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._refused_body_bytes_max = refused_body_bytes_max
        self._refused_body_s_max = refused_body_s_max

    @contextlib.asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Hold a place; raises `TooManyUploads`."""
        if self._places.locked():
            raise TooManyUploads(retry_after_s=5)
        async with self._places:
            measures.UPLOADS_RUNNING.add(1)
            try:
                yield
            finally:
                measures.UPLOADS_RUNNING.add(-1)

    async def drain(self, request: Request, body: AsyncIterator[bytes]) -> None:
        """Read over the rest of a refused body, within bounds, so that the client hears the answer.

        A client that is still sending when the connection closes is told "connection reset" by
        its system, not our problem document. One that asked first (`Expect: 100-continue`)
        waits, and sends nothing.
        """
        if request.headers.get("expect", "").lower() == "100-continue":
            return
        left_bytes = self._refused_body_bytes_max
        with contextlib.suppress(TimeoutError, AppError, ClientDisconnect):
            async with asyncio.timeout(self._refused_body_s_max):
                async for piece in body:
                    left_bytes -= len(piece)
                    if left_bytes < 0:
                        return


def caller_of(principal: tokens.Principal) -> Caller:
    """Return the caller that the token names."""
    return Caller(account_id=principal.account_id, plan=principal.plan, is_beta=principal.is_beta)


def count_accepted(accepted: Accepted) -> None:
    """Measure an upload that became a recording."""
    audio = accepted.audio
    outcome = "replayed" if accepted.is_replay else "accepted"
    measures.UPLOADS.add(1, {"outcome": outcome, "format": audio.properties.format})
    if not accepted.is_replay:
        measures.UPLOAD_SIZE.record(audio.size_bytes, {"format": audio.properties.format})
