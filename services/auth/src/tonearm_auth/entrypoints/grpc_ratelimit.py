"""Envoy's rate limit service: what the gateway asks before it lets a request in."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from functools import partial

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from tonearm_auth.domain.ratelimit import Charged, Descriptor, RatePolicy, RateVerdict
from tonearm_auth.entrypoints import measures
from tonearm_contracts.rpc.envoy.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from tonearm_kit.logs import get_logger

DOMAIN = "tonearm"
HEALTH_NAME = "envoy.service.ratelimit.v3.RateLimitService"
_PROBLEM = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_UNITS: Mapping[int, rls_pb2.RateLimitResponse.RateLimit.Unit.ValueType] = {
    1: rls_pb2.RateLimitResponse.RateLimit.SECOND,
    60: rls_pb2.RateLimitResponse.RateLimit.MINUTE,
    3600: rls_pb2.RateLimitResponse.RateLimit.HOUR,
    86400: rls_pb2.RateLimitResponse.RateLimit.DAY,
}

CheckRate = Callable[..., Awaitable[RateVerdict]]
"""`check_rate(descriptors, *, hits)`."""

log = get_logger(__name__)


class RateLimitServicer(rls_pb2_grpc.RateLimitServiceServicer):
    """Translates between Envoy's words and `check_rate`.

    A request whose descriptor names an ended session is not counted but marked in the dynamic
    metadata, for the gateway to refuse: that way an ended session opens no service any more,
    though its access tokens look good.
    """

    def __init__(self, check: CheckRate, *, ended_sessions: Container[str]) -> None:
        self._check, self._ended_sessions = check, ended_sessions

    async def ShouldRateLimit(
        self, request: rls_pb2.RateLimitRequest, context: object
    ) -> rls_pb2.RateLimitResponse:
        """Answer for all descriptors of one request; any refusal refuses it."""
        descriptors = [
            {entry.key: entry.value for entry in descriptor.entries}
            for descriptor in request.descriptors
        ]
        if request.domain != DOMAIN:
            return rls_pb2.RateLimitResponse(
                overall_code=rls_pb2.RateLimitResponse.OK,
                statuses=[_status(descriptor, ()) for descriptor in descriptors],
            )
        if any(each.get("session") in self._ended_sessions for each in descriptors):
            return _ended(descriptors)
        verdict = await self._check(descriptors, hits=max(1, request.hits_addend))
        _observe(verdict)
        return to_response(verdict, descriptors=descriptors)


def register(servicer: RateLimitServicer) -> Callable[[grpc.aio.Server], None]:
    """Return what adds the servicer to a server."""
    return partial(rls_pb2_grpc.add_RateLimitServiceServicer_to_server, servicer)


def to_response(
    verdict: RateVerdict, *, descriptors: Sequence[Descriptor]
) -> rls_pb2.RateLimitResponse:
    """Return the protocol's answer, with the headers and the body that clients will see."""
    headers = to_headers(verdict)
    response = rls_pb2.RateLimitResponse(
        overall_code=rls_pb2.RateLimitResponse.OK
        if verdict.is_allowed
        else rls_pb2.RateLimitResponse.OVER_LIMIT,
        statuses=[_status(each, verdict.charged) for each in descriptors],
        response_headers_to_add=[
            rls_pb2.HeaderValue(key=name, value=value) for name, value in headers.items()
        ],
    )
    if not verdict.is_allowed:
        response.raw_body = _problem(verdict)
        # For gateways that write the body themselves.
        response.dynamic_metadata.update({"violated-policies": _names(verdict)})
    return response


def _ended(descriptors: Sequence[Descriptor]) -> rls_pb2.RateLimitResponse:
    response = rls_pb2.RateLimitResponse(
        overall_code=rls_pb2.RateLimitResponse.OK,
        statuses=[_status(descriptor, ()) for descriptor in descriptors],
    )
    response.dynamic_metadata.update({"session": "ended"})
    return response


def to_headers(verdict: RateVerdict) -> dict[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers-10; legacy ones are Envoy's.

    Several lines of either header, from the check by address and by account, add up to one
    list. `Retry-After` is never earlier than the policies allow.
    """
    if not verdict.advertised:
        return {}
    headers = {
        "ratelimit-policy": ", ".join(
            f'"{each.policy.name}";q={each.policy.pace.quota};w={each.policy.pace.window_s}'
            for each in verdict.advertised
        ),
        "ratelimit": ", ".join(
            f'"{each.policy.name}";r={each.cell.remaining};t={_reset_s(each)}'
            for each in verdict.advertised
        ),
    }
    if not verdict.is_allowed:
        headers["retry-after"] = str(_retry_s(verdict))
        headers["content-type"] = "application/problem+json"
        headers["cache-control"] = "no-store"
    return headers


def _reset_s(charged: Charged) -> int:
    """Return the seconds until more is there: for a refusal, until the request may come again."""
    seconds = charged.cell.reset_s if charged.cell.is_allowed else charged.cell.retry_s
    return math.ceil(seconds)


def _retry_s(verdict: RateVerdict) -> int:
    return max(1, math.ceil(verdict.retry_s))


def _names(verdict: RateVerdict) -> list[str]:
    return [each.policy.name for each in verdict.violated]


def _problem(verdict: RateVerdict) -> bytes:
    return json.dumps(
        {
            "type": _PROBLEM,
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": 429,
            "detail": f"Too many requests; try again in {_retry_s(verdict)} s.",
            "code": "quota-exceeded",
            "violated-policies": _names(verdict),
            "retry_after_s": _retry_s(verdict),
        }
    ).encode()


def _status(
    descriptor: Descriptor, charged: Sequence[Charged]
) -> rls_pb2.RateLimitResponse.DescriptorStatus:
    """Return the answer for one descriptor: that of the tightest policy it speaks of."""
    own = [each for each in charged if _speaks_of(descriptor, each.policy)]
    verdict = RateVerdict(charged=tuple(own))
    status = rls_pb2.RateLimitResponse.DescriptorStatus(
        code=rls_pb2.RateLimitResponse.OK
        if verdict.is_allowed
        else rls_pb2.RateLimitResponse.OVER_LIMIT
    )
    tightest = verdict.tightest()
    if tightest is None:
        return status
    pace = tightest.policy.pace
    status.limit_remaining = tightest.cell.remaining
    status.duration_until_reset.CopyFrom(Duration(seconds=_reset_s(tightest)))
    if pace.window_s in _UNITS:
        status.current_limit.CopyFrom(
            rls_pb2.RateLimitResponse.RateLimit(
                requests_per_unit=pace.quota,
                unit=_UNITS[pace.window_s],
                name=tightest.policy.name,
            )
        )
    return status


def _speaks_of(descriptor: Descriptor, policy: RatePolicy) -> bool:
    """Return whether a policy may be answered in this descriptor: its subject and route are."""
    return policy.subject in descriptor and policy.route in (None, descriptor.get("route"))


def _observe(verdict: RateVerdict) -> None:
    for each in verdict.charged:
        outcome = "refused" if each.is_refusal else "allowed"
        if not each.cell.is_allowed and each.policy.is_shadow:
            outcome = "shadowed"
        measures.RATE_DECISIONS.add(1, {"policy": each.policy.name, "outcome": outcome})
        if outcome != "allowed":
            log.info(
                "over the limit",
                policy=each.policy.name,
                shadow=each.policy.is_shadow,
                retry_s=round(each.cell.retry_s, 3),
            )
