"""Which rate policies a request falls under, and the one answer they give together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tonearm_auth.domain.gcra import Cell, Pace, decide

Descriptor = Mapping[str, str]
"""What the gateway says of a request: `remote_address` or `account`, perhaps `route`, `bearer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """One row of the rate table."""

    name: str
    subject: str
    """Descriptor key whose value is counted: `remote_address`, `account`, ..."""
    route: str | None
    """Only requests of this route; None for every request."""
    bearer: bool | None
    """Only requests that carry (True) or lack (False) a token; None for both."""
    pace: Pace
    is_shadow: bool
    """Counted and reported in logs, never refused."""
    is_advertised: bool
    """Shown in response headers."""

    def applies_to(self, descriptor: Descriptor) -> bool:
        """Return whether a request with this descriptor counts against the policy."""
        return (
            self.subject in descriptor
            and (self.route is None or self.route == descriptor.get("route"))
            and (self.bearer is None or self.bearer == ("bearer" in descriptor))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A policy and the key that it is counted under for one request."""

    policy: RatePolicy
    key: bytes

    @classmethod
    def of(cls, policy: RatePolicy, *, subject: str) -> Charge:
        """Return the charge; the key is a hash, so addresses and ids are not kept."""
        text = f"{policy.name}\0{subject}".encode()
        return cls(policy=policy, key=hashlib.blake2b(text, digest_size=16).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """A policy with what it answered."""

    policy: RatePolicy
    cell: Cell

    @property
    def is_refusal(self) -> bool:
        """Whether the request must be refused because of this policy."""
        return not self.cell.is_allowed and not self.policy.is_shadow


@dataclass(frozen=True, slots=True, kw_only=True)
class RateVerdict:
    """All answers, in the order of the charges."""

    charged: tuple[Charged, ...]

    @property
    def is_allowed(self) -> bool:
        """Whether every policy that counts lets the request pass."""
        return not any(each.is_refusal for each in self.charged)

    @property
    def violated(self) -> tuple[Charged, ...]:
        """The policies that refuse."""
        return tuple(each for each in self.charged if each.is_refusal)

    @property
    def advertised(self) -> tuple[Charged, ...]:
        """What response headers speak of: refusals always, the rest as each policy says."""
        return tuple(
            each
            for each in self.charged
            if each.is_refusal or (each.policy.is_advertised and not each.policy.is_shadow)
        )

    @property
    def retry_s(self) -> float:
        """Seconds until every refusing policy would allow; 0 when allowed."""
        return max((each.cell.retry_s for each in self.violated), default=0.0)

    def tightest(self) -> Charged | None:
        """Return the advertised answer that is nearest to refusing, or None without any."""
        return min(
            self.advertised,
            key=lambda each: (not each.is_refusal, each.cell.remaining, -each.cell.reset_s),
            default=None,
        )


def charges_for(
    policies: Iterable[RatePolicy], *, descriptors: Sequence[Descriptor]
) -> tuple[Charge, ...]:
    """Return what a request is charged: each policy at most once.

    A gateway tells one request in several descriptors, each with some of what it knows; only
    together do they say which policies apply.
    """
    known: dict[str, str] = {}
    for descriptor in descriptors:
        for name, value in descriptor.items():
            known.setdefault(name, value)
    return tuple(
        Charge.of(policy, subject=known[policy.subject])
        for policy in policies
        if policy.applies_to(known)
    )


def judge(
    charges: Sequence[Charge], *, tats_us: Mapping[bytes, int], hits: int, now_us: int
) -> tuple[RateVerdict, dict[bytes, int]]:
    """Return the verdict and what to store.

    A refused request is charged nowhere: being refused by the minute costs nothing of the hour.
    """
    cells = [
        decide(charge.policy.pace, tat_us=tats_us.get(charge.key), hits=hits, now_us=now_us)
        for charge in charges
    ]
    verdict = RateVerdict(
        charged=tuple(
            Charged(policy=charge.policy, cell=cell)
            for charge, cell in zip(charges, cells, strict=True)
        )
    )
    if verdict.is_allowed:
        stored = {
            charge.key: cell.tat_us
            for charge, cell in zip(charges, cells, strict=True)
            if cell.is_allowed
        }
        return verdict, stored
    uncharged = tuple(
        each
        if not each.cell.is_allowed
        else Charged(
            policy=each.policy,
            cell=decide(each.policy.pace, tat_us=tats_us.get(charge.key), hits=0, now_us=now_us),
        )
        for charge, each in zip(charges, verdict.charged, strict=True)
    )
    return RateVerdict(charged=uncharged), {}
