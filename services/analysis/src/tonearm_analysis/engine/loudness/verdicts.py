"""Delivery profiles: what platforms and broadcasters ask of loudness and true peak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryProfile:
    """A target. `louder_is_fine`: the platform turns louder material down by itself."""

    name: str
    target_lufs: float
    tolerance_lu: float
    true_peak_dbtp_max: float
    louder_is_fine: bool


PROFILES: tuple[DeliveryProfile, ...] = (
    DeliveryProfile(
        name="streaming_14",
        target_lufs=-14,
        tolerance_lu=1,
        true_peak_dbtp_max=-1,
        louder_is_fine=True,
    ),
    DeliveryProfile(
        name="streaming_16",
        target_lufs=-16,
        tolerance_lu=1,
        true_peak_dbtp_max=-1,
        louder_is_fine=True,
    ),
    DeliveryProfile(
        name="broadcast_ebu_r128",
        target_lufs=-23,
        tolerance_lu=0.5,
        true_peak_dbtp_max=-1,
        louder_is_fine=False,
    ),
    DeliveryProfile(
        name="broadcast_atsc_a85",
        target_lufs=-24,
        tolerance_lu=2,
        true_peak_dbtp_max=-2,
        louder_is_fine=False,
    ),
    DeliveryProfile(
        name="podcast_16",
        target_lufs=-16,
        tolerance_lu=1,
        true_peak_dbtp_max=-1,
        louder_is_fine=False,
    ),
)
"""-14: Spotify, YouTube, Tidal, Amazon Music; -16: Apple Music; podcasts as Apple advises."""


def verdict(
    profile: DeliveryProfile, *, integrated_lufs: float, true_peak_dbtp: float | None
) -> dict[str, Any]:
    """Return the `Verdict` of one profile."""
    gain_db = profile.target_lufs - integrated_lufs
    reasons = []
    if gain_db > profile.tolerance_lu:
        reasons.append(f"{gain_db:.1f} LU too quiet")
    if -gain_db > profile.tolerance_lu and not profile.louder_is_fine:
        reasons.append(f"{-gain_db:.1f} LU too loud")
    if true_peak_dbtp is not None and true_peak_dbtp > profile.true_peak_dbtp_max:
        over_db = true_peak_dbtp - profile.true_peak_dbtp_max
        reasons.append(
            f"true peak {over_db:.1f} dB over the {profile.true_peak_dbtp_max:g} dBTP ceiling"
        )
    return {
        "profile": profile.name,
        "passes": not reasons,
        "target_lufs": profile.target_lufs,
        "gain_db": gain_db,
        "true_peak_after_dbtp": None if true_peak_dbtp is None else true_peak_dbtp + gain_db,
        "reasons": reasons,
    }


def verdicts(
    *, integrated_lufs: float | None, true_peak_dbtp: float | None
) -> list[dict[str, Any]]:
    """Return the verdict of every profile; none for silence."""
    if integrated_lufs is None:
        return []
    return [
        verdict(profile, integrated_lufs=integrated_lufs, true_peak_dbtp=true_peak_dbtp)
        for profile in PROFILES
    ]
