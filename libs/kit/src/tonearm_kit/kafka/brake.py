"""The brake of the dead-letter way: a bad deploy must not empty a topic into it."""

from __future__ import annotations

import asyncio
from collections import deque

from tonearm_kit.clock import Clock
from tonearm_kit.kafka.options import BrakeSettings
from tonearm_kit.logs import get_logger

log = get_logger(__name__)


class Brake:
    """Watches the share of poison among the latest messages of one consumer.

    Tripped, it holds all of the consumer's work in place: nothing is lost, the lag grows, and
    somebody is called. After `hold_s` one message may try; a good one releases the brake.
    """

    def __init__(self, settings: BrakeSettings, *, group: str, clock: Clock) -> None:
        self._settings = settings
        self._group = group
        self._clock = clock
        self._window: deque[bool] = deque(maxlen=settings.window_messages)
        self._tripped_until_s: float | None = None
        self._probe = asyncio.Lock()
        self._is_probing = False

    @property
    def tripped(self) -> bool:
        """Whether the consumer is being held."""
        return self._tripped_until_s is not None

    @property
    def share(self) -> float:
        """Share of poison in the window, 0 for an empty one."""
        return sum(self._window) / len(self._window) if self._window else 0.0

    def good(self) -> None:
        """Count a message that is settled without being dead; a probe releases the brake.

        Others were under way when the brake came on and say nothing about what it waits for.
        """
        self._window.append(False)
        if self.tripped and self._is_probing:
            log.warning("the brake is released", group=self._group)
            self._tripped_until_s = None
            self._window.clear()

    def poison(self) -> bool:
        """Count a poisoned message; True when it must not go to the dead letters now.

        The caller then keeps the message and asks `hold` before it tries again.
        """
        if self.tripped:
            self._hold_again()
            return True
        self._window.append(True)
        count = sum(self._window)
        if count < self._settings.poison_count_min or self.share <= self._settings.poison_share_max:
            return False
        self._hold_again()
        log.error(
            "the brake is on: too much poison",
            group=self._group,
            poison_share=round(self.share, 3),
            window_messages=len(self._window),
            hold_s=self._settings.hold_s,
        )
        return True

    def _hold_again(self) -> None:
        self._is_probing = False
        self._tripped_until_s = self._clock.monotonic_s() + self._settings.hold_s

    async def hold(self) -> None:
        """Return when work may go on: at once, or after the hold, one caller at a time."""
        if not self.tripped:
            return
        async with self._probe:
            while self._tripped_until_s is not None:
                left_s = self._tripped_until_s - self._clock.monotonic_s()
                if left_s <= 0:
                    # This caller probes; should it fail, `poison` sets a new time. The others
                    # behind the lock wait for that time or for the release.
                    self._hold_again()
                    self._is_probing = True
                    return
                await asyncio.sleep(min(left_s, 0.5))
