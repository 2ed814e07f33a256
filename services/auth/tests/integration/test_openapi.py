"""The HTTP door keeps what its description promises, asked by a tool that is not ours."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from tonearm_auth import bootstrap
from tonearm_auth.bootstrap import Parts
from tonearm_auth.usecases.administer import make_admin
from tonearm_kit import http as kit_http

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
ROOT = {"email": "root@example.org", "password": "correct horse battery"}


async def superuser_token(parts: Parts, http: httpx.AsyncClient) -> str:
    await http.post("/v1/auth/register", json=ROOT)
    await make_admin(ROOT["email"], begin=parts.begin, clock=parts.clock, new_id=parts.new_id)
    token: str = (await http.post("/v1/auth/login", json=ROOT)).json()["access_token"]
    return token


async def test_schemathesis_finds_nothing(parts: Parts, tmp_path: Path) -> None:
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            kit_http.serve(
                bootstrap.make_app(parts),
                host="127.0.0.1",
                port=0,
                stop=stop,
                on_started=bound.set_result,
            )
        )
        base = f"http://127.0.0.1:{await bound}"
        async with httpx.AsyncClient(base_url=base) as http:
            token = await superuser_token(parts, http)
        fuzzing = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{base}/openapi.json",
            f"--header=Authorization: Bearer {token}",
            # What ends the very session that is asked with.
            "--exclude-path-regex=logout|delete|/sessions$",
            f"--checks={','.join(CHECKS)}",
            "--phases=coverage,fuzzing",
            "--max-examples=8",
            "--seed=7",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await fuzzing.communicate()
        stop.set()
    assert fuzzing.returncode == 0, told.decode()[-6000:]
