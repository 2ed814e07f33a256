"""Every service keeps what its own API description says; Schemathesis asks, unmodified."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.visitor import Visitor
from tonearm_local.testing import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = ROOT / ".venv" / "bin" / "schemathesis"
HOOKS = ROOT / "tests" / "schemathesis_hooks.py"
LEFT_OUT = {
    # What ends the session of this very test; a word that could also be a letter's id.
    "auth": "/v1/auth/(logout|password|sessions)|/dead-letters/redrive",
    "notify": "^/v1/events$",  # a stream of events does not end
}


@pytest.fixture
async def visitor(stack: Stack, client_address: str) -> AsyncIterator[Visitor]:
    async with Visitor.register(stack.gateway_url, address=client_address) as made:
        yield made


@pytest.mark.parametrize("service", ["auth", "ingest", "analysis", "notify"])
def test_the_service_answers_as_it_describes(
    stack: Stack, visitor: Visitor, tmp_path: Path, service: str
) -> None:
    """No 5xx, only described statuses, types and shapes, wrong values refused, `Allow` right.

    That valid values are accepted is not asked: a file of random bytes is no audio.
    """
    url = stack.service_url(service)
    command: list[str | Path] = [SCHEMATHESIS, "run", f"{url}/openapi.json", "--url", url]
    command += ["--header", f"Authorization: Bearer {visitor.token}"]
    command += ["--header", "Tus-Resumable: 1.0.0"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "7"]
    command += ["--exclude-checks", "positive_data_acceptance", "--workers", "1"]
    if service in LEFT_OUT:
        command += ["--exclude-path-regex", LEFT_OUT[service]]
    environment = {"SCHEMATHESIS_HOOKS": str(HOOKS), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
