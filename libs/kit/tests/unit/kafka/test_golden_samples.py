"""What we put on the wire is, header by header, what the contracts publish as samples."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tonearm_contracts import events
from tonearm_contracts.envelope import CloudEvent, EventData
from tonearm_kit.kafka import decode
from tonearm_kit.kafka.headers import decode_record, encode
from tonearm_kit.testing.broker import FakeRecord

SAMPLES = Path(__file__).parents[4] / "contracts" / "samples"


@pytest.mark.parametrize("event", events.ALL, ids=lambda event: event.TYPE)
def test_the_golden_message_is_read_and_made_again(event: type[EventData]) -> None:
    golden: dict[str, Any] = json.loads((SAMPLES / f"{event.TYPE}.json").read_text("utf-8"))
    headers = {name: value.encode() for name, value in golden["headers"].items()}
    value = json.dumps(golden["value"]).encode()
    record = FakeRecord("t", 0, 0, 0, golden["key"].encode(), value, tuple(headers.items()))
    read = decode_record(record)
    payload = decode(read, event)
    made = CloudEvent(
        **{
            **read.model_dump(),
            "time": datetime.fromisoformat(golden["headers"]["ce_time"]),
            "data": payload.model_dump(mode="json"),
        }
    )
    out = encode(made, topic="t")
    assert dict(out.headers) == headers
    assert out.key == golden["key"].encode()
    assert json.loads(out.value or b"") == golden["value"]
