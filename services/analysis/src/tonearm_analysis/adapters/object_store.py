"""Recordings from the object store, as local files while they are needed."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from tonearm_analysis.domain.errors import ObjectMissing, ObjectStoreAway

_CHUNK_BYTES = 1 << 20


class StoredRecordings:
    """The port `Recordings`. Copies live in *spool*, one file per running job."""

    def __init__(self, store: ObjectStore, *, spool: Path) -> None:
        self._store = store
        self._spool = spool
        spool.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def fetch(self, object_key: str, *, size_bytes: int) -> AsyncIterator[Path]:
        """Give a local file with at most *size_bytes* bytes, deleted when the context ends."""
        with tempfile.TemporaryDirectory(dir=self._spool) as folder:
            path = Path(folder, Path(object_key).name)
            await self._copy(object_key, path, size_bytes_max=size_bytes)
            yield path

    async def _copy(self, object_key: str, path: Path, *, size_bytes_max: int) -> None:
        copied_bytes = 0
        try:
            found = await obstore.get_async(self._store, object_key)
            async with await anyio.open_file(path, "wb") as file:
                async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                    copied_bytes += len(chunk)
                    if copied_bytes > size_bytes_max:
                        raise ObjectMissing("The stored object is larger than what was uploaded.")
                    await file.write(bytes(chunk))
        except FileNotFoundError as error:
            raise ObjectMissing from error
        except (BaseError, OSError) as error:
            raise ObjectStoreAway from error
