"""Follow recordings from another program: needs tonearm-contracts and aiokafka, nothing else."""

import asyncio
import contextlib
import sys

from aiokafka import AIOKafkaConsumer

from tonearm_contracts.events import AnalysisCompleted, AudioUploaded
from tonearm_contracts.topics import ANALYSIS_JOB, INGEST_AUDIO

EVENTS = {event.TYPE: event for event in (AudioUploaded, AnalysisCompleted)}


async def main(servers: str = "127.0.0.1:9092", group: str = "example") -> None:
    """Print events as they come; start again and it goes on where it stopped."""
    options = {"bootstrap_servers": servers, "group_id": group, "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer(INGEST_AUDIO.name, ANALYSIS_JOB.name, **options) as consumer:
        async for record in consumer:
            if event := EVENTS.get(dict(record.headers)["ce_type"].decode()):
                print(event.model_validate_json(record.value).model_dump_json(), flush=True)


with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # Ctrl-C, or `head` has enough
    asyncio.run(main(*sys.argv[1:]))
