"""Who follows a recording, over all replicas."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Protocol

from tonearm_notify.usecases.hub import Hub

Follower = tuple[str, str]
"""Channel and client id."""
SHOWN_MAX: Final = 1000
_KEPT_MAX: Final = 50_000


class PresenceStore(Protocol):
    """Where replicas tell each other."""

    async def apply(
        self, *, added: Mapping[Follower, str], removed: Collection[Follower], is_first: bool
    ) -> None:
        """Write a sign of life and what changed since the last time."""
        ...

    async def load_elsewhere(self, channel: str, *, limit: int) -> dict[str, str]:
        """Return the followers on other living replicas: client to account."""
        ...


class Presence:
    """This replica's followers at once, those of the others seconds later."""

    def __init__(self, hub: Hub, store: PresenceStore) -> None:
        self._hub = hub
        self._store = store
        self._told: dict[Follower, str] | None = None

    async def sync(self) -> None:
        """Tell the other replicas what changed here; to be called every few seconds."""
        present = self._hub.present(limit=_KEPT_MAX)
        told = self._told or {}
        added = {who: account for who, account in present.items() if who not in told}
        removed = [who for who in told if who not in present]
        await self._store.apply(added=added, removed=removed, is_first=self._told is None)
        self._told = present

    async def on(self, channel: str) -> dict[str, str]:
        """Return who follows a channel, client to account; at most `SHOWN_MAX`."""
        elsewhere = await self._store.load_elsewhere(channel, limit=SHOWN_MAX)
        here = {
            sink.client_id: sink.identity.account_id if sink.identity else ""
            for sink in self._hub.followers(channel)[:SHOWN_MAX]
        }
        return {**elsewhere, **here}
