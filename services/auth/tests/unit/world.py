"""The use cases of auth on fakes, wired as bootstrap wires them on the real thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from services.auth.tests.fakes import (
    FakeAccessTokens,
    FakePasswords,
    FakeRefreshTokens,
    FakeStore,
)
from tonearm_auth.adapters.emails import normalise_email
from tonearm_auth.domain.account import Account
from tonearm_auth.domain.password import PasswordRules
from tonearm_auth.domain.session import Client, SessionTerms
from tonearm_auth.usecases.caller import Caller
from tonearm_auth.usecases.log_in import LogIn, log_in
from tonearm_auth.usecases.refresh import refresh
from tonearm_auth.usecases.register import Register, register
from tonearm_auth.usecases.tokens import TokenPair
from tonearm_kit.testing.clock import CountingIds, FixedClock

PASSWORD = "correct horse battery"
TERMS = SessionTerms(idle_s=1000, absolute_s=5000, grace_s=10)
RULES = PasswordRules(length_min=8, length_max=256, common=frozenset({"password1"}))


async def never_throttled(email: str) -> None:
    """Let every attempt pass."""


@dataclass
class World:
    store: FakeStore = field(default_factory=FakeStore)
    clock: FixedClock = field(default_factory=FixedClock)
    new_id: CountingIds = field(default_factory=CountingIds)
    passwords: FakePasswords = field(default_factory=FakePasswords)
    refresh_tokens: FakeRefreshTokens = field(default_factory=FakeRefreshTokens)
    access: FakeAccessTokens = field(default_factory=FakeAccessTokens)
    sessions_max: int = 50

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def event_types(self) -> list[str]:
        return [type(event).__name__ for event in self.store.events]

    async def register(
        self, email: str = "anna@example.org", *, password: str = PASSWORD
    ) -> Account:
        return await register(
            Register(email=email, password=password, full_name=None),
            begin=self.store.begin,
            passwords=self.passwords,
            normalise_email=normalise_email,
            rules=RULES,
            clock=self.clock,
            new_id=self.new_id,
        )

    async def log_in(
        self, email: str = "anna@example.org", *, password: str = PASSWORD
    ) -> TokenPair:
        return await log_in(
            LogIn(email=email, password=password, client=Client(user_agent="t", address="::1")),
            begin=self.store.begin,
            passwords=self.passwords,
            refresh_tokens=self.refresh_tokens,
            access=self.access,
            normalise_email=normalise_email,
            throttle=never_throttled,
            terms=TERMS,
            sessions_max=self.sessions_max,
            clock=self.clock,
            new_id=self.new_id,
        )

    async def refresh(self, token: str) -> TokenPair:
        return await refresh(
            token,
            begin=self.store.begin,
            refresh_tokens=self.refresh_tokens,
            access=self.access,
            terms=TERMS,
            clock=self.clock,
        )

    async def caller(self, email: str = "anna@example.org") -> Caller:
        """Log in and return what the access token would name."""
        tokens = await self.log_in(email)
        session = self.store.tx.sessions.rows[tokens.session_id]
        return Caller(account_id=session.account_id, session_id=session.id)

    async def superuser(self) -> Caller:
        """Return a caller whose account is a superuser's."""
        account = await self.register("root@example.org")
        accounts = self.store.tx.accounts
        await accounts.save(
            account.with_entitlements(
                plan=None, is_beta=None, is_active=None, is_superuser=True, now=self.now
            )
        )
        return await self.caller("root@example.org")
