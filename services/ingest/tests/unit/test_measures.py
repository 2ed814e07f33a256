"""What operators are woken by can be seen to begin."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from tonearm_ingest.entrypoints.measures import OUTCOMES_OF_OURS, begin_counts


def test_refusals_for_our_sake_begin_at_zero() -> None:
    reader = InMemoryMetricReader()
    uploads = MeterProvider([reader]).get_meter("t").create_counter("uploads")
    begin_counts(uploads)
    uploads.add(1, {"outcome": "store_unavailable"})
    data = reader.get_metrics_data()
    assert data is not None
    [metric] = data.resource_metrics[0].scope_metrics[0].metrics
    points = [p for p in metric.data.data_points if isinstance(p, NumberDataPoint)]
    shown = {(p.attributes or {})["outcome"]: p.value for p in points}
    assert shown == {**dict.fromkeys(OUTCOMES_OF_OURS, 0), "store_unavailable": 1}
