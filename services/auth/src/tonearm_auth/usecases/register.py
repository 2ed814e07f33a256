"""Open an account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.password import PasswordRules, check_password
from tonearm_auth.usecases.ports import Begin, Passwords, Recorded
from tonearm_contracts.events import AccountRegistered
from tonearm_kit.clock import Clock
from tonearm_kit.ids import NewId

NormaliseEmail = Callable[[str], str]
"""Returns the one spelling of an address, or raises `EmailInvalid`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """What a person gives to open an account."""

    email: str
    password: str = field(repr=False)
    full_name: str | None


async def register(
    cmd: Register,
    *,
    begin: Begin,
    passwords: Passwords,
    normalise_email: NormaliseEmail,
    rules: PasswordRules,
    clock: Clock,
    new_id: NewId,
    recorded: Recorded | None = None,
) -> Account:
    """Check the rules, hash the password, then record the account and announce it.

    `recorded` runs in the same transaction: what it writes stands or falls with the account.

    The hash is made before the address is looked up, so a taken address takes as long as a free
    one. Raise `EmailInvalid`, `PasswordRejected`, `EmailTaken`.
    """
    email = normalise_email(cmd.email)
    check_password(cmd.password, email=email, rules=rules)
    account = Account.register(
        new_id(),
        email=email,
        password_hash=await passwords.hash(cmd.password),
        full_name=cmd.full_name,
        now=clock.now(),
    )
    async with begin() as tx:
        await tx.accounts.add(account)
        await tx.announce(
            AccountRegistered(
                account_id=account.id,
                email=account.email,
                full_name=account.full_name,
                plan=account.plan,
                registered_at=account.created_at,
            )
        )
        if recorded is not None:
            await recorded(tx, account)
    return account
