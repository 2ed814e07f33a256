"""Channel names and which event goes where.

`account:#<account id>` carries everything that concerns one person, `audio:<audio id>` one
recording, `flags` the hint to evaluate flags again, `system` maintenance notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

NAME_LENGTH_MAX: Final = 128

FLAGS: Final = "flags"
SYSTEM: Final = "system"


class Space(StrEnum):
    """The kinds of channels."""

    ACCOUNT = "account"
    AUDIO = "audio"
    FLAGS = "flags"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Channel:
    """A parsed name. `subject` is the id after the mark, empty for `flags` and `system`."""

    space: Space
    subject: str

    @property
    def name(self) -> str:
        """Return the name as it travels."""
        if self.space is Space.ACCOUNT:
            return account(self.subject)
        return audio(self.subject) if self.space is Space.AUDIO else self.space.value

    @property
    def template(self) -> str:
        """Return the name without its id, for metrics and spans."""
        if self.space is Space.ACCOUNT:
            return "account:#{id}"
        return "audio:{id}" if self.space is Space.AUDIO else self.space.value

    @property
    def has_presence(self) -> bool:
        """Tell whether subscribers may see each other: only around a recording."""
        return self.space is Space.AUDIO


def account(account_id: str) -> str:
    """Return the name of a person's own channel."""
    return f"account:#{account_id}"


def audio(audio_id: str) -> str:
    """Return the name of a recording's channel."""
    return f"audio:{audio_id}"


def parse(name: str) -> Channel | None:
    """Return the channel of a name, or None where no such channel can exist."""
    if len(name) > NAME_LENGTH_MAX:
        return None
    if name in (FLAGS, SYSTEM):
        return Channel(Space(name), "")
    space, colon, subject = name.partition(":")
    if space == Space.ACCOUNT and colon and subject.startswith("#") and len(subject) > 1:
        return Channel(Space.ACCOUNT, subject[1:])
    if space == Space.AUDIO and colon and subject and not subject.startswith("#"):
        return Channel(Space.AUDIO, subject)
    return None


def for_event(type_: str, payload: Mapping[str, object]) -> tuple[str, ...]:
    """Return the channels that an event is published to, sorted; none for internal events.

    Sorted, because writers lock the channels' counters in this order and so never wait for
    each other in a circle.
    """
    if type_ == "tonearm.flag.changed.v1":
        whose = payload.get("account_id")
        return (account(whose),) if isinstance(whose, str) else (FLAGS,)
    aggregate = type_.removeprefix("tonearm.").partition(".")[0]
    if aggregate == "notice":
        return (SYSTEM,)
    if aggregate not in ("account", "audio", "analysis"):
        return ()
    if type_ == "tonearm.analysis.requested.v1":
        return ()
    account_id, audio_id = payload.get("account_id"), payload.get("audio_id")
    names = []
    if isinstance(account_id, str):
        names.append(account(account_id))
    if isinstance(audio_id, str):
        names.append(audio(audio_id))
    return tuple(sorted(names))


def age_of_id_s(id_: str, *, now_s: float) -> float | None:
    """Return how long ago a time-ordered id (UUID version 7) was made, None for other ids.

    Tells a recording whose event is still on the way from one that never existed.
    """
    try:
        parsed = UUID(id_)
    except ValueError:
        return None
    if parsed.version != 7:
        return None
    return now_s - (parsed.int >> 80) / 1000
