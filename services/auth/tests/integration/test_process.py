"""The service as a process: commands, starting without Kafka, leaving on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from tonearm_auth.settings import Settings

pytestmark = pytest.mark.integration

NOBODY_LISTENS = "127.0.0.1:1"


def environment(settings: Settings, **more: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "AUTH_DATABASE_URL": settings.database_url.get_secret_value(),
        "AUTH_DATABASE_SCHEMA": settings.database_schema,
        "AUTH_HTTP_PORT": "0",
        "AUTH_GRPC_PORT": "0",
        "KAFKA_BOOTSTRAP_SERVERS": NOBODY_LISTENS,
        "SHUTDOWN_GRACE_S": "10",
        **more,
    }


async def run(*arguments: str, env: dict[str, str]) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tonearm_auth",
        *arguments,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_commands_end_with_a_status_that_tells(settings: Settings, tmp_path: Path) -> None:
    env = environment(settings, AUTH_KEY_ENCRYPTION_KEY_FILE=str(tmp_path / "key"))
    status, out, _ = await run("settings", env=env)
    told = json.loads(out)
    assert (status, told["AUTH_DATABASE_URL"]) == (0, "***")
    assert (await run("migrate", env=env))[0] == 0
    status, _, err = await run("make-admin", "nobody@example.org", env=env)
    assert (status, err) == (1, "There is no such account.\n")
    status, out, _ = await run("rotate-keys", env=env)
    assert status == 0
    kids = [line for line in out.splitlines() if not line.startswith("{")]
    assert len(kids) == 2
    status, _, err = await run("serve", env=env | {"AUTH_SESSION_IDLE_S": "soon"})
    assert status == 2
    assert err.startswith("AUTH_SESSION_IDLE_S: ")


async def test_it_serves_while_kafka_is_away_and_leaves_when_told(
    settings: Settings, tmp_path: Path
) -> None:
    env = environment(settings, AUTH_KEY_ENCRYPTION_KEY_FILE=str(tmp_path / "key"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tonearm_auth", "serve", env=env, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = 0
        async with asyncio.timeout(60):
            while not port:
                line = json.loads(await process.stdout.readline())
                if line["event"] == "serving HTTP":
                    port = line["port"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            who = {"email": "anna@example.org", "password": "correct horse battery"}
            assert (await http.post("/v1/auth/register", json=who)).status_code == 201
            assert (await http.post("/v1/auth/login", json=who)).status_code == 200
            assert (await http.get("/readyz")).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            rest, _ = await process.communicate()
    assert process.returncode == 0
    assert "correct horse" not in rest.decode()
    assert "anna@example.org" not in rest.decode()
