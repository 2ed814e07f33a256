"""An account: who a person is to Tonearm, and what they are entitled to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Self

Plan = Literal["free", "premium"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`email` is normalised and unique; `password_hash` is a PHC string (argon2id)."""

    id: str
    email: str
    password_hash: str
    full_name: str | None
    plan: Plan
    is_active: bool
    is_beta: bool
    is_superuser: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None

    @classmethod
    def register(
        cls, id: str, *, email: str, password_hash: str, full_name: str | None, now: datetime
    ) -> Self:
        """Return a new active account on the free plan."""
        return cls(
            id=id,
            email=email,
            password_hash=password_hash,
            full_name=full_name,
            plan="free",
            is_active=True,
            is_beta=False,
            is_superuser=False,
            created_at=now,
            updated_at=now,
            last_login_at=None,
        )

    def with_entitlements(
        self,
        *,
        plan: Plan | None,
        is_beta: bool | None,
        is_active: bool | None,
        is_superuser: bool | None,
        now: datetime,
    ) -> Self:
        """Return the account with the given values changed; None leaves a value alone."""
        return replace(
            self,
            plan=self.plan if plan is None else plan,
            is_beta=self.is_beta if is_beta is None else is_beta,
            is_active=self.is_active if is_active is None else is_active,
            is_superuser=self.is_superuser if is_superuser is None else is_superuser,
            updated_at=now,
        )
