"""Kafka and Postgres from Testcontainers, where a Docker daemon answers."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import asyncpg

from tonearm_local import passwords, postgres
from tonearm_local.settings import SERVICES, LocalSettings

# Testcontainers' Kafka knows how to start this image; the project's own has another layout.
KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.0"
POSTGRES_IMAGE = "pgvector/pgvector:pg18"


def docker_answers() -> bool:
    """True when a Docker daemon can be used from here."""
    import docker  # type: ignore[import-untyped]  # it has no types
    from docker.errors import DockerException  # type: ignore[import-untyped]

    try:
        with closing(docker.from_env(timeout=5)) as client:
            client.ping()
    except DockerException:
        return False
    return True


@contextmanager
def running(settings: LocalSettings) -> Iterator[dict[str, str]]:
    """Start both; yields the settings that point the stack at them. Both are removed at the end."""
    from testcontainers.community.kafka import KafkaContainer
    from testcontainers.community.postgres import PostgresContainer

    with ExitStack() as exits:
        kafka = exits.enter_context(KafkaContainer(KAFKA_IMAGE).with_kraft())
        secret = passwords.password(settings, "postgres")
        server = exits.enter_context(
            PostgresContainer(POSTGRES_IMAGE, username="postgres", password=secret)
        )
        host, port = server.get_container_host_ip(), server.get_exposed_port(5432)

        async def connect(database: str) -> postgres.Connection:
            return await asyncpg.connect(f"postgresql://postgres:{secret}@{host}:{port}/{database}")

        asyncio.run(postgres.provision(settings, connect))
        values = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.get_bootstrap_server(),
            "TONEARM_TEST_DATABASE_URL": f"postgresql://postgres:{secret}@{host}:{port}/postgres",
        }
        for name in SERVICES:
            own = passwords.password(settings, f"{name}_svc")
            values[f"{name.upper()}_DATABASE_URL"] = (
                f"postgresql://{name}_svc:{own}@{host}:{port}/{passwords.DATABASE}"
            )
        yield values
