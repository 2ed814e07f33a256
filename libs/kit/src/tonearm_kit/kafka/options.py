"""How a consumer behaves: every wait, batch and window has a limit, named with its unit."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Delays between attempts, one retry topic each; after the last one an event is dead.

    Changing the number of delays changes the set of topics, not what is in them: an event in a
    level that no longer exists waits there until `redrive`.
    """

    delays_s: tuple[float, ...] = (2.0, 10.0, 60.0, 300.0)
    jitter_share: float = 0.2
    """Each delay is lengthened by up to this share at random."""
    attempts_unknown_max: int = 3
    """Attempts for an exception that nobody classified, probably a bug."""
    partitions: int = 2
    retention_s: int = 14 * 24 * 3600
    dead_retention_s: int = 90 * 24 * 3600

    def attempts_max(self, *, unknown: bool) -> int:
        """Return how often an event is tried before it is dead."""
        most = len(self.delays_s) + 1
        return min(most, self.attempts_unknown_max) if unknown else most

    def delay_s(self, attempt: int, chance: random.Random) -> float:
        """Return the wait after failed attempt number `attempt` (from 1), with jitter."""
        base_s = self.delays_s[min(attempt, len(self.delays_s)) - 1]
        return base_s * (1.0 + self.jitter_share * chance.random())


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeSettings:
    """When a consumer stops rather than pour a whole topic into the dead letters."""

    poison_share_max: float = 0.5
    window_messages: int = 100
    """The share is taken over this many latest messages."""
    poison_count_min: int = 10
    """Fewer poisoned messages than this in the window never trip the brake."""
    hold_s: float = 60.0
    """After this long one message is let through to see whether the trouble is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """Bounds and waits of one `ConsumerRunner`."""

    concurrency: int = 4
    """Units of work (messages, batches or jobs) in hand at a time, over all partitions."""
    batch_messages_max: int = 500
    """Largest batch of one transaction (batch grain)."""
    queue_messages_high: int = 2_000
    """A partition with this many messages waiting is paused ..."""
    queue_messages_low: int = 500
    """... and resumed at this many. Jobs use 1 and 0."""
    poll_messages_max: int = 1_000
    poll_timeout_s: float = 0.1
    commit_interval_s: float = 0.2
    session_timeout_s: float = 15.0
    heartbeat_interval_s: float = 3.0
    rebalance_timeout_s: float = 60.0
    handler_timeout_s: float = 15.0
    """Longest that the effect of one message or batch may take; less than the database's
    `idle_in_transaction_timeout_s`, or a handler that waits for something else is cut off."""
    job_timeout_s: float = 3_600.0
    revoke_grace_s: float = 10.0
    """Longest wait for work in hand before partitions go to another member. Jobs are not
    waited for: they go on, and are cancelled only if the partition really leaves."""
    stop_grace_s: float = 15.0
    """Longest wait for work in hand at the end; what is not done then is redelivered."""
    start_timeout_s: float = 120.0
    """Longest wait for the broker and its topics at the start."""
    outage_first_s: float = 0.1
    outage_max_s: float = 5.0
    """Back-off while the database or the broker is away; nothing is lost meanwhile."""
    priority_topics: tuple[str, ...] = ()
    """Topics in order of urgency; those not named come after them, equal among themselves."""
    fair_share: float = 0.1
    """Share of turns that a less urgent topic gets while a more urgent one has work."""
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    brake: BrakeSettings = field(default_factory=BrakeSettings)
    client_spans: bool = True
    """Emit `poll` and `commit` spans; metrics are recorded in any case."""
    client_id: str = "tonearm"
