"""Who may connect, and to what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from tonearm_notify.domain import channels, codes
from tonearm_notify.domain.channels import Channel, Space
from tonearm_notify.usecases.ports import Identity, NowS, Owners
from tonearm_notify.usecases.revoked import RevokedRights


class Refused(Exception):
    """A credential is not good enough; `error` and `disconnect` say so in the protocol."""

    def __init__(self, error: codes.Error, disconnect: codes.Disconnect | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.disconnect = disconnect


class Credentials(Protocol):
    """Turns what a client presents into an identity. The one place where other kinds of
    credentials (API keys, share links) are to be added."""

    async def identify(self, credential: str) -> Identity:
        """Return who this is. Raises Refused."""
        ...


class Gate:
    """Decides over connections and subscriptions.

    A recording that nobody has heard of is waited for a moment: the client may have uploaded
    it just now, and its event is on the way.
    """

    def __init__(
        self,
        credentials: Credentials,
        owners: Owners,
        revoked: RevokedRights,
        *,
        now_s: NowS,
        unknown_wait_s: float,
        unknown_age_max_s: float,
        waiting_max: int = 10_000,
    ) -> None:
        self._credentials = credentials
        self._owners = owners
        self._revoked = revoked
        self._now_s = now_s
        self._unknown_wait_s = unknown_wait_s
        self._unknown_age_max_s = unknown_age_max_s
        self._waiting: dict[str, asyncio.Event] = {}
        self._waiting_max = waiting_max

    async def identify(self, credential: str) -> Identity:
        """Return who connects. Raises Refused."""
        if not credential:
            raise Refused(codes.UNAUTHORIZED)
        identity = await self._credentials.identify(credential)
        if self._revoked.covers(identity):
            raise Refused(codes.UNAUTHORIZED, codes.INVALID_TOKEN)
        return identity

    def is_revoked(self, identity: Identity) -> bool:
        """Tell whether a right ended while something was awaited."""
        return self._revoked.covers(identity)

    async def refusal(self, identity: Identity, name: str) -> codes.Error | None:
        """Return why this identity may not follow a channel, or None when it may."""
        channel = channels.parse(name)
        if channel is None:
            return codes.UNKNOWN_CHANNEL
        if channel.space is Space.ACCOUNT:
            return None if channel.subject == identity.account_id else codes.DENIED
        if channel.space is Space.AUDIO:
            return await self._refusal_of_audio(identity, channel)
        return None

    async def _refusal_of_audio(self, identity: Identity, channel: Channel) -> codes.Error | None:
        owner = await self._owners.find_owner(channel.subject)
        if owner is None and self._may_be_new(channel.subject):
            owner = await self._wait_for_owner(channel.subject)
            if owner is None:
                return codes.NOT_YET_KNOWN
        # Unknown, deleted and foreign look the same: nobody learns which ids exist.
        return None if owner == identity.account_id else codes.DENIED

    def _may_be_new(self, audio_id: str) -> bool:
        age_s = channels.age_of_id_s(audio_id, now_s=self._now_s())
        return age_s is not None and age_s < self._unknown_age_max_s

    async def _wait_for_owner(self, audio_id: str) -> str | None:
        name = channels.audio(audio_id)
        if name not in self._waiting and len(self._waiting) >= self._waiting_max:
            return None
        seen = self._waiting.setdefault(name, asyncio.Event())
        try:
            # Once more, now that the announcement cannot slip by between reading and waiting.
            if (owner := await self._owners.find_owner(audio_id)) is not None:
                return owner
            with suppress(TimeoutError):
                async with asyncio.timeout(self._unknown_wait_s):
                    await seen.wait()
        finally:
            self._waiting.pop(name, None)
        return await self._owners.find_owner(audio_id)

    @property
    def saw_audio(self) -> Callable[[str], None]:
        """Return what is to be told of every announced channel."""
        waiting = self._waiting

        def saw(channel: str) -> None:
            if waiting and (seen := waiting.get(channel)) is not None:
                seen.set()

        return saw
