"""A job: one request to analyse one recording, and what may still happen to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | Mapping[str, JsonValue] | None"
Status: TypeAlias = Literal["processing", "completed", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultKey:
    """What a result depends on, and nothing else: equal keys have equal results."""

    content_sha256: str
    engine_version: str
    parameters_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request. `attempts` counts how often a worker took it, this time included."""

    job_id: str
    audio_id: str
    account_id: str
    status: Status
    attempts: int
    key: ResultKey
    parameters: Mapping[str, JsonValue]
    quota_reservation_id: str | None
    requested_at: datetime
    failure_code: str | None = None
    failure_reason: str | None = None
    finished_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """True while the job may still end in a result or a failure."""
        return self.status == "processing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one stage of the engine found. `error` is set when it failed and the rest went on.

    `position` counts from 1 to `total`.
    """

    name: str
    position: int
    total: int
    duration_s: float
    result: Mapping[str, JsonValue]
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A whole result, ready to be stored.

    `complete` is False when a stage failed: the result is shown, and the next upload of the same
    bytes is analysed anew.
    """

    result_id: str
    result: Mapping[str, JsonValue]
    summary: Mapping[str, JsonValue]
    engine_duration_s: float
    complete: bool = True


def hash_parameters(parameters: Mapping[str, JsonValue]) -> str:
    """Return the hex SHA-256 of the canonical JSON of *parameters* (sorted keys, no spaces)."""
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def without_long_lists(
    value: Mapping[str, JsonValue], *, items_max: int
) -> Mapping[str, JsonValue]:
    """Return *value* less every list of more than *items_max* items, at any depth.

    A progress event tells what was found, not every sample of every curve: those are in the
    stored result. The names left out stand under `omitted` beside where they were.
    """
    kept: dict[str, JsonValue] = {}
    omitted: list[JsonValue] = []
    for name, item in value.items():
        if isinstance(item, list) and len(item) > items_max:
            omitted.append(name)
        elif isinstance(item, Mapping):
            kept[name] = without_long_lists(item, items_max=items_max)
        elif isinstance(item, list):
            kept[name] = [
                without_long_lists(one, items_max=items_max) if isinstance(one, Mapping) else one
                for one in item
            ]
        else:
            kept[name] = item
    if omitted:
        kept["omitted"] = omitted
    return kept
