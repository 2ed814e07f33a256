"""Registering, logging in, changing the password."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.auth.tests.unit.world import PASSWORD, RULES, World, never_throttled
from tonearm_auth.domain.errors import (
    BadCredentials,
    EmailInvalid,
    EmailTaken,
    PasswordRejected,
    SessionEnded,
)
from tonearm_auth.usecases.change_password import ChangePassword, change_password
from tonearm_contracts.events import AccountRegistered, SessionRevoked


@pytest.fixture
def world() -> World:
    return World()


async def test_registering_records_the_account_and_announces_it(world: World) -> None:
    account = await world.register("  Anna.Berg@EXAMPLE.org ")
    assert account.email == "anna.berg@example.org"
    assert (account.plan, account.is_active, account.is_superuser) == ("free", True, False)
    [event] = world.store.events
    assert isinstance(event, AccountRegistered)
    assert (event.account_id, event.email) == (account.id, account.email)


@pytest.mark.parametrize("second", ["anna@example.org", "ANNA@example.ORG", " anna@Example.org"])
async def test_an_address_has_one_account(world: World, second: str) -> None:
    await world.register("anna@example.org")
    with pytest.raises(EmailTaken):
        await world.register(second)
    assert len(world.store.tx.accounts.rows) == len(world.store.events) == 1


@pytest.mark.parametrize(
    "email", ["", "anna", "anna@", "@x.org", "a b@x.org", "a@b@c.org", "x" * 260]
)
async def test_what_is_no_address_is_refused(world: World, email: str) -> None:
    with pytest.raises(EmailInvalid):
        await world.register(email)


async def test_a_refused_password_leaves_no_trace(world: World) -> None:
    with pytest.raises(PasswordRejected):
        await world.register(password="password1")
    assert world.store.tx.accounts.rows == {}
    assert world.passwords.work == []


async def test_a_taken_address_costs_as_much_as_a_free_one(world: World) -> None:
    await world.register()
    first = list(world.passwords.work)
    with pytest.raises(EmailTaken):
        await world.register()
    assert world.passwords.work == first * 2


async def test_logging_in_opens_a_session_of_its_own_each_time(world: World) -> None:
    account = await world.register()
    one, two = await world.log_in(), await world.log_in("ANNA@example.org")
    assert one.session_id != two.session_id
    assert one.refresh_token != two.refresh_token
    assert (await world.store.tx.accounts.find(account.id)) == replace(
        account, last_login_at=world.now
    )


async def test_only_hashes_of_refresh_tokens_are_kept(world: World) -> None:
    await world.register()
    tokens = await world.log_in()
    kept = repr(vars(world.store.tx.sessions)).encode()
    assert tokens.refresh_token.encode() not in kept


async def test_refusals_of_a_login_cannot_be_told_apart(world: World) -> None:
    account = await world.register()
    await world.register("gone@example.org")
    gone = await world.store.tx.accounts.find_by_email("gone@example.org")
    assert gone is not None
    await world.store.tx.accounts.save(replace(gone, is_active=False))
    told, costs = [], []
    for email, password in [
        (account.email, "wrong horse battery"),
        ("nobody@example.org", PASSWORD),
        ("gone@example.org", PASSWORD),
        ("not an address", PASSWORD),
    ]:
        world.passwords.work.clear()
        with pytest.raises(BadCredentials) as refused:
            await world.log_in(email, password=password)
        told.append((refused.value.detail, dict(refused.value.members)))
        costs.append(list(world.passwords.work))
    assert told.count(told[0]) == 4
    assert costs == [["verify"]] * 4


async def test_a_weak_hash_is_replaced_at_the_next_login(world: World) -> None:
    account = await world.register()
    world.passwords.parameters = "v2"
    await world.log_in()
    stored = await world.store.tx.accounts.find(account.id)
    assert stored is not None
    assert stored.password_hash.startswith("v2$")
    world.passwords.work.clear()
    await world.log_in()
    assert world.passwords.work == ["verify"]


async def test_over_the_limit_the_oldest_session_ends(world: World) -> None:
    world.sessions_max = 2
    await world.register()
    first = await world.log_in()
    world.clock.advance(1)
    for _ in range(2):
        await world.log_in()
        world.clock.advance(1)
    ended = world.store.tx.sessions.rows[first.session_id]
    assert ended.end_reason == "by_user"
    assert [e.session_id for e in world.store.events if isinstance(e, SessionRevoked)] == [
        first.session_id
    ]


async def test_a_new_password_ends_the_other_sessions_only(world: World) -> None:
    await world.register()
    other, mine = await world.caller(), await world.caller()
    await change_password(
        mine,
        ChangePassword(
            current_password=PASSWORD, new_password="another fine phrase", end_other_sessions=True
        ),
        begin=world.store.begin,
        passwords=world.passwords,
        throttle=never_throttled,
        rules=RULES,
        clock=world.clock,
    )
    rows = world.store.tx.sessions.rows
    assert rows[mine.session_id].is_live(world.now)
    assert rows[other.session_id].end_reason == "password_changed"
    with pytest.raises(BadCredentials):
        await world.log_in()
    await world.log_in(password="another fine phrase")


async def test_changing_the_password_needs_the_old_one(world: World) -> None:
    await world.register()
    mine = await world.caller()
    with pytest.raises(BadCredentials):
        await change_password(
            mine,
            ChangePassword(
                current_password="guess guess",
                new_password="another fine phrase",
                end_other_sessions=True,
            ),
            begin=world.store.begin,
            passwords=world.passwords,
            throttle=never_throttled,
            rules=RULES,
            clock=world.clock,
        )


async def test_a_dead_session_cannot_change_the_password(world: World) -> None:
    await world.register()
    mine = await world.caller()
    world.clock.advance(1000)
    with pytest.raises(SessionEnded):
        await change_password(
            mine,
            ChangePassword(
                current_password=PASSWORD,
                new_password="another fine phrase",
                end_other_sessions=True,
            ),
            begin=world.store.begin,
            passwords=world.passwords,
            throttle=never_throttled,
            rules=RULES,
            clock=world.clock,
        )
