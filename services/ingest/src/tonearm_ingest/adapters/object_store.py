"""The object store: objects in and out through obstore, in bounded pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from tonearm_ingest.domain.errors import DownloadUnavailable, StoreUnavailable
from tonearm_kit import telemetry

if TYPE_CHECKING:
    from obstore.store import ObjectStore


_tracer = telemetry.tracer(__name__)


class ObstoreBlobs:
    """Port `Blobs`.

    A file larger than one part goes up in parts, of which at most `parts_in_flight_max` (and the
    one being filled) are held: that product bounds the memory of one upload.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        part_size_bytes: int,
        parts_in_flight_max: int,
        read_size_bytes: int,
        folder: Path | None = None,
    ) -> None:
        self._folder = folder
        self._store = store
        self._part_size_bytes = part_size_bytes
        self._parts_in_flight_max = parts_in_flight_max
        self._read_size_bytes = read_size_bytes

    async def save(self, object_key: str, chunks: AsyncIterable[bytes]) -> None:
        """Write through a multi-part writer, which completes only when the chunks do."""
        try:
            with _tracer.start_as_current_span("store object") as span:
                span.set_attribute("tonearm.object.size", await self._write(object_key, chunks))
        except (BaseError, OSError) as error:
            raise StoreUnavailable from error

    async def _write(self, object_key: str, chunks: AsyncIterable[bytes]) -> int:
        size_bytes = 0
        async with obstore.open_writer_async(
            self._store,
            object_key,
            buffer_size=self._part_size_bytes,
            max_concurrency=self._parts_in_flight_max,
        ) as writer:
            async for chunk in chunks:
                await writer.write(chunk)
                size_bytes += len(chunk)
        return size_bytes

    async def delete(self, object_key: str) -> None:
        """Delete; local files say when one is missing, S3 does not.

        A process that was killed leaves the file that it was writing under `<name>#1`, which
        the store itself never shows. S3 keeps such parts too; there a lifecycle rule of the
        bucket (AbortIncompleteMultipartUpload) removes them.
        """
        if self._folder is not None:
            staged = self._folder / f"{object_key}#1"
            await asyncio.to_thread(staged.unlink, missing_ok=True)
        try:
            await obstore.delete_async(self._store, object_key)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StoreUnavailable from error

    async def read(self, object_key: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Stream one range; every piece is at least `read_size_bytes` but the last."""
        try:
            got = await obstore.get_async(self._store, object_key, options={"range": (start, end)})
            async for piece in got.stream(min_chunk_size=self._read_size_bytes):
                yield bytes(piece)
        except FileNotFoundError:
            raise DownloadUnavailable from None
        except (BaseError, OSError) as error:
            raise StoreUnavailable from error

    async def ping(self) -> None:
        """Ask the store for a sign of life; for readiness checks. Raises `StoreUnavailable`."""
        try:
            await obstore.head_async(self._store, "tonearm-readiness")
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StoreUnavailable from error
