"""Who owns which recording, remembered."""

from __future__ import annotations

from collections.abc import Sequence

from tonearm_notify.usecases.ports import Lost, Owners, Revocation


class RememberedOwners:
    """Owners that were asked for once; when many follow the same recordings, one read each.

    An owner never changes, only deletion ends it: the deliverer hears of that and says so here.
    What nobody knows yet is not remembered. The oldest leave when there are too many.
    """

    def __init__(self, owners: Owners, *, remembered_max: int = 50_000) -> None:
        self._owners = owners
        self._known: dict[str, str] = {}
        self._gone: dict[str, None] = {}
        self._remembered_max = remembered_max

    async def find_owner(self, audio_id: str) -> str | None:
        """Return the owner's account id; None when unknown, empty text when deleted."""
        known = self._known.get(audio_id)
        if known is not None:
            return known
        owner = await self._owners.find_owner(audio_id)
        if audio_id in self._gone:
            return ""
        if owner:
            self._known[audio_id] = owner
            if len(self._known) > self._remembered_max:
                del self._known[next(iter(self._known))]
        return owner

    async def load_deleted(self, audio_ids: Sequence[str]) -> list[Revocation]:
        """Return those of these recordings that are gone."""
        return await self._owners.load_deleted(audio_ids)

    def forget(self, revocation: Revocation) -> None:
        """Take a deletion to heart, also for reads that are under way."""
        if revocation.kind is Lost.AUDIO:
            self._known.pop(revocation.subject, None)
            self._gone[revocation.subject] = None
            if len(self._gone) > self._remembered_max:
                del self._gone[next(iter(self._gone))]
        elif revocation.kind is Lost.ACCOUNT:
            self.clear()

    def clear(self) -> None:
        """Forget everything: something may have been missed."""
        self._known.clear()
