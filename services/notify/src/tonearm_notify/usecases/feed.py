"""One channel's followers in this process, and what the hub and they ask of each other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tonearm_notify.domain import codes
from tonearm_notify.domain.wire import Position, Publication
from tonearm_notify.usecases.frames import Form, Frame
from tonearm_notify.usecases.ports import Identity, Published


class ChannelClosed(Exception):
    """The channel's recording is gone."""


class Sink(Protocol):
    """A receiver: one socket or one event stream. No method blocks or raises."""

    client_id: str
    identity: Identity | None

    @property
    def form(self) -> Form:
        """How it wants its publications."""
        ...

    @property
    def write(self) -> Callable[[Any], object]:
        """Takes publications in that form, and cuts itself off when its reader is too slow.

        Called once per receiver and publication, so it had better be the transport's own
        function. Whoever exchanges it says so by `Hub.renew`.
        """
        ...

    def lose(self, channel: str, why: codes.Unsubscribe) -> None:
        """Tell the reader that a subscription ended; the hub has already let go of it."""
        ...

    def close(self, why: codes.Disconnect) -> None:
        """End the connection and leave the hub."""
        ...


class Watcher(Protocol):
    """Is told of deliveries, for spans and metrics."""

    def delivered(self, frame: Frame, *, receivers: int, started_s: float) -> None:
        """Note that a publication was written to all its receivers here."""
        ...


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of what one process keeps in memory and hands out."""

    recent_publications_max: int = 64
    recent_bytes_max: int = 256 * 1024
    recovery_publications_max: int = 10_000
    recovery_bytes_max: int = 4 * 1024 * 1024
    joining_publications_max: int = 2_000
    fan_out_chunk: int = 512
    burst_bytes_max: int = 64 * 1024
    """Publications of one channel that wait together share a write up to this size."""


@dataclass(slots=True)
class Group:
    """Followers that share one form, with what each of them is written by."""

    form: Form
    sinks: list[Sink] = field(default_factory=list)
    writes: list[Callable[[Any], object]] = field(default_factory=list)


class Feed:
    """One channel with followers in this process."""

    __slots__ = (
        "_groups",
        "heard",
        "joining",
        "loading",
        "name",
        "position",
        "recent",
        "recent_bytes",
        "sinks",
        "users",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.position: Position | None = None
        self.heard = 0
        """Highest offset announced while the position was still being read."""
        self.loading: asyncio.Future[None] | None = None
        self.sinks: dict[Sink, int] = {}
        """Follower to the number of its joining: leaving and joining again is another one."""
        self._groups: tuple[Group, ...] | None = None
        self.joining: dict[Sink, list[Publication]] = {}
        self.users = 0
        """Joins under way; the feed stays while there are any."""
        self.recent: deque[Publication] = deque()
        self.recent_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody needs this feed."""
        return not self.sinks and not self.joining and not self.users

    def awaits(self, published: Published) -> bool:
        """Tell whether a publication may be news here."""
        position = self.position
        return (
            position is None
            or published.epoch != position.epoch
            or published.publication.offset > position.offset
        )

    def add(self, sink: Sink, number: int) -> None:
        """Take a follower in; `number` counts joins."""
        self.sinks[sink] = number
        self._groups = None

    def remove(self, sink: Sink) -> None:
        """Let a follower go, if it is one."""
        if self.sinks.pop(sink, None) is not None:
            self._groups = None

    def remove_all(self) -> list[Sink]:
        """Let all followers go and return them."""
        sinks, self.sinks = list(self.sinks), {}
        self._groups = None
        return sinks

    def renew(self) -> None:
        """Note that a follower has exchanged how it is written to."""
        self._groups = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """Return the followers by form: the same object until one comes, goes or changes."""
        if self._groups is None:
            groups: dict[Form, Group] = {}
            for sink in self.sinks:
                group = groups.get(sink.form)
                if group is None:
                    group = groups[sink.form] = Group(sink.form)
                group.sinks.append(sink)
                group.writes.append(sink.write)
            self._groups = tuple(groups.values())
        return self._groups

    def remember(self, publication: Publication, limits: HubLimits) -> None:
        """Keep the newest publications, for those who come back within moments."""
        self.recent.append(publication)
        self.recent_bytes += publication.size_bytes
        while len(self.recent) > limits.recent_publications_max or (
            self.recent_bytes > limits.recent_bytes_max
        ):
            self.recent_bytes -= self.recent.popleft().size_bytes

    def recall(self, offset: int) -> list[Publication] | None:
        """Return what came after an offset, or None when memory does not reach back so far."""
        if self.position is not None and offset == self.position.offset:
            return []
        if not self.recent or self.recent[0].offset > offset + 1:
            return None
        return [pub for pub in self.recent if pub.offset > offset]
