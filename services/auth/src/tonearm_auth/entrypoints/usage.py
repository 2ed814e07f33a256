"""How a plan's limits and their use are told, over HTTP and gRPC alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tonearm_auth.usecases.reserve_quota import QuotaStanding


@dataclass(frozen=True, slots=True)
class UsageLine:
    """One limit. `resets_at` is None for what never begins anew."""

    name: str
    limit: float
    used: float
    resets_at: datetime | None


def to_lines(standing: QuotaStanding) -> list[UsageLine]:
    """Return every limit of the plan; seconds for audio, counts and bytes for the rest."""
    used, periods, limits = standing.used, standing.periods, standing.limits
    return [
        UsageLine(
            "uploads_per_day",
            limits.get("uploads_per_day", 0),
            used.uploads,
            periods.day_ends_at(),
        ),
        UsageLine("stored_bytes", limits.get("stored_bytes", 0), used.stored_bytes, None),
        UsageLine(
            "analysed_audio_s_per_month",
            limits.get("analysed_audio_s_per_month", 0),
            used.analysed_audio_ms / 1000,
            periods.month_ends_at(),
        ),
        UsageLine("file_bytes", limits.get("file_bytes", 0), 0, None),
    ]
