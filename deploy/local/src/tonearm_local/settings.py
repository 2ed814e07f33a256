"""Settings of the local stack: ports, places and what already runs elsewhere.

Every field is an environment variable of the same name in upper case (``GATEWAY_PORT``), or a
line of the repository's ``.env``; the environment wins.
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tonearm_local.surroundings import ROOT, env_file

SERVICES = ("auth", "ingest", "analysis", "notify")
Port = Annotated[int, Field(ge=1, le=65535)]


class LocalSettings(BaseSettings):
    """Where the local stack listens and which of its parts are somebody else's."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    state_dir: Path = Field(
        Path(".local"),
        validation_alias="TONEARM_STATE_DIR",
        description="Folder of everything that the local stack keeps, from the checkout's root.",
    )
    gateway_host: str = Field(
        "127.0.0.1", description="Address that the gateway of the local stack listens on."
    )
    gateway_port: Port = Field(8080, description="TCP port of the gateway.")
    gateway_admin_port: Port = Field(8081, description="TCP port of Envoy's administration.")
    auth_http_port: Port = Field(8101, description="TCP port of auth's HTTP server.")
    auth_grpc_port: Port = Field(8111, description="TCP port of auth's gRPC server.")
    ingest_http_port: Port = Field(8102, description="TCP port of ingest's HTTP server.")
    analysis_http_port: Port = Field(8103, description="TCP port of analysis' HTTP server.")
    notify_http_port: Port = Field(8104, description="TCP port of notify's HTTP server.")
    notify_ws_port: Port = Field(8114, description="TCP port of notify's WebSocket door.")
    kafka_port: Port = Field(9092, description="TCP port of the local stack's Kafka.")
    kafka_controller_port: Port = Field(9093, description="TCP port of Kafka's controller.")
    postgres_port: Port = Field(5433, description="TCP port of the local stack's Postgres.")
    zipkin_port: Port = Field(9411, description="TCP port of Zipkin: its page and its API.")

    kafka_heap_mib: int = Field(512, ge=128, le=16384, description="Java heap of Kafka, in MiB.")
    zipkin_heap_mib: int = Field(256, ge=64, le=16384, description="Java heap of Zipkin, in MiB.")
    postgres_fsync: bool = Field(
        True, description="Whether the local stack's Postgres survives a power cut; tests say no."
    )
    java_home: Path | None = Field(
        None, description="A Java of 17 or newer to use instead of the one that comes by pip."
    )

    kafka_bootstrap_servers: str | None = Field(
        None, description="Kafka that runs elsewhere, host:port; the stack then starts none."
    )
    auth_database_url: SecretStr | None = Field(
        None, description="Postgres of auth that runs elsewhere, as a URL with its own role."
    )
    ingest_database_url: SecretStr | None = Field(
        None, description="Postgres of ingest that runs elsewhere, as a URL with its own role."
    )
    analysis_database_url: SecretStr | None = Field(
        None, description="Postgres of analysis that runs elsewhere, as a URL with its own role."
    )
    notify_database_url: SecretStr | None = Field(
        None, description="Postgres of notify that runs elsewhere, as a URL with its own role."
    )
    object_store_url: str | None = Field(
        None,
        description=(
            "Where recordings lie: file:///folder or s3://bucket/prefix. The local stack's default"
            " is a folder of its state; S3 credentials and endpoint come from the AWS_* variables."
        ),
    )
    otel_traces_exporter: Literal["none", "otlp", "zipkin_json"] = Field(
        "zipkin_json",
        description=(
            "Where spans go. The local stack says zipkin_json and starts Zipkin; a service by"
            " itself says none."
        ),
    )
    otel_exporter_zipkin_endpoint: str | None = Field(
        None, description="Zipkin that runs elsewhere, as the URL of its /api/v2/spans."
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="Where the exporter otlp sends, as a URL."
    )

    token_issuer: str | None = Field(
        None, description="The `iss` of access tokens; the local stack takes its gateway's URL."
    )
    token_audience: str = Field("tonearm", description="The `aud` of access tokens.")
    cors_allowed_origins: str = Field(
        "http://localhost:5173,http://127.0.0.1:5173",
        description="Origins of web pages that may call the gateway, separated by commas.",
    )
    gateway_trusted_hops: int = Field(
        0,
        ge=0,
        le=10,
        description=(
            "Trusted proxies in front of the gateway; with 0 a client's X-Forwarded-For is dropped."
        ),
    )
    gateway_body_bytes_max: int = Field(
        1024 * 1024, ge=1024, description="Largest request body but for uploads, in bytes."
    )
    gateway_upload_bytes_max: int = Field(
        2 * 1024**3 + 1024**2,
        ge=1024,
        description="Largest body of an upload, in bytes: the largest plan's file and its form.",
    )
    log_level: str = Field("INFO", description="Least severe log line that is written.")
    log_format: Literal["json", "console"] = Field(
        "json", description="One JSON object a line, or for people."
    )
    up_timeout_s: float = Field(
        180.0,
        gt=0,
        le=3600,
        validation_alias="TONEARM_UP_TIMEOUT_S",
        description="Longest wait for the stack to be ready, in seconds.",
    )
    die_with_pid: int | None = Field(
        None,
        validation_alias="TONEARM_DIE_WITH_PID",
        description="A process whose end stops the stack; set by test runs.",
    )

    @property
    def local_kafka(self) -> str:
        """Address of the Kafka that this stack would start."""
        return f"127.0.0.1:{self.kafka_port}"

    @property
    def kafka(self) -> str:
        """Bootstrap servers that everybody uses."""
        return self.kafka_bootstrap_servers or self.local_kafka

    @property
    def kafka_is_local(self) -> bool:
        """False when KAFKA_BOOTSTRAP_SERVERS points elsewhere."""
        return self.kafka == self.local_kafka

    def database_url(self, service: str) -> str | None:
        """The foreign database given for *service*; None when the stack's own is meant."""
        given: SecretStr | None = getattr(self, f"{service}_database_url")
        if given is None:
            return None
        url = given.get_secret_value()
        parts = urlsplit(url)
        own = parts.hostname in {"127.0.0.1", "localhost"} and parts.port == self.postgres_port
        return None if own else url

    @property
    def postgres_is_local(self) -> bool:
        """True when at least one service uses the stack's own Postgres."""
        return any(self.database_url(service) is None for service in SERVICES)

    @property
    def zipkin_endpoint(self) -> str:
        """Where spans go, in Zipkin's JSON."""
        own = f"http://127.0.0.1:{self.zipkin_port}/api/v2/spans"
        return self.otel_exporter_zipkin_endpoint or own

    @property
    def zipkin_is_local(self) -> bool:
        """False when traces go elsewhere or nowhere."""
        parts = urlsplit(self.zipkin_endpoint)
        return (
            self.otel_traces_exporter == "zipkin_json"
            and parts.hostname in {"127.0.0.1", "localhost"}
            and parts.port == self.zipkin_port
        )

    @property
    def objects_url(self) -> str:
        """Object store of all services; a folder of the state directory by default."""
        return self.object_store_url or self.path("objects").as_uri()

    @property
    def gateway_url(self) -> str:
        """What a client calls."""
        host = "127.0.0.1" if self.gateway_host in {"0.0.0.0", "::"} else self.gateway_host
        return f"http://{host}:{self.gateway_port}"

    @property
    def issuer(self) -> str:
        """The `iss` of access tokens: the gateway's address unless set."""
        return self.token_issuer or self.gateway_url

    def path(self, *parts: str) -> Path:
        """A path of this stack's state."""
        return (ROOT / self.state_dir).joinpath(*parts)

    def ports(self) -> dict[str, dict[str, int]]:
        """Ports by component, then by the setting that moves them."""
        ports: dict[str, dict[str, int]] = {
            "kafka": {
                "KAFKA_PORT": self.kafka_port,
                "KAFKA_CONTROLLER_PORT": self.kafka_controller_port,
            },
            "postgres": {"POSTGRES_PORT": self.postgres_port},
            "zipkin": {"ZIPKIN_PORT": self.zipkin_port},
            "gateway": {
                "GATEWAY_PORT": self.gateway_port,
                "GATEWAY_ADMIN_PORT": self.gateway_admin_port,
            },
        }
        for service in SERVICES:
            ports[service] = {f"{service.upper()}_HTTP_PORT": getattr(self, f"{service}_http_port")}
        ports["auth"]["AUTH_GRPC_PORT"] = self.auth_grpc_port
        ports["notify"]["NOTIFY_WS_PORT"] = self.notify_ws_port
        return ports


def load() -> LocalSettings:
    """Settings from the environment and the settings file. Raises pydantic's ValidationError."""
    return LocalSettings(_env_file=env_file())
