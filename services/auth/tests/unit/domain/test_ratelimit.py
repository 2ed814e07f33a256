"""Which policies a request falls under, and what they answer together."""

from __future__ import annotations

import pytest

from tonearm_auth.domain.gcra import MICROS, Pace
from tonearm_auth.domain.ratelimit import Descriptor, RatePolicy, charges_for, judge

NOW = 1_800_000_000 * MICROS


def policy(
    name: str,
    *,
    subject: str = "remote_address",
    route: str | None = None,
    bearer: bool | None = None,
    quota: int = 60,
    is_shadow: bool = False,
) -> RatePolicy:
    return RatePolicy(
        name=name,
        subject=subject,
        route=route,
        bearer=bearer,
        pace=Pace(quota=quota, window_s=60, burst=quota),
        is_shadow=is_shadow,
        is_advertised=True,
    )


POLICIES = (
    policy("anonymous", bearer=False),
    policy("shield", bearer=True, quota=600),
    policy("login", route="login", quota=10),
    policy("account", subject="account"),
    policy("upload", subject="account", route="upload", quota=20),
)


@pytest.mark.parametrize(
    ("descriptors", "names"),
    [
        ([{"remote_address": "1.2.3.4"}], ["anonymous"]),
        ([{"remote_address": "1.2.3.4", "anonymous": "true"}], ["anonymous"]),
        ([{"remote_address": "1.2.3.4", "bearer": "true"}], ["shield"]),
        ([{"remote_address": "1.2.3.4", "route": "login"}], ["anonymous", "login"]),
        (
            [{"remote_address": "1.2.3.4", "route": "login"}, {"remote_address": "1.2.3.4"}],
            ["anonymous", "login"],
        ),
        (
            [
                {"remote_address": "1.2.3.4", "route": "login"},
                {"remote_address": "1.2.3.4", "bearer": "true"},
            ],
            ["shield", "login"],
        ),
        ([{"account": "a1", "route": "upload"}], ["account", "upload"]),
        ([{"account": "a1", "route": "other"}], ["account"]),
        ([{"something": "else"}], []),
        ([], []),
    ],
)
def test_a_request_is_charged_once_per_policy_that_applies(
    descriptors: list[Descriptor], names: list[str]
) -> None:
    charges = charges_for(POLICIES, descriptors=descriptors)
    assert [charge.policy.name for charge in charges] == names


def test_keys_tell_policies_and_subjects_apart_and_hide_them() -> None:
    seen = {
        charge.key
        for address in ("1.2.3.4", "1.2.3.5")
        for charge in charges_for(
            POLICIES, descriptors=[{"remote_address": address, "route": "login"}]
        )
    }
    assert len(seen) == 4
    assert all(len(key) == 16 and b"1.2.3" not in key for key in seen)


def test_a_refusal_by_one_is_charged_to_none() -> None:
    charges = charges_for(POLICIES, descriptors=[{"remote_address": "x", "route": "login"}])
    tats: dict[bytes, int] = {}
    for _ in range(10):
        verdict, stored = judge(charges, tats_us=tats, hits=1, now_us=NOW)
        assert verdict.is_allowed
        tats |= stored
    refused, stored = judge(charges, tats_us=tats, hits=1, now_us=NOW)
    assert not refused.is_allowed
    assert stored == {}
    assert [each.policy.name for each in refused.violated] == ["login"]
    assert [each.cell.remaining for each in refused.charged] == [50, 0]
    assert refused.retry_s == pytest.approx(6.0)


def test_a_shadow_policy_counts_but_never_refuses_nor_shows() -> None:
    charges = charges_for(
        [policy("quiet", quota=1, is_shadow=True), policy("loud", quota=5)],
        descriptors=[{"remote_address": "x"}],
    )
    tats: dict[bytes, int] = {}
    for _ in range(3):
        verdict, stored = judge(charges, tats_us=tats, hits=1, now_us=NOW)
        tats |= stored
    assert verdict.is_allowed
    assert [each.cell.is_allowed for each in verdict.charged] == [False, True]
    assert [each.policy.name for each in verdict.advertised] == ["loud"]


def test_the_tightest_answer_is_the_one_nearest_to_refusing() -> None:
    charges = charges_for(POLICIES, descriptors=[{"remote_address": "x", "route": "login"}])
    verdict, _ = judge(charges, tats_us={}, hits=1, now_us=NOW)
    tightest = verdict.tightest()
    assert tightest is not None
    assert tightest.policy.name == "login"
