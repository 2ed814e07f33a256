"""Answers to what a connected client asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from tonearm_notify.domain import channels, codes, commands, wire
from tonearm_notify.domain.protocol import Ask, Effect, Session, State
from tonearm_notify.domain.replies import HistoryRead, Joined, Send
from tonearm_notify.usecases.admit import Gate, Refused
from tonearm_notify.usecases.feed import ChannelClosed, Sink
from tonearm_notify.usecases.hub import Hub
from tonearm_notify.usecases.ports import Histories, Identity


class Client(Sink, Protocol):
    """A sink that speaks the client protocol."""

    session: Session
    is_entered: bool

    def apply(self, effects: Iterable[Effect]) -> None:
        """Carry out effects."""
        ...

    def hold(self) -> None:
        """Keep publications back: the reply that they must follow is not written yet."""
        ...

    def release(self) -> None:
        """Write what was kept back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """Bounds and names of the answers."""

    node: str
    version: str
    connections_per_account_max: int = 50
    server_side_max: int = 16
    history_publications_max: int = 1000
    history_bytes_max: int = 1024 * 1024


class Answers:
    """What a client asks for, carried out; the session sees to it that it may ask."""

    def __init__(
        self,
        options: AnswerOptions,
        *,
        gate: Gate,
        hub: Hub,
        histories: Histories,
        now_s: Callable[[], float],
        monotonic_s: Callable[[], float],
        acknowledged: Callable[[commands.Acknowledge], None],
        presence_of: Callable[[str], Awaitable[dict[str, str]]],
    ) -> None:
        self._options = options
        self._gate = gate
        self._hub = hub
        self._histories = histories
        self._now_s = now_s
        self._monotonic_s = monotonic_s
        self.acknowledged = acknowledged
        self._presence_of = presence_of

    async def answer(self, client: Client, command: Ask) -> None:
        """Carry out one command and hand its answer to the session."""
        match command:
            case commands.Connect():
                await self._connect(client, command)
            case commands.Refresh():
                await self._refresh(client, command)
            case commands.Subscribe():
                await self._subscribe(client, command)
            case commands.History():
                await self._history(client, command)
            case commands.Presence():
                await self._presence(client, command)
            case commands.Acknowledge():
                self.acknowledged(command)

    async def _connect(self, client: Client, command: commands.Connect) -> None:
        try:
            identity = await self._gate.identify(command.token)
        except Refused as refused:
            self._refuse(client, command, refused)
            return
        if client.session.state is not State.CONNECTING:
            return
        if self._hub.count(identity.account_id) >= self._options.connections_per_account_max:
            client.close(codes.CONNECTION_LIMIT)
            return
        client.identity = identity
        self._hub.enter(client, identity.account_id)
        client.is_entered = True
        client.hold()
        subscriptions = await self._server_side(client, command, identity)
        if client.session.state is not State.CONNECTING:
            self._hub.exit(client, identity.account_id, subscriptions)
            return
        if self._gate.is_revoked(identity):
            self._hub.exit(client, identity.account_id, subscriptions)
            client.close(codes.INVALID_TOKEN)
            return
        client.apply(
            client.session.connected(
                command.id,
                expires_in_s=self._expires_in_s(identity),
                node=self._options.node,
                version=self._options.version,
                now_s=self._monotonic_s(),
                subscriptions=subscriptions,
            )
        )
        client.release()

    async def _server_side(
        self, client: Client, command: commands.Connect, identity: Identity
    ) -> dict[str, Joined]:
        """Join the channels that the client wants to be subscribed to by the server."""
        joined: dict[str, Joined] = {}
        for name, since in list(command.subscriptions.items())[: self._options.server_side_max]:
            if await self._gate.refusal(identity, name) is None:
                with suppress(ChannelClosed):
                    joined[name] = await self._hub.join(name, client, since)
        return joined

    def _refuse(self, client: Client, command: Ask, refused: Refused) -> None:
        if refused.disconnect is not None:
            client.close(refused.disconnect)
        else:
            client.apply(client.session.failed(command, refused.error))

    def _expires_in_s(self, identity: Identity) -> float | None:
        if identity.expires_at_s is None:
            return None
        return max(0.0, identity.expires_at_s - self._now_s())

    async def _refresh(self, client: Client, command: commands.Refresh) -> None:
        try:
            identity = await self._gate.identify(command.token)
        except Refused as refused:
            self._refuse(client, command, refused)
            return
        if client.identity is None or identity.account_id != client.identity.account_id:
            client.close(codes.INVALID_TOKEN)
            return
        client.identity = identity
        client.apply(
            client.session.refreshed(
                command.id,
                expires_in_s=self._expires_in_s(identity),
                version=self._options.version,
                now_s=self._monotonic_s(),
            )
        )

    async def _subscribe(self, client: Client, command: commands.Subscribe) -> None:
        identity = client.identity
        refusal = codes.DENIED
        if identity is not None:
            refusal_ = await self._gate.refusal(identity, command.channel)
            if refusal_ is None:
                await self._join(client, command)
                return
            refusal = refusal_
        client.apply(client.session.failed(command, refusal))

    async def _join(self, client: Client, command: commands.Subscribe) -> None:
        try:
            joined = await self._hub.join(command.channel, client, command.since)
        except ChannelClosed:
            client.apply(client.session.failed(command, codes.DENIED))
            return
        if not client.session.wants(command):
            self._hub.leave(command.channel, client)
            client.session.dismissed()
        elif joined.was_recovering and not joined.recovered and command.reject_unrecovered:
            self._hub.leave(command.channel, client)
            client.apply(client.session.failed(command, codes.UNRECOVERABLE))
        else:
            client.apply(client.session.subscribed(command, joined))

    async def _history(self, client: Client, command: commands.History) -> None:
        refusal = await self._may_read(client, command.channel)
        if refusal is not None:
            client.apply(client.session.failed(command, refusal))
            return
        top = await self._histories.load_top(command.channel)
        since = command.since
        if since is not None and since.epoch and since.epoch != top.epoch:
            client.apply(client.session.failed(command, codes.UNRECOVERABLE))
            return
        most = self._options.history_publications_max
        limit = most if command.limit < 0 else min(command.limit, most)
        slice_ = await self._histories.load_page(
            command.channel,
            since.offset if since else None,
            limit=limit,
            is_reverse=command.is_reverse,
            size_bytes=self._options.history_bytes_max,
        )
        reply = HistoryRead(command.id, slice_.top, slice_.publications)
        client.apply(client.session.answered(reply))

    async def _presence(self, client: Client, command: commands.Presence) -> None:
        refusal = await self._may_read(client, command.channel)
        channel = channels.parse(command.channel)
        if refusal is None and (channel is None or not channel.has_presence):
            refusal = codes.NOT_AVAILABLE
        if refusal is not None:
            client.apply(client.session.failed(command, refusal))
            return
        present = await self._presence_of(command.channel)
        if command.is_count:
            counts = {"num_clients": len(present), "num_users": len(set(present.values()))}
            reply = wire.reply(command.id, "presence_stats", counts)
        else:
            listed = {id_: {"client": id_, "user": user} for id_, user in present.items()}
            reply = wire.reply(command.id, "presence", {"presence": listed})
        client.apply(client.session.answered(Send(reply)))

    async def _may_read(self, client: Client, name: str) -> codes.Error | None:
        """Return the refusal for channels that the client does not follow itself."""
        if client.session.subscriptions.get(name) == 0:
            return None
        if client.identity is None:
            return codes.DENIED
        return await self._gate.refusal(client.identity, name)
