"""Change one's password."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tonearm_auth.domain.errors import BadCredentials
from tonearm_auth.domain.password import PasswordRules, check_password
from tonearm_auth.usecases.caller import Caller, load_caller
from tonearm_auth.usecases.log_in import Throttle
from tonearm_auth.usecases.ports import Begin, Passwords
from tonearm_auth.usecases.sessions import end_sessions
from tonearm_kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePassword:
    """The old and the new password, and whether every other device must log in again."""

    current_password: str = field(repr=False)
    new_password: str = field(repr=False)
    end_other_sessions: bool


async def change_password(
    caller: Caller,
    cmd: ChangePassword,
    *,
    begin: Begin,
    passwords: Passwords,
    throttle: Throttle,
    rules: PasswordRules,
    clock: Clock,
) -> None:
    """Check the old password, store the new one, perhaps end the other sessions.

    Guessing here counts together with guessing at the log-in. Raise `BadCredentials`,
    `PasswordRejected`, `SessionEnded`, `TooManyLogins`.
    """
    async with begin() as tx:
        account, session = await load_caller(tx, caller, clock=clock)
    check_password(cmd.new_password, email=account.email, rules=rules)
    await throttle(account.email)
    if not await passwords.verify(cmd.current_password, hashed=account.password_hash):
        raise BadCredentials("The current password is wrong.")
    new_hash = await passwords.hash(cmd.new_password)
    async with begin() as tx:
        held = await tx.accounts.lock(account.id)
        if held is None or held.password_hash != account.password_hash:
            raise BadCredentials("The current password is wrong.")
        await tx.accounts.save(replace(held, password_hash=new_hash, updated_at=clock.now()))
        if cmd.end_other_sessions:
            await end_sessions(
                tx, held.id, clock=clock, reason="password_changed", except_id=session.id
            )
