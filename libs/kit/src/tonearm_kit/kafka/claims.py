"""The claim check: data too large for an event waits in the object store, `dataref` says where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

import obstore
from obstore.store import from_url

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit.kafka.failures import Poison

if TYPE_CHECKING:
    from obstore.store import ObjectStore

FOLDER: Final = "claims"
BYTES_MAX: Final = 64 * 1024 * 1024


class ClaimStore(Protocol):
    """Keeps the data of events that are too large to travel."""

    async def put(self, event_id: str, value: bytes) -> str:
        """Store `value` and return the URI that becomes the event's `dataref`."""
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
        """Open the store behind `url`, such as `s3://bucket` or `file:///folder`."""
        return cls(from_url(url), url=url)

    async def put(self, event_id: str, value: bytes) -> str:
        """See `ClaimStore`."""
        await obstore.put_async(self._store, f"{FOLDER}/{event_id}", value)
        return self._base + event_id

    async def get(self, dataref: str) -> bytes:
        """See `ClaimStore`."""
        name = dataref.removeprefix(self._base)
        # Following any URI would let whoever can write events make us fetch whatever they like.
        if name == dataref or "/" in name or ".." in name:
            raise Poison(f"dataref {dataref!r} is outside of the claim store")
        found = await obstore.get_async(self._store, f"{FOLDER}/{name}")
        if found.meta["size"] > BYTES_MAX:
            raise Poison(f"claim of {found.meta['size']} bytes, at most {BYTES_MAX}")
        return bytes(await found.bytes_async())


async def resolve(event: CloudEvent, claims: ClaimStore | None) -> CloudEvent:
    """Return the event with its data, wherever it is. Raises as `ClaimStore.get`, or `Poison`."""
    if event.dataref is None:
        return event
    if claims is None:
        raise Poison("the data is behind a dataref and this consumer has no claim store")
    try:
        data = json.loads(await claims.get(event.dataref))
    except ValueError as error:
        raise Poison(f"claim is not JSON: {error}") from error
    return event.model_copy(update={"data": data})
