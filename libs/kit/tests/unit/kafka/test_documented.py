from __future__ import annotations

from pathlib import Path

from tonearm_kit.kafka.measure import METRICS, SPANS

PAGE = Path(__file__).parents[5] / "docs" / "messaging.md"


def test_every_span_and_metric_is_documented_with_its_unit() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, (_, unit, _) in METRICS.items():
        assert f"| `{name}` | {unit} |" in page
    for name in SPANS:
        assert f"`{name} T`" in page
