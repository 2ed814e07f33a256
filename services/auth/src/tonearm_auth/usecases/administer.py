"""What superusers change: flags, their overrides, accounts. Every change leaves an audit row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from tonearm_auth.domain.account import Account, Plan
from tonearm_auth.domain.errors import AccountNotFound, FlagNotFound, LastSuperuser
from tonearm_auth.domain.flag import Audience, Flag
from tonearm_auth.usecases.caller import Caller, load_superuser
from tonearm_auth.usecases.ports import AuditEntry, Begin, Tx
from tonearm_auth.usecases.sessions import end_sessions
from tonearm_contracts.events import EntitlementsChanged, FlagChanged
from tonearm_kit.clock import Clock
from tonearm_kit.ids import NewId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFlag:
    """The rules that a flag gets."""

    key: str
    is_enabled: bool
    audience: Audience
    percentage: int


async def change_flag(
    caller: Caller, cmd: ChangeFlag, *, begin: Begin, clock: Clock, new_id: NewId
) -> Flag:
    """Store new rules of a flag. Raise `FlagNotFound`, `SuperuserRequired`."""
    async with begin() as tx:
        actor = await load_superuser(tx, caller, clock=clock)
        flag = await tx.flags.lock(cmd.key)
        if flag is None:
            raise FlagNotFound(key=cmd.key)
        changed = flag.changed(
            is_enabled=cmd.is_enabled, audience=cmd.audience, percentage=cmd.percentage
        )
        if changed == flag:
            return flag
        await tx.flags.save(changed, at=clock.now())
        await tx.audit.add(
            AuditEntry(
                id=new_id(),
                at=clock.now(),
                actor_id=actor.id,
                action="flag.changed",
                target=flag.key,
                before=_flag_facts(flag),
                after=_flag_facts(changed),
            )
        )
        await tx.announce(FlagChanged(flag_key=flag.key, account_id=None))
    return changed


async def change_override(
    caller: Caller,
    *,
    key: str,
    account_id: str,
    value: bool | None,
    begin: Begin,
    clock: Clock,
    new_id: NewId,
) -> None:
    """Give an account a value of its own, or (None) take it away; repeating it changes nothing.

    Raise `FlagNotFound`, `AccountNotFound`, `SuperuserRequired`.
    """
    async with begin() as tx:
        actor = await load_superuser(tx, caller, clock=clock)
        if await tx.flags.lock(key) is None:
            raise FlagNotFound(key=key)
        if await tx.accounts.find(account_id) is None:
            raise AccountNotFound
        before = (await tx.flags.overrides_for(account_id)).get(key)
        if before == value:
            return
        await tx.flags.override(key, account_id=account_id, value=value, at=clock.now())
        await tx.audit.add(
            AuditEntry(
                id=new_id(),
                at=clock.now(),
                actor_id=actor.id,
                action="flag.overridden",
                target=f"{key}/{account_id}",
                before={"value": before},
                after={"value": value},
            )
        )
        await tx.announce(FlagChanged(flag_key=key, account_id=account_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAccount:
    """New marks of an account; None leaves one as it is."""

    account_id: str
    plan: Plan | None
    is_beta: bool | None
    is_active: bool | None
    is_superuser: bool | None


async def change_account(
    caller: Caller, cmd: ChangeAccount, *, begin: Begin, clock: Clock, new_id: NewId
) -> Account:
    """Change what an account is entitled to; disabling it ends its sessions.

    Raise `AccountNotFound`, `LastSuperuser`, `SuperuserRequired`.
    """
    async with begin() as tx:
        actor = await load_superuser(tx, caller, clock=clock)
        return await _apply(tx, cmd, actor_id=actor.id, clock=clock, new_id=new_id)


async def make_admin(email: str, *, begin: Begin, clock: Clock, new_id: NewId) -> Account:
    """Make the account with this normalised address a superuser, from the command line.

    Raise `AccountNotFound`.
    """
    async with begin() as tx:
        account = await tx.accounts.find_by_email(email)
        if account is None:
            raise AccountNotFound
        cmd = ChangeAccount(
            account_id=account.id, plan=None, is_beta=None, is_active=None, is_superuser=True
        )
        return await _apply(tx, cmd, actor_id=None, clock=clock, new_id=new_id)


async def _apply(
    tx: Tx, cmd: ChangeAccount, *, actor_id: str | None, clock: Clock, new_id: NewId
) -> Account:
    # Superusers first, then the account: every change takes locks in this order.
    superusers = await tx.accounts.lock_active_superusers()
    account = await tx.accounts.lock(cmd.account_id)
    if account is None:
        raise AccountNotFound
    now = clock.now()
    changed = account.with_entitlements(
        plan=cmd.plan,
        is_beta=cmd.is_beta,
        is_active=cmd.is_active,
        is_superuser=cmd.is_superuser,
        now=now,
    )
    before, after = _account_facts(account), _account_facts(changed)
    if before == after:
        return account
    stays_superuser = changed.is_superuser and changed.is_active
    if not stays_superuser and list(superusers) == [account.id]:
        raise LastSuperuser
    await tx.accounts.save(changed)
    await tx.audit.add(
        AuditEntry(
            id=new_id(),
            at=now,
            actor_id=actor_id,
            action="account.changed",
            target=account.id,
            before=before,
            after=after,
        )
    )
    await tx.announce(
        EntitlementsChanged(
            account_id=account.id,
            plan=changed.plan,
            is_beta=changed.is_beta,
            is_active=changed.is_active,
        )
    )
    if not changed.is_active:
        await end_sessions(tx, account.id, clock=clock, reason="disabled")
    return changed


def _flag_facts(flag: Flag) -> Mapping[str, JsonValue]:
    return {
        "is_enabled": flag.is_enabled,
        "audience": flag.audience,
        "percentage": flag.percentage,
    }


def _account_facts(account: Account) -> Mapping[str, JsonValue]:
    return {
        "plan": account.plan,
        "is_beta": account.is_beta,
        "is_active": account.is_active,
        "is_superuser": account.is_superuser,
    }
