"""The transactional outbox: an event is written with its effect and sent after it."""

from tonearm_kit.outbox.add import EventTooLarge, Outbox, OutboxFull
from tonearm_kit.outbox.relay import OutboxRelay, RelaySettings

__all__ = [
    "EventTooLarge",
    "Outbox",
    "OutboxFull",
    "OutboxRelay",
    "RelaySettings",
]
