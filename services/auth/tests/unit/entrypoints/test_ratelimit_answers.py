"""What Envoy and clients read from a verdict."""

from __future__ import annotations

import json

import http_sf
import pytest

from services.auth.tests.fakes import FakeRateStates, FixedPolicies
from tonearm_auth.domain.gcra import Pace
from tonearm_auth.domain.ratelimit import RatePolicy
from tonearm_auth.entrypoints.grpc_ratelimit import RateLimitServicer
from tonearm_auth.usecases.check_rate import check_rate
from tonearm_contracts.rpc.envoy.ratelimit.v3 import rls_pb2
from tonearm_kit.testing.clock import FixedClock

OK, OVER = rls_pb2.RateLimitResponse.OK, rls_pb2.RateLimitResponse.OVER_LIMIT


def policy(
    name: str,
    *,
    quota: int,
    window_s: int = 60,
    route: str | None = None,
    bearer: bool | None = None,
    is_shadow: bool = False,
    is_advertised: bool = True,
) -> RatePolicy:
    return RatePolicy(
        name=name,
        subject="remote_address",
        route=route,
        bearer=bearer,
        pace=Pace(quota=quota, window_s=window_s, burst=quota),
        is_shadow=is_shadow,
        is_advertised=is_advertised,
    )


POLICIES = FixedPolicies(
    policy("minute", quota=60, bearer=False),
    policy("hour", quota=1000, window_s=3600, bearer=False),
    policy("login", quota=2, route="login"),
    policy("shield", quota=3, bearer=True, is_advertised=False),
    policy("watch", quota=1, is_shadow=True),
)


class Limiter:
    def __init__(self) -> None:
        self.clock = FixedClock()
        self._states = FakeRateStates(self.clock)

    async def ask(
        self, *descriptors: dict[str, str], domain: str = "tonearm", hits: int = 0
    ) -> rls_pb2.RateLimitResponse:
        async def check(known: list[dict[str, str]], *, hits: int) -> object:
            return await check_rate(known, hits=hits, policies=POLICIES, states=self._states)

        request = rls_pb2.RateLimitRequest(domain=domain, hits_addend=hits)
        for descriptor in descriptors:
            added = request.descriptors.add()
            for key, value in descriptor.items():
                added.entries.add(key=key, value=value)
        servicer = RateLimitServicer(check, ended_sessions={"dead"})  # type: ignore[arg-type]
        return await servicer.ShouldRateLimit(request, None)


def headers_of(response: rls_pb2.RateLimitResponse) -> dict[str, str]:
    return {header.key: header.value for header in response.response_headers_to_add}


@pytest.fixture
def limiter() -> Limiter:
    return Limiter()


ADDRESS = {"remote_address": "203.0.113.9"}


async def test_headers_follow_the_draft(limiter: Limiter) -> None:
    response = await limiter.ask(ADDRESS)
    told = headers_of(response)
    assert set(told) == {"ratelimit", "ratelimit-policy"}
    policies = http_sf.parse(told["ratelimit-policy"].encode(), tltype="list")
    limits = http_sf.parse(told["ratelimit"].encode(), tltype="list")
    assert policies == [("minute", {"q": 60, "w": 60}), ("hour", {"q": 1000, "w": 3600})]
    assert limits == [("minute", {"r": 59, "t": 1}), ("hour", {"r": 999, "t": 4})]
    assert "203.0.113" not in str(response)


async def test_a_status_for_every_descriptor_in_order(limiter: Limiter) -> None:
    response = await limiter.ask({"something": "else"}, {**ADDRESS, "route": "login"}, ADDRESS)
    assert [status.code for status in response.statuses] == [OK, OK, OK]
    assert [status.current_limit.name for status in response.statuses] == ["", "login", "minute"]
    assert [status.limit_remaining for status in response.statuses] == [0, 1, 59]
    assert response.statuses[1].current_limit.requests_per_unit == 2
    assert response.statuses[1].current_limit.unit == rls_pb2.RateLimitResponse.RateLimit.MINUTE


async def test_a_refusal_is_a_problem_with_the_policies_named(limiter: Limiter) -> None:
    for _ in range(2):
        assert (await limiter.ask({**ADDRESS, "route": "login"})).overall_code == OK
    response = await limiter.ask({**ADDRESS, "route": "login"})
    assert response.overall_code == OVER
    told = headers_of(response)
    assert told["content-type"] == "application/problem+json"
    assert told["cache-control"] == "no-store"
    problem = json.loads(response.raw_body)
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (problem["status"], problem["violated-policies"]) == (429, ["login"])
    limits = http_sf.parse(told["ratelimit"].encode(), tltype="list")
    assert isinstance(limits, list)
    assert ("login", {"r": 0, "t": 30}) in limits
    assert int(told["retry-after"]) >= 30
    limiter.clock.advance(int(told["retry-after"]))
    assert (await limiter.ask({**ADDRESS, "route": "login"})).overall_code == OK


async def test_a_shield_is_silent_until_it_refuses(limiter: Limiter) -> None:
    for _ in range(3):
        response = await limiter.ask({**ADDRESS, "bearer": "true"})
        assert response.overall_code == OK
        assert headers_of(response) == {}
        assert not response.statuses[0].HasField("current_limit")
    response = await limiter.ask({**ADDRESS, "bearer": "true"})
    assert response.overall_code == OVER
    assert json.loads(response.raw_body)["violated-policies"] == ["shield"]
    assert (await limiter.ask(ADDRESS)).overall_code == OK


async def test_shadow_policies_are_neither_shown_nor_enforced(limiter: Limiter) -> None:
    for _ in range(3):
        response = await limiter.ask(ADDRESS)
        assert response.overall_code == OK
        assert "watch" not in str(response)


async def test_hits_are_added_up(limiter: Limiter) -> None:
    response = await limiter.ask(ADDRESS, hits=10)
    assert response.statuses[0].limit_remaining == 50


async def test_an_ended_session_is_marked_and_costs_nothing(limiter: Limiter) -> None:
    dead = await limiter.ask({**ADDRESS, "session": "dead"}, hits=50)
    assert (dead.overall_code, dead.dynamic_metadata["session"]) == (OK, "ended")
    assert headers_of(dead) == {}
    alive = await limiter.ask({**ADDRESS, "session": "alive"})
    assert not alive.dynamic_metadata.fields
    assert alive.statuses[0].limit_remaining == 59


async def test_other_domains_are_let_pass(limiter: Limiter) -> None:
    for _ in range(5):
        response = await limiter.ask({**ADDRESS, "route": "login"}, domain="other")
        assert (response.overall_code, len(response.statuses)) == (OK, 1)
