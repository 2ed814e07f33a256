"""The result over HTTP: to its owner, as far as it is known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from tonearm_analysis.adapters.tempo_ranking import rank_tempi
from tonearm_analysis.domain.job import Job, Outcome, Stage
from tonearm_analysis.entrypoints import http
from tonearm_analysis.usecases.get_analysis import get_analysis
from tonearm_kit.http import create_app
from tonearm_kit.tokens import Principal, current_caller

NOW = datetime(2026, 11, 22, 13, tzinfo=UTC)


@pytest.fixture
async def api(store: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        title="analysis",
        version="1",
        routers=[http.routes(get=partial(get_analysis, begin=store.begin, rank=rank_tempi))],
    )
    app.dependency_overrides[current_caller] = lambda: Principal(
        account_id="anna",
        session_id="s1",
        plan="free",
        is_beta=False,
        is_superuser=False,
        expires_at=NOW,
        token_id="t1",
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://analysis"
    ) as client:
        yield client


async def test_stages_so_far_are_shown_while_it_runs(
    api: httpx.AsyncClient, store: Any, job: Job
) -> None:
    stage = Stage(name="properties", position=1, total=2, duration_s=0.1, result={"frames": 9})
    async with store.begin() as tx:
        await tx.jobs.take(job)
        await tx.jobs.add_stage(job.job_id, stage)

    shown = (await api.get("/v1/audio/a1/analysis")).json()

    assert (shown["status"], shown["result"], shown["failure"]) == ("processing", None, None)
    assert shown["stages"] == [
        {"stage": "properties", "duration_s": 0.1, "error": None, "result": {"frames": 9}}
    ]


async def test_a_completed_analysis_shows_its_result(
    api: httpx.AsyncClient, store: Any, job: Job, outcome: Outcome
) -> None:
    await complete(store, job, outcome)

    shown = (await api.get("/v1/audio/a1/analysis")).json()

    assert (shown["status"], shown["result"]) == ("completed", {"a": 1})
    assert shown["engine_duration_s"] == 1.0


RHYTHM: dict[str, Any] = {
    "tempo_bpm": 120.0,
    "confidence": 0.7,
    "candidates": [
        {"bpm": 120.0, "probability": 0.7, "relation": "same"},
        {"bpm": 60.0, "probability": 0.2, "relation": "half"},
    ],
    "beats_s": [0.5 * k for k in range(17)],
    "beat_positions": [k % 4 + 1 for k in range(17)],
    "downbeats_s": [0.0, 2.0, 4.0, 6.0, 8.0],
    "meter": "4/4",
}


async def complete(store: Any, job: Job, outcome: Outcome) -> None:
    async with store.begin() as tx:
        await tx.jobs.take(job)
        await tx.jobs.add_outcome(job.key, outcome, now=NOW)
        await tx.jobs.complete(job.job_id, now=NOW)


async def test_a_preferred_tempo_range_ranks_the_result_anew(
    api: httpx.AsyncClient, store: Any, job: Job, outcome: Outcome
) -> None:
    await complete(store, job, replace(outcome, result={"a": 1, "rhythm": RHYTHM}))

    slow = (await api.get("/v1/audio/a1/analysis?tempo_max_bpm=90")).json()["result"]
    same = (await api.get("/v1/audio/a1/analysis?tempo_min_bpm=90")).json()["result"]

    assert (slow["a"], slow["rhythm"]["tempo_bpm"], slow["rhythm"]["confidence"]) == (1, 60.0, 0.2)
    assert [c["relation"] for c in slow["rhythm"]["candidates"]] == ["same", "double"]
    assert slow["rhythm"]["beats_s"] == [float(k) for k in range(9)]
    assert (same["rhythm"]["tempo_bpm"], same["rhythm"]["beats_s"]) == (120.0, RHYTHM["beats_s"])


async def test_a_result_whose_rhythm_failed_has_nothing_to_rank(
    api: httpx.AsyncClient, store: Any, job: Job, outcome: Outcome
) -> None:
    await complete(store, job, replace(outcome, result={"rhythm": None}))

    shown = (await api.get("/v1/audio/a1/analysis?tempo_max_bpm=90")).json()

    assert shown["result"] == {"rhythm": None}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("tempo_min_bpm=120&tempo_max_bpm=90", "tempo_range_empty"),
        ("tempo_min_bpm=1", "invalid_request"),
        ("tempo_max_bpm=nan", "invalid_request"),
    ],
)
async def test_ranges_without_a_tempo_are_refused(
    api: httpx.AsyncClient, query: str, code: str
) -> None:
    answer = await api.get(f"/v1/audio/a1/analysis?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_failure_shows_its_reason(api: httpx.AsyncClient, store: Any, job: Job) -> None:
    async with store.begin() as tx:
        await tx.jobs.take(job)
        await tx.jobs.fail(job.job_id, code="not_audio", reason="No audio in it.", now=NOW)

    shown = (await api.get("/v1/audio/a1/analysis")).json()

    assert shown["failure"] == {"code": "not_audio", "reason": "No audio in it."}


async def test_other_peoples_analyses_are_not_there(
    api: httpx.AsyncClient, store: Any, job: Job
) -> None:
    async with store.begin() as tx:
        await tx.jobs.take(replace(job, account_id="bert"))

    answer = await api.get("/v1/audio/a1/analysis")

    assert answer.status_code == 404
    assert answer.json()["type"] == "https://tonearm.dev/problems/analysis-not-found"


async def test_the_description_has_the_shape_of_a_result(api: httpx.AsyncClient) -> None:
    schemas = (await api.get("/openapi.json")).json()["components"]["schemas"]
    shown = schemas["AnalysisView"]["properties"]["result"]["anyOf"]
    assert {"$ref": "#/components/schemas/AnalysisResult"} in shown
    assert {"rhythm", "harmony", "loudness"} <= set(schemas["AnalysisResult"]["properties"])
    tuning = schemas["Harmony"]["properties"]["tuning_cents"]
    assert tuning["description"].startswith("Deviation from A4")
