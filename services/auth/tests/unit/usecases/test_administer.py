"""What superusers change, and that nobody else does."""

from __future__ import annotations

import pytest

from services.auth.tests.unit.world import World
from tonearm_auth.domain.errors import (
    AccountNotFound,
    BadCredentials,
    FlagNotFound,
    LastSuperuser,
    RefreshRejected,
    SuperuserRequired,
)
from tonearm_auth.domain.flag import Flag
from tonearm_auth.usecases.administer import (
    ChangeAccount,
    ChangeFlag,
    change_account,
    change_flag,
    change_override,
    make_admin,
)
from tonearm_auth.usecases.browse import get_flag, list_accounts, list_audit, list_flags
from tonearm_auth.usecases.caller import Caller
from tonearm_contracts.events import EntitlementsChanged, FlagChanged

OFF = ChangeFlag(key="audio-upload", is_enabled=False, audience="everyone", percentage=100)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.register()
    made.store.tx.flags.rows["audio-upload"] = Flag(
        key="audio-upload",
        description="",
        is_enabled=True,
        audience="everyone",
        percentage=100,
        has_overrides=False,
    )
    return made


async def flip(world: World, caller: Caller, cmd: ChangeFlag = OFF) -> Flag:
    return await change_flag(
        caller, cmd, begin=world.store.begin, clock=world.clock, new_id=world.new_id
    )


async def alter(world: World, caller: Caller, account_id: str, **marks: object) -> None:
    blank: dict[str, object] = {
        "plan": None,
        "is_beta": None,
        "is_active": None,
        "is_superuser": None,
    }
    cmd = ChangeAccount(account_id=account_id, **(blank | marks))  # type: ignore[arg-type]
    await change_account(
        caller, cmd, begin=world.store.begin, clock=world.clock, new_id=world.new_id
    )


async def test_a_changed_flag_leaves_an_audit_row_and_an_event(world: World) -> None:
    root = await world.superuser()
    assert not (await flip(world, root)).is_enabled
    [entry] = world.store.tx.audit.rows
    assert (entry.action, entry.target, entry.actor_id) == (
        "flag.changed",
        "audio-upload",
        root.account_id,
    )
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["is_enabled"], entry.after["is_enabled"]) == (True, False)
    assert world.store.events[-1] == FlagChanged(flag_key="audio-upload", account_id=None)


async def test_a_change_that_changes_nothing_is_not_told(world: World) -> None:
    root = await world.superuser()
    await flip(world, root)
    await flip(world, root)
    assert world.event_types().count("FlagChanged") == len(world.store.tx.audit.rows) == 1


async def test_an_override_is_set_and_taken_back(world: World) -> None:
    root, anna = await world.superuser(), await world.caller()
    for value in (True, True, None):
        await change_override(
            root,
            key="audio-upload",
            account_id=anna.account_id,
            value=value,
            begin=world.store.begin,
            clock=world.clock,
            new_id=world.new_id,
        )
    told = [event for event in world.store.events if isinstance(event, FlagChanged)]
    assert [event.account_id for event in told] == [anna.account_id] * 2
    assert world.store.tx.flags.own == {}


async def test_only_superusers_see_and_change(world: World) -> None:
    anna = await world.caller()
    begin, clock = world.store.begin, world.clock
    with pytest.raises(SuperuserRequired):
        await flip(world, anna)
    with pytest.raises(SuperuserRequired):
        await alter(world, anna, anna.account_id, is_superuser=True)
    with pytest.raises(SuperuserRequired):
        await list_flags(anna, begin=begin, clock=clock)
    with pytest.raises(SuperuserRequired):
        await list_audit(anna, before_id=None, limit=10, begin=begin, clock=clock)
    with pytest.raises(SuperuserRequired):
        await list_accounts(
            anna, email_part=None, after_id=None, limit=10, begin=begin, clock=clock
        )
    assert world.store.tx.audit.rows == []


async def test_a_demoted_superuser_is_one_no_longer_though_the_token_says_so(world: World) -> None:
    root, anna = await world.superuser(), await world.caller()
    await alter(world, root, anna.account_id, is_superuser=True)
    await alter(world, anna, root.account_id, is_superuser=False)
    with pytest.raises(SuperuserRequired):
        await flip(world, root)


async def test_the_last_superuser_stays(world: World) -> None:
    root = await world.superuser()
    with pytest.raises(LastSuperuser):
        await alter(world, root, root.account_id, is_superuser=False)
    with pytest.raises(LastSuperuser):
        await alter(world, root, root.account_id, is_active=False)
    await flip(world, root)


async def test_a_plan_change_is_told_with_the_new_values(world: World) -> None:
    root, anna = await world.superuser(), await world.caller()
    await alter(world, root, anna.account_id, plan="premium", is_beta=True)
    assert world.store.events[-1] == EntitlementsChanged(
        account_id=anna.account_id, plan="premium", is_beta=True, is_active=True
    )


async def test_disabling_an_account_ends_every_session(world: World) -> None:
    root = await world.superuser()
    tokens = [await world.log_in() for _ in range(2)]
    account = world.store.tx.sessions.rows[tokens[0].session_id].account_id
    await alter(world, root, account, is_active=False)
    for each in tokens:
        assert world.store.tx.sessions.rows[each.session_id].end_reason == "disabled"
        with pytest.raises(RefreshRejected):
            await world.refresh(each.refresh_token)
    with pytest.raises(BadCredentials):
        await world.log_in()


async def test_unknown_targets_are_named(world: World) -> None:
    root = await world.superuser()
    with pytest.raises(FlagNotFound):
        await flip(
            world, root, ChangeFlag(key="no", is_enabled=True, audience="beta", percentage=1)
        )
    with pytest.raises(AccountNotFound):
        await alter(world, root, "nobody", plan="premium")
    with pytest.raises(FlagNotFound):
        await get_flag(root, key="no", overrides_max=10, begin=world.store.begin, clock=world.clock)


async def test_the_first_superuser_is_made_at_the_command_line(world: World) -> None:
    account = await make_admin(
        "anna@example.org", begin=world.store.begin, clock=world.clock, new_id=world.new_id
    )
    assert account.is_superuser
    [entry] = world.store.tx.audit.rows
    assert entry.actor_id is None
    with pytest.raises(AccountNotFound):
        await make_admin(
            "no@example.org", begin=world.store.begin, clock=world.clock, new_id=world.new_id
        )
