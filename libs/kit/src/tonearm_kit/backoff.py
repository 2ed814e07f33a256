"""Growing, capped, jittered delays. The jitter keeps a crowd from coming back in step."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from `first_s` to `max_s` seconds, each cut by up to half at random."""

    def __init__(
        self, *, first_s: float, max_s: float, random_source: random.Random | None = None
    ) -> None:
        if not 0 < first_s <= max_s:
            raise ValueError("a backoff needs 0 < first_s <= max_s")
        self._first_s, self._max_s = first_s, max_s
        self._random = random_source or random.Random()  # noqa: S311 - spreads load, hides nothing
        self._attempts = 0

    def next_s(self) -> float:
        """Return the next delay, in seconds."""
        # The exponent is capped as well: 2.0 ** 1100 would overflow after a day of failures.
        ceiling_s = min(self._max_s, self._first_s * 2.0 ** min(self._attempts, 60))
        self._attempts += 1
        return ceiling_s * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """Start again at `first_s`, after a success."""
        self._attempts = 0
