"""What every store must do, in memory or in Postgres: one class per port, run on both."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tonearm_auth.domain.account import Account
from tonearm_auth.domain.errors import EmailTaken
from tonearm_auth.domain.gcra import MICROS, Pace
from tonearm_auth.domain.quota import Amounts, Periods, Reservation
from tonearm_auth.domain.ratelimit import Charge, RatePolicy, judge
from tonearm_auth.domain.session import Client, Session, SessionTerms
from tonearm_auth.domain.signing import KeyTimes
from tonearm_auth.usecases.ports import AuditEntry, Begin, RateStates, StoredKey
from tonearm_contracts.events import FlagChanged
from tonearm_kit.testing.clock import START, FixedClock

TERMS = SessionTerms(idle_s=100, absolute_s=1000, grace_s=10)


def account(name: str = "anna", *, is_superuser: bool = False) -> Account:
    made = Account.register(
        f"id-{name}",
        email=f"{name}@example.org",
        password_hash="$argon2id$",
        full_name=None,
        now=START,
    )
    return replace(made, is_superuser=is_superuser)


def session(key: str, *, owner: str = "id-anna", at: datetime = START) -> Session:
    client = Client(user_agent="agent", address="::1")
    return Session.start(key, account_id=owner, client=client, terms=TERMS, now=at)


def reservation(key: str, taken: Amounts, *, at: datetime = START) -> Reservation:
    return Reservation(
        id=f"r-{key}",
        account_id="id-anna",
        idempotency_key=key,
        asked=taken,
        taken=taken,
        periods=Periods.at(at),
        state="reserved",
        audio_id=None,
        is_deleted=False,
        expires_at=at + timedelta(seconds=100),
    )


class StoreConformance:
    """`Begin` and the stores of its transactions. Subclasses give the fixture `begin`."""

    async def test_what_fails_leaves_no_trace(self, begin: Begin) -> None:
        async def fail() -> None:
            async with begin() as tx:
                await tx.accounts.add(account())
                await tx.announce(FlagChanged(flag_key="x", account_id=None))
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await fail()
        async with begin() as tx:
            assert await tx.accounts.find("id-anna") is None

    async def test_accounts_round_trip_and_addresses_are_unique(self, begin: Begin) -> None:
        kept = replace(account(), full_name="Ünna", last_login_at=START, plan="premium")
        async with begin() as tx:
            await tx.accounts.add(account())
            await tx.accounts.save(kept)
        with pytest.raises(EmailTaken):
            async with begin() as tx:
                await tx.accounts.add(replace(account(), id="another"))
        async with begin() as tx:
            assert await tx.accounts.find("id-anna") == kept
            assert await tx.accounts.find_by_email("anna@example.org") == kept
            assert await tx.accounts.find_by_email("") is None
            assert await tx.accounts.lock("id-anna") == kept
            assert await tx.accounts.lock("nobody") is None

    async def test_accounts_are_paged_by_id_and_found_by_part(self, begin: Begin) -> None:
        async with begin() as tx:
            for name in ("cleo", "anna", "bert", "anne"):
                await tx.accounts.add(account(name, is_superuser=name == "bert"))
        async with begin() as tx:
            page = await tx.accounts.search(email_part=None, after_id=None, limit=2)
            rest = await tx.accounts.search(email_part=None, after_id=page[-1].id, limit=9)
            part = await tx.accounts.search(email_part="ANN", after_id=None, limit=9)
            odd = await tx.accounts.search(email_part="%", after_id=None, limit=9)
            assert [each.id for each in page] == ["id-anna", "id-anne"]
            assert [each.id for each in rest] == ["id-bert", "id-cleo"]
            assert [each.id for each in part] == ["id-anna", "id-anne"]
            assert odd == []
            assert await tx.accounts.lock_active_superusers() == ["id-bert"]

    async def test_sessions_live_newest_first(self, begin: Begin) -> None:
        async with begin() as tx:
            await tx.accounts.add(account())
            await tx.sessions.add(session("old"), token_hash=b"1" * 32)
            later = session("new", at=START + timedelta(seconds=5))
            await tx.sessions.add(later, token_hash=b"2" * 32)
            gone = session("gone").ended("logout", now=START)
            await tx.sessions.add(gone, token_hash=b"3" * 32)
        async with begin() as tx:
            live = await tx.sessions.live("id-anna", now=START + timedelta(seconds=6))
            assert [each.id for each in live] == ["new", "old"]
            assert live[0] == later
            idle = await tx.sessions.lock_live("id-anna", now=START + timedelta(seconds=100))
            assert [each.id for each in idle] == ["new"]
            assert (await tx.sessions.find("gone")) == gone

    async def test_refresh_tokens_know_their_generation(self, begin: Begin) -> None:
        at = START + timedelta(seconds=7)
        async with begin() as tx:
            await tx.accounts.add(account())
            await tx.sessions.add(session("s"), token_hash=b"1" * 32)
            rotated = session("s").rotated(terms=TERMS, now=at)
            await tx.sessions.supersede(rotated, old_hash=b"1" * 32, new_hash=b"2" * 32, at=at)
        async with begin() as tx:
            parent, child = (
                await tx.sessions.lock_by_token(b"1" * 32),
                await tx.sessions.lock_by_token(b"2" * 32),
            )
            assert parent is not None
            assert child is not None
            assert parent[0] == child[0] == rotated
            assert (parent[1].generation, parent[1].superseded_at) == (1, at)
            assert (child[1].generation, child[1].superseded_at) == (2, None)
            assert await tx.sessions.lock_by_token(b"3" * 32) is None

    async def test_expired_sessions_are_swept_with_their_tokens(self, begin: Begin) -> None:
        async with begin() as tx:
            await tx.accounts.add(account())
            for number in range(3):
                await tx.sessions.add(session(f"s{number}"), token_hash=bytes([number]) * 32)
        async with begin() as tx:
            assert await tx.sessions.sweep(before=START + timedelta(seconds=100), limit=9) == 0
            assert await tx.sessions.sweep(before=START + timedelta(seconds=101), limit=2) == 2
            assert await tx.sessions.sweep(before=START + timedelta(seconds=101), limit=2) == 1
            assert await tx.sessions.lock_by_token(bytes([0]) * 32) is None

    async def test_keys_round_trip_by_time(self, begin: Begin) -> None:
        keys = [
            StoredKey(
                times=KeyTimes(kid=f"k{n}", active_from=START + timedelta(seconds=n)),
                public_jwk={"kid": f"k{n}"},
                sealed_private_key=bytes([n]),
                created_at=START,
            )
            for n in (2, 1)
        ]
        async with begin() as tx:
            await tx.keys.lock()
            for key in keys:
                await tx.keys.add(key)
            assert await tx.keys.all() == keys[::-1]
            await tx.keys.delete(["k1", "unknown"])
            assert await tx.keys.all() == keys[:1]

    async def test_flags_show_whether_anybody_differs(self, begin: Begin) -> None:
        async with begin() as tx:
            await tx.accounts.add(account())
            flag = await tx.flags.lock("ai-moods")
            assert flag is not None
            assert not flag.has_overrides
            changed = flag.changed(is_enabled=False, audience="beta", percentage=7)
            await tx.flags.save(changed, at=START)
            for value in (False, True):
                await tx.flags.override("ai-moods", account_id="id-anna", value=value, at=START)
        async with begin() as tx:
            assert await tx.flags.find("ai-moods") == replace(changed, has_overrides=True)
            assert await tx.flags.overrides_for("id-anna") == {"ai-moods": True}
            assert await tx.flags.overrides_of("ai-moods", limit=5) == {"id-anna": True}
            assert [flag.key for flag in await tx.flags.all() if flag.has_overrides] == ["ai-moods"]
            await tx.flags.override("ai-moods", account_id="id-anna", value=None, at=START)
            assert await tx.flags.overrides_for("id-anna") == {}
            assert await tx.flags.find("unknown") is None

    async def test_audit_rows_come_newest_first(self, begin: Begin) -> None:
        rows = [
            AuditEntry(
                id=f"e{number}",
                at=START,
                actor_id=None if number else "id-anna",
                action="x",
                target="y",
                before=None,
                after={"n": number},
            )
            for number in range(3)
        ]
        async with begin() as tx:
            for row in rows:
                await tx.audit.add(row)
            assert await tx.audit.latest(before_id=None, limit=2) == [rows[2], rows[1]]
            assert await tx.audit.latest(before_id="e1", limit=2) == [rows[0]]

    async def test_ledgers_follow_every_change_of_a_reservation(self, begin: Begin) -> None:
        taken = Amounts(uploads=1, stored_bytes=10, analysed_audio_ms=100)
        tomorrow = START + timedelta(days=1)
        held = replace(reservation("a", taken), audio_id="audio")
        async with begin() as tx:
            await tx.accounts.add(account())
            await tx.quotas.add(held)
            await tx.quotas.add(reservation("b", taken, at=tomorrow))
            done = held.completed(analysed_audio_ms=70)
            await tx.quotas.save(done, was=held)
            await tx.quotas.save(done, was=done)
        async with begin() as tx:
            assert await tx.quotas.used("id-anna", periods=Periods.at(START)) == Amounts(
                uploads=1, stored_bytes=20, analysed_audio_ms=170
            )
            assert await tx.quotas.find("r-a") == done
            assert await tx.quotas.find_by_key("id-anna", idempotency_key="a") == done
            assert await tx.quotas.of_audio("id-anna", audio_id="audio") == [done]
            assert await tx.quotas.of_audio("another", audio_id="audio") == []
            assert await tx.quotas.account_of("r-a") == "id-anna"
            assert await tx.quotas.account_of("unknown") is None
            due = await tx.quotas.expired(now=tomorrow + timedelta(seconds=100), limit=9)
            assert due == [("id-anna", "r-b")]
            await tx.quotas.save(done.refunded(), was=done)
            used = await tx.quotas.used("id-anna", periods=Periods.at(tomorrow))
            assert used == taken
        async with begin() as tx:
            for audio_id, at in (("x", START), ("x", tomorrow), ("y", tomorrow)):
                await tx.quotas.mark_deleted(audio_id, at=at)
            await tx.quotas.forget_deleted(before=START + timedelta(seconds=1))
            assert [await tx.quotas.is_deleted(key) for key in ("x", "y")] == [False, True]

    async def test_the_free_plan_is_as_designed(self, begin: Begin) -> None:
        async with begin() as tx:
            assert await tx.quotas.limits("free") == {
                "uploads_per_day": 50,
                "stored_bytes": 2 * 1024**3,
                "analysed_audio_s_per_month": 10 * 3600,
                "file_bytes": 100 * 1024**2,
            }
            assert await tx.quotas.limits("unknown") == {}


class RateStatesConformance:
    """`RateStates`. Subclasses give the fixtures `states` and `fixed_clock`."""

    @staticmethod
    def charge(subject: str, *, quota: int = 5, is_shadow: bool = False) -> Charge:
        policy = RatePolicy(
            name=f"p{quota}{is_shadow}",
            subject="s",
            route=None,
            bearer=None,
            pace=Pace(quota=quota, window_s=60, burst=quota),
            is_shadow=is_shadow,
            is_advertised=True,
        )
        return Charge.of(policy, subject=subject)

    async def test_requests_at_once_are_charged_one_by_one(self, states: RateStates) -> None:
        charge = self.charge("x", quota=30)
        verdicts = await asyncio.gather(*(states.take([charge], hits=1) for _ in range(100)))
        allowed = [verdict for verdict in verdicts if verdict.is_allowed]
        assert len(allowed) == 30
        assert sorted(v.charged[0].cell.remaining for v in allowed) == list(range(30))

    async def test_a_refused_request_is_charged_nowhere(self, states: RateStates) -> None:
        tight, wide = self.charge("x", quota=2), self.charge("x", quota=50)
        for _ in range(10):
            await states.take([tight, wide], hits=1)
        verdict = await states.take([wide], hits=1)
        assert verdict.charged[0].cell.remaining == 47

    async def test_a_shadow_charge_is_counted_only_while_it_fits(self, states: RateStates) -> None:
        shadow = self.charge("x", quota=2, is_shadow=True)
        verdicts = [await states.take([shadow], hits=1) for _ in range(4)]
        assert all(verdict.is_allowed for verdict in verdicts)
        assert [v.charged[0].cell.is_allowed for v in verdicts] == [True, True, False, False]

    async def test_what_has_recovered_is_swept_and_the_rest_kept(
        self, states: RateStates, fixed_clock: FixedClock
    ) -> None:
        await states.take([self.charge("quick", quota=60)], hits=1)
        await states.take([self.charge("slow", quota=2)], hits=2)
        fixed_clock.advance(2)
        assert await states.sweep(limit=10) == 1
        verdict = await states.take([self.charge("slow", quota=2)], hits=1)
        assert not verdict.is_allowed

    async def test_every_answer_is_that_of_the_rule(
        self, states: RateStates, fixed_clock: FixedClock
    ) -> None:
        chance = random.Random(7)  # noqa: S311 - repeatable, not secret
        tats: dict[bytes, int] = {}
        pool = [
            self.charge(subject, quota=quota, is_shadow=is_shadow)
            for subject in ("a", "b")
            for quota, is_shadow in ((3, False), (7, False), (2, True))
        ]
        for _ in range(200):
            fixed_clock.advance(chance.choice([0, 0, 0.3, 2.0, 25.0]))
            charges = chance.sample(pool, k=chance.randint(1, 4))
            hits = chance.choice([1, 1, 1, 2])
            now = fixed_clock.now()
            now_us = int(now.timestamp()) * MICROS + now.microsecond
            expected, stored = judge(charges, tats_us=tats, hits=hits, now_us=now_us)
            tats |= stored
            assert await states.take(charges, hits=hits) == expected
