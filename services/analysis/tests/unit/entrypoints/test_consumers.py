"""A request becomes a job, and how it ended is counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tonearm_analysis.entrypoints.consumers import on_analysis_requested
from tonearm_analysis.entrypoints.measures import JobMeasures
from tonearm_analysis.usecases.analyze_recording import AnalyzeRecording, Ending
from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AnalysisRequested

REQUESTED = AnalysisRequested(
    audio_id="a1",
    account_id="anna",
    job_id="j1",
    object_key="audio/a1",
    sha256="0" * 64,
    size_bytes=9,
    format="wav",
    lane="standard",
)


def points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return [
        point
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


async def test_jobs_are_counted_by_their_ending() -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    endings = [Ending("completed", 1.5), Ending("reused"), Ending("not_audio")]
    asked: list[AnalyzeRecording] = []

    async def analyze(cmd: AnalyzeRecording) -> Ending:
        asked.append(cmd)
        return endings[len(asked) - 1]

    handle = on_analysis_requested(analyze, measures=JobMeasures(meters.get_meter("t")))
    for number, _ in enumerate(endings):
        await handle(
            CloudEvent(
                id=str(number),
                source="/tests",
                type=REQUESTED.TYPE,
                subject="a1",
                time=datetime(2026, 11, 22, tzinfo=UTC),
                data=REQUESTED.model_dump(mode="json"),
            )
        )

    assert {cmd.job_id for cmd in asked} == {"j1"}
    jobs = {
        point.attributes["outcome"]: point.value
        for point in points(reader, "tonearm.analysis.jobs")
    }
    ours = dict.fromkeys(("worker_died", "timed_out", "gave_up"), 0)
    assert jobs == {"completed": 1, "reused": 1, "not_audio": 1, **ours}
    [engine] = points(reader, "tonearm.analysis.engine.duration")
    assert (engine.count, engine.sum) == (1, 1.5)
