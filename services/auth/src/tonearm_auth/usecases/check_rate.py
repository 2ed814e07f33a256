"""Say whether a request may pass, for the gateway and for log-in attempts."""

from __future__ import annotations

from collections.abc import Sequence

from tonearm_auth.domain.errors import TooManyLogins
from tonearm_auth.domain.ratelimit import Descriptor, RateVerdict, charges_for
from tonearm_auth.usecases.ports import RatePolicies, RateStates

LOGIN_SUBJECT = "login_email"
"""Descriptor key of the pace of attempts on one account, whatever address they come from."""


async def check_rate(
    descriptors: Sequence[Descriptor],
    *,
    hits: int,
    policies: RatePolicies,
    states: RateStates,
) -> RateVerdict:
    """Charge a request to every policy that its descriptors fall under."""
    charges = charges_for(policies.all(), descriptors=descriptors)
    if not charges:
        return RateVerdict(charged=())
    return await states.take(charges, hits=hits)


async def throttle_login(email: str, *, policies: RatePolicies, states: RateStates) -> None:
    """Count an attempt to log in; raise `TooManyLogins` when there were too many lately.

    It counts for unknown addresses too, so it does not tell which ones exist.
    """
    descriptor = {LOGIN_SUBJECT: email.casefold()}
    verdict = await check_rate([descriptor], hits=1, policies=policies, states=states)
    if not verdict.is_allowed:
        raise TooManyLogins(retry_after_s=max(1, round(verdict.retry_s)))
