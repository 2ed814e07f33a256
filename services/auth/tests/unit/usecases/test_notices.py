"""A superuser's word to everybody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.auth.tests.unit.world import World
from tonearm_auth.domain.errors import NoticePeriodInvalid, SuperuserRequired
from tonearm_auth.domain.notice import Notice
from tonearm_auth.usecases.announce_notice import AnnounceNotice, announce_notice
from tonearm_auth.usecases.caller import Caller
from tonearm_contracts.events import NoticeAnnounced


@pytest.fixture
async def world() -> World:
    made = World()
    await made.register()
    return made


async def announce(world: World, caller: Caller, **about: Any) -> Notice:
    cmd = AnnounceNotice(
        **{"kind": "maintenance", "message": "Back soon.", "starts_at": None, "ends_at": None}
        | about
    )
    return await announce_notice(
        caller, cmd, begin=world.store.begin, clock=world.clock, new_id=world.new_id
    )


async def test_a_notice_is_one_event_and_one_audit_row(world: World) -> None:
    root = await world.superuser()
    ends_at = world.now + timedelta(minutes=10)
    notice = await announce(world, root, starts_at=world.now, ends_at=ends_at)
    assert world.store.events[-1] == NoticeAnnounced(
        notice_id=notice.id,
        kind="maintenance",
        message="Back soon.",
        starts_at=world.now,
        ends_at=ends_at,
    )
    [entry] = world.store.tx.audit.rows
    assert (entry.action, entry.target, entry.actor_id) == (
        "notice.announced",
        notice.id,
        root.account_id,
    )
    assert entry.after is not None
    assert entry.after["message"] == "Back soon."


async def test_an_end_before_the_beginning_is_refused(world: World) -> None:
    root = await world.superuser()
    with pytest.raises(NoticePeriodInvalid):
        await announce(world, root, starts_at=world.now, ends_at=world.now)
    assert world.store.tx.audit.rows == []


async def test_nobody_else_speaks_to_everybody(world: World) -> None:
    anna = await world.caller()
    with pytest.raises(SuperuserRequired):
        await announce(world, anna)
    assert "NoticeAnnounced" not in world.event_types()
