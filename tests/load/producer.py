"""`python -m tests.load.producer`: puts what is posted to its door into Kafka, as ingest does.

A process of its own, so that the server under load has nothing of it. Prints `ready` and its port.
"""

from __future__ import annotations

import asyncio
import sys

from tests.load import door
from tonearm_contracts import topics
from tonearm_contracts.envelope import CloudEvent
from tonearm_kit import logs, telemetry
from tonearm_kit.kafka import KafkaProducer
from tonearm_kit.kafka.headers import encode
from tonearm_kit.kafka.topics import KafkaSettings
from tonearm_kit.lifecycle import run_service

_tracer = telemetry.tracer(__name__)


async def serve(stop: asyncio.Event) -> None:
    """Serve until SIGTERM."""
    servers = KafkaSettings().kafka_bootstrap_servers
    async with (
        KafkaProducer.open(servers, client_id="load") as producer,
        asyncio.TaskGroup() as tasks,
    ):

        async def take(event: CloudEvent) -> None:
            with _tracer.start_as_current_span("upload"):
                carrier = telemetry.current_traceparent()
                traced = event.model_copy(update=carrier)
                await producer.send([encode(traced, topic=topics.INGEST_AUDIO.name)])

        sys.stdout.write(f"ready {await door.serve(take, tasks)}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    logs.configure("load", level="WARNING", format="json")
    with telemetry.configure("load", version="load"):
        raise SystemExit(run_service(serve, grace_s=5.0))
