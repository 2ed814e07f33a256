"""What superusers look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import AccountNotFound, FlagNotFound
from tonearm_auth.domain.flag import Flag
from tonearm_auth.usecases.caller import Caller, load_superuser
from tonearm_auth.usecases.ports import AuditEntry, Begin
from tonearm_kit.clock import Clock


async def list_flags(caller: Caller, *, begin: Begin, clock: Clock) -> Sequence[Flag]:
    """Return every flag by key. Raise `SuperuserRequired`."""
    async with begin() as tx:
        await load_superuser(tx, caller, clock=clock)
        return await tx.flags.all()


async def get_flag(
    caller: Caller, *, key: str, overrides_max: int, begin: Begin, clock: Clock
) -> tuple[Flag, Mapping[str, bool]]:
    """Return a flag and at most `overrides_max` of its overrides by account id.

    Raise `FlagNotFound`, `SuperuserRequired`.
    """
    async with begin() as tx:
        await load_superuser(tx, caller, clock=clock)
        flag = await tx.flags.find(key)
        if flag is None:
            raise FlagNotFound(key=key)
        return flag, await tx.flags.overrides_of(key, limit=overrides_max)


async def list_accounts(
    caller: Caller,
    *,
    email_part: str | None,
    after_id: str | None,
    limit: int,
    begin: Begin,
    clock: Clock,
) -> Sequence[Account]:
    """Return accounts by id. Raise `SuperuserRequired`."""
    async with begin() as tx:
        await load_superuser(tx, caller, clock=clock)
        return await tx.accounts.search(email_part=email_part, after_id=after_id, limit=limit)


async def get_account(caller: Caller, *, account_id: str, begin: Begin, clock: Clock) -> Account:
    """Return an account. Raise `AccountNotFound`, `SuperuserRequired`."""
    async with begin() as tx:
        await load_superuser(tx, caller, clock=clock)
        account = await tx.accounts.find(account_id)
    if account is None:
        raise AccountNotFound
    return account


async def list_audit(
    caller: Caller, *, before_id: str | None, limit: int, begin: Begin, clock: Clock
) -> Sequence[AuditEntry]:
    """Return the audit log, newest first. Raise `SuperuserRequired`."""
    async with begin() as tx:
        await load_superuser(tx, caller, clock=clock)
        return await tx.audit.latest(before_id=before_id, limit=limit)
