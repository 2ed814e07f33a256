"""The local stack: walls between services, restarts, an end that leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import psutil
import pytest

from tonearm_local import envoy, gateway, processes
from tonearm_local.probes import port_is_free
from tonearm_local.settings import SERVICES, LocalSettings
from tonearm_local.surroundings import ROOT, inherited
from tonearm_local.testing import Stack, free_ports

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


async def connect(stack: Stack, service: str, database: str = "") -> Any:
    url = stack.service_env(service)[f"{service.upper()}_DATABASE_URL"]
    if database:
        url = urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
    return await asyncpg.connect(url, timeout=5)


async def tables(stack: Stack, schema: str) -> list[str]:
    admin = urlsplit(stack.database_admin_url)._replace(path="/tonearm")
    connection = await asyncpg.connect(urlunsplit(admin), timeout=5)
    try:
        rows = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1", schema
        )
    finally:
        await connection.close()
    return [row["tablename"] for row in rows]


@pytest.mark.parametrize("service", SERVICES)
async def test_no_role_reads_another_services_schema(stack: Stack, service: str) -> None:
    connection = await connect(stack, service)
    try:
        for mine, other in permutations(SERVICES, 2):
            if mine != service:
                continue
            found = await tables(stack, other)
            assert "schema_migrations" in found
            for table in found:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(f'SELECT * FROM {other}."{table}"')  # noqa: S608 - names from the catalogue
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"CREATE TABLE {other}.mine (a int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE public.mine (a int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM pg_authid")
    finally:
        await connection.close()
    for database in ("postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connect(stack, service, database)


async def test_a_role_needs_its_password(stack: Stack) -> None:
    url = urlsplit(stack.service_env("auth")["AUTH_DATABASE_URL"])
    wrong = url._replace(netloc=f"auth_svc:wrong@{url.hostname}:{url.port}")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(urlunsplit(wrong), timeout=5)


def test_everything_listens_on_loopback_alone(stack: Stack) -> None:
    for row in stack.status()["components"].values():
        process = psutil.Process(row["pid"])
        for each in [process, *process.children(recursive=True)]:
            for socket in each.net_connections("tcp"):
                if socket.status == psutil.CONN_LISTEN:
                    assert socket.laddr.ip in {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, row["name"]


@pytest.mark.parametrize("name", ["auth", "gateway"])
def test_what_is_killed_comes_back(stack: Stack, name: str, client_address: str) -> None:
    before = stack.kill(name)
    stack.wait_ready(name, restarts_min=before + 1)
    url = f"{stack.gateway_url}/.well-known/jwks.json"
    transport = httpx.HTTPTransport(retries=3)
    with httpx.Client(transport=transport, headers={"X-Forwarded-For": client_address}) as client:
        assert client.get(url).status_code == 200


@pytest.mark.parametrize("place", ["local", "k8s"])
def test_envoy_accepts_both_renderings(place: str, tmp_path: Path) -> None:
    local = gateway.local_values(LocalSettings(_env_file=None, TONEARM_STATE_DIR=tmp_path))
    (tmp_path / "logs").mkdir()
    path = tmp_path / "envoy.yaml"
    path.write_text(gateway.render(local if place == "local" else gateway.k8s_values()), "utf-8")
    argv = [str(envoy.binary()), "--mode", "validate", "-c", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


class Checkout:
    """A second stack, of real servers alone, in a folder with an awkward name."""

    def __init__(self, state_dir: Path) -> None:
        names = [name for own in LocalSettings().ports().values() for name in own]
        self.state_dir = state_dir
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        env = {n: v for n, v in inherited().items() if n != "KAFKA_BOOTSTRAP_SERVERS"}
        env |= {name: str(port) for name, port in self.ports.items()}
        env |= {"TONEARM_STATE_DIR": str(self.state_dir), "TONEARM_ENV_FILE": ""}
        return subprocess.run(
            [sys.executable, "-m", "tonearm_local", *words],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def left(self) -> list[int]:
        return [process.pid for process in processes.leftovers(self.state_dir)]

    def busy_ports(self) -> list[int]:
        return [port for port in self.ports.values() if not port_is_free("127.0.0.1", port)]


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path / "it's a stack")
    try:
        yield checkout
    finally:
        checkout.run("down")


def test_a_second_stack_runs_beside_the_first_and_leaves_nothing(
    stack: Stack, second: Checkout
) -> None:
    up = second.run("up", "--infra-only")
    assert up.returncode == 0, up.stdout + up.stderr
    assert second.run("status").returncode == 0
    again = second.run("up", "--infra-only")
    assert again.returncode == 0, "joining a running stack"
    assert stack.status()["ready"]
    down = second.run("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert second.left() == []
    assert second.busy_ports() == []
    assert second.run("status").returncode == 3


def test_a_killed_supervisor_takes_its_children_along(second: Checkout) -> None:
    up = second.run("up", "--infra-only", "--without", "zipkin")
    assert up.returncode == 0, up.stdout + up.stderr
    children = [psutil.Process(pid) for pid in second.left()]
    state = json.loads((second.state_dir / "run" / "state.json").read_text("utf-8"))
    os.kill(state["pid"], signal.SIGKILL)
    _gone, alive = psutil.wait_procs(children, timeout=40)
    assert alive == []
    assert second.busy_ports() == []
    again = second.run("up", "--infra-only", "--without", "zipkin")
    assert again.returncode == 0, again.stdout + again.stderr
