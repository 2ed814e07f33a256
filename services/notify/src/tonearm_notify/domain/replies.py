"""What the server says to one client, before it is put into a framing.

Small things are JSON text from the beginning. What carries publications is kept apart until it is
written, so that no framing has to take the text of another one to pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tonearm_notify.domain import wire
from tonearm_notify.domain.wire import Position, Publication


@dataclass(frozen=True, slots=True)
class Send:
    """Write this; neighbours in one list may share a frame, in JSON joined by newlines."""

    text: str


@dataclass(frozen=True, slots=True)
class Joined:
    """How a subscription began."""

    position: Position
    publications: Sequence[Publication] = ()
    was_recovering: bool = False
    recovered: bool = False

    @property
    def text(self) -> str:
        """Return the result object of a subscribe."""
        return wire.subscribe_result(
            self.position,
            publications=self.publications,
            was_recovering=self.was_recovering,
            recovered=self.recovered,
        )


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The answer to a subscribe."""

    id: int
    joined: Joined

    @property
    def text(self) -> str:
        """Return the reply as JSON."""
        return wire.reply_subscribe(self.id, self.joined.text)


@dataclass(frozen=True, slots=True)
class Connected:
    """The answer to a connect; `subscriptions` are those of the server."""

    id: int
    result: Mapping[str, object]
    subscriptions: Mapping[str, Joined]

    @property
    def text(self) -> str:
        """Return the reply as JSON."""
        subscriptions = {name: joined.text for name, joined in self.subscriptions.items()}
        return wire.reply_connect(self.id, self.result, subscriptions)


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """The answer to a history command; `top` is where the channel stands."""

    id: int
    top: Position
    publications: Sequence[Publication]

    @property
    def text(self) -> str:
        """Return the reply as JSON."""
        return wire.reply_history(self.id, self.top, self.publications)


Said = Send | Subscribed | Connected | HistoryRead
SAID = (Send, Subscribed, Connected, HistoryRead)
"""The same, to ask with `isinstance`."""
