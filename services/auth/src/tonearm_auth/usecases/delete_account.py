"""Close one's own account for good."""

from __future__ import annotations

from tonearm_auth.domain.errors import BadCredentials, LastSuperuser
from tonearm_auth.usecases.caller import Caller, load_caller
from tonearm_auth.usecases.log_in import Throttle
from tonearm_auth.usecases.ports import Begin, Passwords
from tonearm_auth.usecases.sessions import end_sessions
from tonearm_contracts.events import AccountDeleted
from tonearm_kit.clock import Clock


async def delete_account(
    caller: Caller,
    *,
    password: str,
    begin: Begin,
    passwords: Passwords,
    throttle: Throttle,
    clock: Clock,
) -> None:
    """Check the password, then delete the account with all it holds, and announce it.

    Other services delete what they hold when they hear of it; the address is free again at once.
    Raise `BadCredentials`, `LastSuperuser`, `SessionEnded`, `TooManyLogins`.
    """
    async with begin() as tx:
        account, _ = await load_caller(tx, caller, clock=clock)
    await throttle(account.email)
    if not await passwords.verify(password, hashed=account.password_hash):
        raise BadCredentials("The password is wrong.")
    async with begin() as tx:
        # Superusers first, then the account: every change takes locks in this order.
        superusers = await tx.accounts.lock_active_superusers()
        if list(superusers) == [account.id]:
            raise LastSuperuser
        if await tx.accounts.lock(account.id) is None:
            return
        await end_sessions(tx, account.id, clock=clock, reason="by_user")
        await tx.accounts.delete(account.id)
        await tx.announce(AccountDeleted(account_id=account.id))
