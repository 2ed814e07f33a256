"""Settings of notify, each with its unit."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from tonearm_kit.settings import BaseServiceSettings, Port


class NotifySettings(BaseServiceSettings):
    """What notify reads from the environment; variables start with `NOTIFY_`."""

    model_config = SettingsConfigDict(env_prefix="NOTIFY_")

    http_port: Port = Field(8104, description="TCP port of the HTTP server; 0 picks a free one.")
    database_schema: str = Field(
        "notify",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Schema that holds this service's tables; it is put on the search path.",
    )
    object_store_url: str = Field(
        "",
        pattern=r"^$|^(file|s3|gs|az|memory)://",
        validation_alias="OBJECT_STORE_URL",
        description=(
            "Where events above 64 KiB leave their data, the same as analysis has; without it they"
            " go to the dead letters."
        ),
    )
    ws_host: str = Field("127.0.0.1", description="Address that the WebSocket door binds.")
    ws_port: Port = Field(8114, description="TCP port of the WebSocket door; 0 picks a free one.")
    ws_origins: str = Field(
        "http://127.0.0.1:8080,http://localhost:8080,http://127.0.0.1:5173,http://localhost:5173",
        description="Origins that browsers may connect from, comma-separated; * allows all.",
    )
    connections_max: int = Field(
        20_000, ge=1, le=1_000_000, description="Most sockets that one process holds."
    )
    connections_per_account_max: int = Field(
        50, ge=1, le=1_000_000, description="Most connections of one account to one process."
    )
    connects_per_s: float = Field(
        500.0, gt=0, le=100_000, description="Sustained rate of new sockets, per second."
    )
    connects_burst: int = Field(
        2_000, ge=1, le=1_000_000, description="New sockets taken at once above the rate."
    )
    channels_per_connection_max: int = Field(
        128, ge=1, le=10_000, description="Most subscriptions of one connection."
    )
    commands_per_s: float = Field(
        50.0, gt=0, le=10_000, description="Sustained rate of a client's commands, per second."
    )
    commands_burst_max: int = Field(
        512, ge=1, le=100_000, description="Commands of one client taken at once."
    )
    frame_bytes_max: int = Field(
        64 * 1024, ge=1024, le=1024 * 1024, description="Largest frame from a client, in bytes."
    )
    queue_bytes_max: int = Field(
        1024 * 1024,
        ge=64 * 1024,
        le=64 * 1024 * 1024,
        description="Bytes that may wait for one slow reader before it is cut.",
    )
    read_buffer_bytes: int = Field(
        2048, ge=2048, le=65536, description="Initial read buffer of a socket, in bytes."
    )
    send_buffer_bytes: int = Field(
        0,
        ge=0,
        le=16 * 1024 * 1024,
        description="Kernel's send buffer of a socket, in bytes; 0 leaves it to the system.",
    )
    ping_interval_s: float = Field(
        25.0, ge=1, le=300, description="Time between the server's pings, in seconds."
    )
    pong_timeout_s: float = Field(
        8.0, ge=0.5, le=60, description="Longest wait for a pong, in seconds."
    )
    connect_timeout_s: float = Field(
        10.0, ge=0.5, le=60, description="Time for a new socket to send its connect, in seconds."
    )
    expiry_grace_s: float = Field(
        10.0, ge=0, le=300, description="Time past its token that a connection may stay, seconds."
    )
    unknown_audio_wait_s: float = Field(
        3.0, ge=0, le=15, description="Wait for the event of a recording just uploaded, seconds."
    )
    unknown_audio_age_max_s: float = Field(
        120.0, ge=0, le=3600, description="Age of a recording's id that is still waited for, s."
    )
    history_keep_s: float = Field(
        3600.0, ge=60, le=30 * 86400, description="Publications younger than this stay, seconds."
    )
    history_keep_count: int = Field(
        1000, ge=1, le=100_000, description="Newest publications of a channel that stay."
    )
    history_keep_s_max: float = Field(
        7 * 86400.0, ge=60, le=365 * 86400, description="Nothing older than this stays, seconds."
    )
    history_count_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Most publications kept of one channel."
    )
    sweep_interval_s: float = Field(
        60.0, ge=1, le=86400, description="Time between two sweeps of old rows, in seconds."
    )
    compare_interval_s: float = Field(
        5.0, ge=0.2, le=60, description="Time between two comparisons of positions, in seconds."
    )
    delivery_queue_max: int = Field(
        10_000, ge=100, le=1_000_000, description="Announcements that may wait for fan-out."
    )
    delivery_queue_bytes_max: int = Field(
        64 * 1024 * 1024, ge=1024 * 1024, description="Bytes of announcements that may wait."
    )
    revoked_keep_s: float = Field(
        24 * 3600.0, ge=60, description="Longest life of an access token, in seconds."
    )
    drain_closes_per_s: float = Field(
        200.0, gt=0, description="Most connections told to reconnect per second of a drain."
    )
    drain_window_s_max: float = Field(
        12.0, ge=0, le=600, description="Longest drain; more connections go faster, seconds."
    )

    presence_interval_s: float = Field(
        2.0, ge=0.1, le=60, description="Time between two words on presence to others, in seconds."
    )
    events_keep_alive_s: float = Field(
        15.0, ge=1, le=120, description="Silence of an event stream before a comment, in seconds."
    )
    notifications_keep_s: float = Field(
        90 * 86400.0, ge=3600, description="Time that notifications stay, in seconds."
    )
    webhooks_per_account_max: int = Field(
        10, ge=0, le=1000, description="Most webhooks of one account."
    )
    webhook_timeout_s: float = Field(
        10.0, gt=0, le=60, description="Longest that a receiver may take, in seconds."
    )
    webhook_poll_s: float = Field(
        1.0, gt=0, le=60, description="Time between two looks for due deliveries, in seconds."
    )
    webhook_disable_after_s: float = Field(
        5 * 86400.0, ge=60, description="Failures for this long switch a webhook off, seconds."
    )
    webhook_deliveries_keep_s: float = Field(
        30 * 86400.0, ge=3600, description="Time that finished deliveries stay, in seconds."
    )
    webhook_secret_keys: SecretStr | None = Field(
        None,
        description="Keys that seal webhook secrets, 32 bytes in URL-safe base64 each, separated by"
        " commas: the first seals, all open. Wins over the file.",
    )
    webhook_secret_keys_file: Path = Field(
        Path(".local/secrets/notify_webhook_keys"),
        description="File with those keys; made on the first start when it is missing.",
    )
    webhook_private_allowed: bool = Field(
        False, description="Let webhooks go to private addresses; for tests only."
    )
    webhook_http_allowed: bool = Field(
        False, description="Let webhooks go to http addresses; for tests only."
    )

    @property
    def origins(self) -> frozenset[str]:
        """Return the allowed origins."""
        return frozenset(part.strip() for part in self.ws_origins.split(",") if part.strip())
