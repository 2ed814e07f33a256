"""The stack that integration tests run on."""

from collections.abc import Iterator
from itertools import count

import pytest

from tonearm_local import testing

_addresses = count(1)


@pytest.fixture(scope="session")
def stack() -> Iterator[testing.Stack]:
    """Real Kafka, Postgres, Envoy, Zipkin and the four services.

    `make test` starts it before pytest and tells by environment; pytest run by hand starts one
    for the session. TONEARM_STACK=testcontainers takes Kafka and Postgres from containers where
    a Docker daemon answers.
    """
    given = testing.from_environment()
    if given is not None:
        yield given
        return
    with testing.temporary() as started:
        yield started


@pytest.fixture
def client_address() -> str:
    """An address that no other test has, for X-Forwarded-For: limits count by address."""
    number = next(_addresses)
    return f"198.18.{number // 250}.{number % 250 + 1}"
