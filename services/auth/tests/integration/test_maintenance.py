"""What time does: keys roll over, reservations and sessions expire, rates are forgotten."""

from __future__ import annotations

import pytest

from services.auth.tests.conformance import RateStatesConformance, account, session
from services.auth.tests.integration.conftest import client_of
from tonearm_auth.bootstrap import Parts, open_parts
from tonearm_auth.bootstrap.parts import maintain
from tonearm_auth.domain.errors import KeyEncryptionFailed
from tonearm_auth.domain.quota import Amounts
from tonearm_auth.settings import Settings
from tonearm_auth.usecases.reserve_quota import Reserve, quote, reserve
from tonearm_kit.testing.clock import FixedClock

pytestmark = pytest.mark.integration


async def kids(parts: Parts) -> list[str]:
    async with client_of(parts) as http:
        keys = (await http.get("/.well-known/jwks.json")).json()["keys"]
    return [key["kid"] for key in keys]


async def test_keys_roll_over_without_a_gap(timed: Parts, fixed_clock: FixedClock) -> None:
    settings = timed.settings
    [first] = await kids(timed)
    fixed_clock.advance(settings.signing_key_lifetime_s - settings.signing_key_lead_s)
    await maintain(timed)
    [still, second] = await kids(timed)
    assert still == first
    token = timed.ring.sign(account(), session_id="s", now=fixed_clock.now())
    fixed_clock.advance(settings.signing_key_lead_s)
    await maintain(timed)
    assert await kids(timed) == [first, second]
    assert timed.ring.sign(account(), session_id="s", now=fixed_clock.now()) != token
    fixed_clock.advance(settings.access_token_lifetime_s + settings.token_leeway_s)
    await maintain(timed)
    assert await kids(timed) == [second]


async def test_keys_cannot_be_opened_with_another_master_key(
    timed: Parts, settings: Settings
) -> None:
    other = settings.model_copy(update={"key_encryption_key": None})
    other = Settings(
        **{
            **{name: getattr(other, name) for name in ("database_url", "database_schema")},
            "key_encryption_key": "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=",
        }
    )
    with pytest.raises(KeyEncryptionFailed):
        async with open_parts(other, clock=timed.clock):
            raise AssertionError("opened")


async def test_what_has_expired_is_swept(timed: Parts, fixed_clock: FixedClock) -> None:
    async with timed.begin() as tx:
        await tx.accounts.add(account())
        await tx.sessions.add(session("s", at=fixed_clock.now()), token_hash=b"1" * 32)
    await reserve(
        Reserve(
            account_id="id-anna",
            idempotency_key="k",
            amounts=Amounts(stored_bytes=10),
            ttl_s=60,
        ),
        begin=timed.begin,
        clock=timed.clock,
        new_id=timed.new_id,
    )
    await timed.rates.take([RateStatesConformance.charge("x")], hits=5)
    fixed_clock.advance(59)
    await maintain(timed)
    assert (await quote("id-anna", begin=timed.begin, clock=timed.clock)).used.stored_bytes == 10
    fixed_clock.advance(24 * 3600 + 100)
    await maintain(timed)
    assert (await quote("id-anna", begin=timed.begin, clock=timed.clock)).used == Amounts()
    async with timed.db.acquire() as conn:
        for table in ("sessions", "refresh_tokens", "rate_states"):
            assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
