"""The example of the documentation, run as another team would run it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tonearm_contracts.events import AudioUploaded
from tonearm_kit.ids import new_id
from tonearm_kit.kafka import KafkaProducer, OutRecord
from tonearm_kit.kafka.topics import KafkaSettings

ROOT = Path(__file__).parents[4]
EXAMPLE = ROOT / "docs" / "examples" / "subscriber.py"
SAMPLE = ROOT / "libs" / "contracts" / "samples" / f"{AudioUploaded.TYPE}.json"

pytestmark = pytest.mark.integration


def test_it_is_no_longer_than_promised() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 25


async def test_it_prints_what_happens() -> None:
    servers, audio_id = KafkaSettings().kafka_bootstrap_servers, new_id()
    golden = json.loads(SAMPLE.read_text(encoding="utf-8"))
    value = {**golden["value"], "audio_id": audio_id}
    headers = [(name, text.encode()) for name, text in golden["headers"].items()]
    async with KafkaProducer.open(servers, client_id="test") as producer:
        await producer.send(
            [
                OutRecord(
                    topic=AudioUploaded.TOPIC, key=audio_id.encode(),
                    value=json.dumps(value).encode(), headers=headers,
                )
            ]
        )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        str(EXAMPLE),
        servers,
        f"example.{audio_id}",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while True:
                line = json.loads(await process.stdout.readline())
                if line.get("audio_id") == audio_id:
                    break
    finally:
        process.terminate()
        await process.wait()
    assert line == value
