"""What auth counts, beside what every door counts. Names and attributes are promises."""

from __future__ import annotations

from tonearm_kit import telemetry

_meter = telemetry.meter(__name__)

RATE_DECISIONS = _meter.create_counter(
    "tonearm.rate_limit.decisions",
    unit="{decision}",
    description="Answers of policies. Attributes: `policy`; `outcome`: allowed, refused, shadowed.",
)
LOGINS = _meter.create_counter(
    "tonearm.auth.logins",
    unit="{attempt}",
    description="Attempts to log in. Attribute `outcome`: ok, or the code of the refusal.",
)
REFRESHES = _meter.create_counter(
    "tonearm.auth.refreshes",
    unit="{attempt}",
    description="Attempts to refresh. Attribute `outcome`: ok, refused, reused.",
)
EVALUATIONS = _meter.create_counter(
    "tonearm.flags.evaluations",
    unit="{evaluation}",
    description="Single flags told. Attributes: `feature_flag.key`, `feature_flag.result.reason`.",
)
