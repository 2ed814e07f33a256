"""Every limit and secret of auth, each with its unit."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from tonearm_kit.settings import BaseServiceSettings, Port

DAY_S = 24 * 3600


class Settings(BaseServiceSettings):
    """Read from the environment with the prefix `AUTH_`."""

    model_config = SettingsConfigDict(
        env_prefix="AUTH_",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
    )

    database_schema: str = Field(
        "auth",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Schema that holds this service's tables; it is put on the search path.",
    )
    database_pool_size_max: int = Field(
        12, ge=4, le=100, description="Most connections to Postgres that one process holds."
    )
    http_port: Port = Field(8101, description="TCP port of the HTTP server; 0 picks a free one.")
    http_body_size_bytes_max: int = Field(
        64 * 1024, ge=1024, le=1024 * 1024, description="Largest request body, in bytes."
    )
    grpc_host: str = Field("127.0.0.1", description="Address that the gRPC server binds.")
    grpc_port: Port = Field(8111, description="TCP port of the gRPC server; 0 picks a free one.")
    grpc_timeout_s: float = Field(
        5.0, gt=0, le=60, description="Longest that one unary gRPC call may take, in seconds."
    )
    grpc_calls_max: int = Field(
        1024, ge=16, le=10_000, description="gRPC calls and event streams served at a time."
    )
    trusted_hops: int = Field(
        1, ge=0, le=5, description="Proxies in front that append to X-Forwarded-For."
    )

    key_encryption_key: SecretStr | None = Field(
        None, description="32 bytes in base64 that seal signing keys; wins over the file."
    )
    key_encryption_key_file: Path = Field(
        Path(".local/secrets/auth_key_encryption"),
        description="File with that key; made on the first start when it is missing.",
    )
    access_token_lifetime_s: int = Field(
        900, ge=60, le=3600, description="Life of an access token, in seconds."
    )
    signing_key_lifetime_s: float = Field(
        30 * DAY_S, ge=3600, le=365 * DAY_S, description="How long one key signs, in seconds."
    )
    signing_key_lead_s: float = Field(
        3600.0,
        ge=60,
        le=7 * DAY_S,
        description="How long a key is published before it signs, in seconds.",
    )
    jwks_max_age_s: int = Field(
        300, ge=0, le=3600, description="How long clients may keep the key set, in seconds."
    )

    session_idle_s: float = Field(
        14 * DAY_S, ge=60, le=365 * DAY_S, description="Life of a session not used, in seconds."
    )
    session_absolute_s: float = Field(
        90 * DAY_S, ge=60, le=365 * DAY_S, description="Life of a session at most, in seconds."
    )
    refresh_grace_s: float = Field(
        10.0,
        ge=0,
        le=60,
        description="How long a refresh token that was just used answers again, in seconds.",
    )
    ended_sessions_max: int = Field(
        100_000,
        ge=100,
        le=10_000_000,
        description="Ended sessions remembered until their last access token expires.",
    )
    sessions_max: int = Field(
        50, ge=1, le=1000, description="Live sessions of an account; the oldest end above that."
    )

    password_length_min: int = Field(
        8, ge=8, le=64, description="Fewest characters of a new password."
    )
    password_length_max: int = Field(
        256, ge=64, le=1024, description="Most characters of a new password."
    )
    argon2_memory_kib: int = Field(
        19456, ge=8192, le=1024 * 1024, description="Memory of one password hash, in KiB."
    )
    argon2_passes: int = Field(2, ge=1, le=20, description="Passes of one password hash.")
    argon2_lanes: int = Field(1, ge=1, le=8, description="Lanes of one password hash.")
    argon2_threads: int = Field(
        2, ge=1, le=32, description="Password hashes that are computed at a time."
    )
    argon2_waiting_max: int = Field(
        64, ge=0, le=10_000, description="Password hashes that may wait for a thread."
    )

    flag_keep_alive_s: float = Field(
        20.0, gt=0, le=600, description="Silence after which an event stream says so, in seconds."
    )
    flag_stream_s_max: float = Field(
        1800.0, gt=0, le=86400, description="Longest life of an event stream, in seconds."
    )
    flag_overrides_shown_max: int = Field(
        1000, ge=1, le=100_000, description="Overrides of a flag that the admin API lists."
    )

    rate_policies_refresh_s: float = Field(
        5.0, gt=0, le=300, description="Age of the rate table in memory, in seconds."
    )
    rate_batch_max: int = Field(
        256, ge=1, le=5000, description="Rate checks that share one statement."
    )
    rate_waiting_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Rate checks that may wait for a statement."
    )

    reservation_ttl_s: float = Field(
        DAY_S, ge=60, le=30 * DAY_S, description="Life of a quota reservation, in seconds."
    )
    reservation_ttl_s_max: float = Field(
        7 * DAY_S, ge=60, le=30 * DAY_S, description="Longest that a caller may ask, in seconds."
    )
    deleted_recordings_keep_s: float = Field(
        30 * DAY_S,
        ge=3600,
        le=365 * DAY_S,
        description="How long the deletion of a recording is remembered, in seconds.",
    )
    maintenance_interval_s: float = Field(
        30.0, gt=0, le=3600, description="Pause between rounds of sweeping, in seconds."
    )
    sweep_rows_max: int = Field(
        1000, ge=1, le=100_000, description="Rows of each kind that one round sweeps."
    )
