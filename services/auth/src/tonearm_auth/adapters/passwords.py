"""Argon2id on a few threads: the library lets go of the interpreter while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tonearm_auth.domain.errors import HashingBusy

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Argon2Cost:
    """Parameters of argon2id. The default is the OWASP minimum; each hash needs `memory_kib`."""

    memory_kib: int = 19456
    passes: int = 2
    lanes: int = 1


class Argon2Passwords:
    """`Passwords` on `threads` threads, with at most `waiting_max` calls waiting for one."""

    def __init__(self, cost: Argon2Cost, *, threads: int, waiting_max: int) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._open_max = threads + waiting_max
        self._n_open = 0
        self.stand_in = self._hasher.hash("nobody has this password")
        """What is checked when there is no account, so that it takes as long."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return a PHC string; raise `HashingBusy` when too many wait."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password: str, *, hashed: str | None) -> bool:
        """Return whether it matches. None costs as much as a wrong password does."""

        def check() -> bool:
            try:
                return self._hasher.verify(hashed or self.stand_in, password) and hashed is not None
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(check)

    def needs_rehash(self, hashed: str) -> bool:
        """Return whether the parameters differ from those in use now."""
        return self._hasher.check_needs_rehash(hashed)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._n_open >= self._open_max:
            raise HashingBusy(retry_after_s=1)
        self._n_open += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._n_open -= 1


def common_passwords(*, length_min: int) -> frozenset[str]:
    """Return the lower-case passwords of at least `length_min` characters that are tried first.

    Some 30,000 are known, ordered by how often they were seen; all that are long enough count.
    """
    # Imported here: the lists take a moment to load and only this service needs them.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= length_min)
