"""What docs/examples shows, run as a reader would run it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests import sounds
from tests.visitor import Visitor
from tonearm_local.surroundings import ROOT
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


async def test_the_subscriber_tells_of_an_upload_and_leaves_quietly(
    stack: Stack, client_address: str, tmp_path: Path
) -> None:
    async with Visitor.register(stack.gateway_url, address=client_address) as visitor:
        audio = await visitor.upload_at_last(sounds.tone(tmp_path / "tone.wav", seed=6100))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "docs" / "examples" / "subscriber.py"),
        stack.kafka,
        f"test.examples.{audio['id']}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    while audio["id"] not in (line := (await process.stdout.readline()).decode()):
        assert line, "it ended before the upload came"
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in errors
