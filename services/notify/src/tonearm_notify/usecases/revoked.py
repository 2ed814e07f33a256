"""Rights that ended before their tokens did, known to this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tonearm_notify.usecases.ports import Identity, Lost, Revocation


class RevokedRights:
    """Sessions and accounts that must not connect, however valid their token looks.

    Bounded by the table behind it, whose rows leave once no token can still be valid; a
    reload replaces what is in memory.
    """

    def __init__(self, load: Callable[[], Awaitable[list[Revocation]]]) -> None:
        self._load = load
        self._sessions: set[str] = set()
        self._accounts: set[str] = set()

    def add(self, revocation: Revocation) -> None:
        """Note one more."""
        if revocation.kind is Lost.SESSION:
            self._sessions.add(revocation.subject)
        elif revocation.kind is Lost.ACCOUNT:
            self._accounts.add(revocation.subject)

    async def reload(self) -> list[Revocation]:
        """Read all of them again and return them."""
        revocations = await self._load()
        self._sessions.clear()
        self._accounts.clear()
        for revocation in revocations:
            self.add(revocation)
        return revocations

    def covers(self, identity: Identity) -> bool:
        """Tell whether this identity has lost its right to connect."""
        return identity.session_id in self._sessions or identity.account_id in self._accounts
