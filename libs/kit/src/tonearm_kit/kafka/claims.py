"""The claim check: data too large for an event waits in the object store, `dataref` says where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import obstore
import obstore.exceptions
from obstore.store import from_url

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.kafka.failures import Poison

if TYPE_CHECKING:
    from obstore.store import ObjectStore

FOLDER: Final = "claims"
BYTES_MAX: Final = 64 * 1024 * 1024
REQUEST_TIMEOUT_S: Final = 5.0
"""With the retries within it; writers hold their transaction open for so long."""

RETRIES_MAX: Final = 2
_ERROR_CHARS_MAX = 500


class ClaimStoreAway(ConnectionError):
    """The object store did not do what was asked; the same call may succeed later."""


class ClaimStore(Protocol):
    """Keeps the data of events that are too large to travel."""

    async def put(self, event_id: str, value: bytes) -> str:
        """Store `value` and return the URI that becomes the event's `dataref`.

        Raises OSError when the store is away.
        """
        ...

    async def get(self, dataref: str) -> bytes:
        """Return what `put` stored. Raises `Poison` for a foreign URI, OSError when it is away."""
        ...


class ObjectClaims:
    """`ClaimStore` in an object store, under `claims/`.

    Nothing here deletes: give the folder a lifecycle rule as long as the topics' retention.
    """

    def __init__(self, store: ObjectStore, *, url: str) -> None:
        self._store = store
        self._base = f"{url.rstrip('/')}/{FOLDER}/"

    @classmethod
    def open(cls, url: str) -> ObjectClaims:
        """Open the store behind `url`: `s3://bucket/prefix`, `file:///folder` (made if missing).

        Every service that writes or reads such events needs the same `url`: it is the beginning
        of each `dataref`.
        """
        scheme = urlsplit(url).scheme
        if scheme == "file":
            return cls(from_url(url, mkdir=True), url=url)
        patience = timedelta(seconds=REQUEST_TIMEOUT_S)
        store = from_url(
            url,
            client_options={"timeout": patience, "allow_http": True},
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": patience},
        )
        return cls(store, url=url)

    async def put(self, event_id: str, value: bytes) -> str:
        """See `ClaimStore`."""
        with _store_errors():
            await obstore.put_async(self._store, f"{FOLDER}/{event_id}", value)
        return self._base + event_id

    async def get(self, dataref: str) -> bytes:
        """See `ClaimStore`."""
        name = dataref.removeprefix(self._base)
        # Following any URI would let whoever can write events make us fetch whatever they like.
        if name == dataref or "/" in name or ".." in name:
            raise Poison(f"dataref {dataref!r} is outside of the claim store")
        with _store_errors():
            found = await obstore.get_async(self._store, f"{FOLDER}/{name}")
            if found.meta["size"] > BYTES_MAX:
                raise Poison(f"claim of {found.meta['size']} bytes, at most {BYTES_MAX}")
            return bytes(await found.bytes_async())


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except obstore.exceptions.BaseError as error:
        raise ClaimStoreAway(f"{type(error).__name__}: {error}"[:_ERROR_CHARS_MAX]) from error


async def resolve(event: CloudEvent, claims: ClaimStore | None) -> CloudEvent:
    """Return the event with its data, wherever it is. Raises as `ClaimStore.get`, or `Poison`."""
    if event.dataref is None:
        return event
    if claims is None:
        raise Poison(
            f"{event.type}: the data is behind the dataref {event.dataref!r} and this consumer "
            "has no claim store; set OBJECT_STORE_URL to the one that its writer has"
        )
    try:
        data = json.loads(await claims.get(event.dataref))
    except ValueError as error:
        raise Poison(f"claim is not JSON: {error}") from error
    return event.model_copy(update={"data": data})
