"""Settings of ingest: prefix `INGEST_`, units in the names."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from tonearm_kit.settings import BaseServiceSettings, Port

MIB = 1024 * 1024


class Settings(BaseServiceSettings):
    """What ingest reads from its environment."""

    model_config = SettingsConfigDict(env_prefix="INGEST_")

    http_port: Port = Field(8102, description="TCP port of the HTTP server; 0 picks a free one.")
    database_schema: str = Field(
        "ingest",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Schema that holds this service's tables; it is put on the search path.",
    )
    object_store_url: str = Field(
        validation_alias="OBJECT_STORE_URL",
        pattern=r"^(file|s3|gs|az|memory)://",
        description=(
            "Where the bytes of recordings lie: file:///folder or s3://bucket/prefix, shared with"
            " analysis. S3 credentials and endpoint come from the usual AWS_* variables."
        ),
        examples=["file:///var/lib/tonearm/objects"],
    )
    object_store_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Longest single request to the object store, in seconds."
    )
    object_store_retries_max: int = Field(
        3, ge=0, le=10, description="Retries of one request to the object store."
    )
    upload_part_size_bytes: int = Field(
        8 * MIB,
        ge=5 * MIB,
        le=512 * MIB,
        description="Size of one part of a stored file, in bytes; S3 wants at least 5 MiB.",
    )
    upload_parts_in_flight_max: int = Field(
        2, ge=1, le=16, description="Parts of one upload that are on their way to the store."
    )
    upload_size_bytes_max: int = Field(
        2048 * MIB,
        ge=1024,
        description="Largest file of any plan, in bytes; the plan's own limit may be lower.",
    )
    upload_duration_s_max: float = Field(
        3600.0, gt=0, le=24 * 3600, description="Longest time one upload may take, in seconds."
    )
    upload_idle_s_max: float = Field(
        30.0, gt=0, le=600, description="Longest wait for the next bytes of an upload, in seconds."
    )
    uploads_concurrent_max: int = Field(
        16, ge=1, le=1000, description="Uploads that this process takes at the same time."
    )
    resumable_lifetime_h: float = Field(
        24.0, gt=0, le=30 * 24, description="Age at which a resumable upload is removed, in hours."
    )
    resumable_open_max: int = Field(
        20, ge=1, le=10_000, description="Unfinished resumable uploads of one account."
    )
    resumable_open_bytes_max: int = Field(
        4096 * MIB,
        ge=1024,
        description="Sum of the lengths of one account's unfinished resumable uploads, in bytes.",
    )
    resumable_request_bytes_max: int = Field(
        2048 * MIB, ge=1024, description="Bytes of a resumable upload in one request."
    )
    resumable_part_size_bytes: int = Field(
        32 * MIB,
        ge=1024,
        le=1024 * MIB,
        description=(
            "After so many bytes, what came of a resumable upload is kept for good, in bytes: a"
            " crash loses at most as many."
        ),
    )
    resumable_parts_max: int = Field(
        1000, ge=1, le=10_000, description="Parts that one resumable upload may consist of."
    )
    refused_body_bytes_max: int = Field(
        256 * MIB,
        ge=0,
        description="Rest of a refused upload that is read over so that the answer arrives, bytes.",
    )
    refused_body_s_max: float = Field(
        10.0, ge=0, le=300, description="Longest time spent on that rest, in seconds."
    )
    filename_chars_max: int = Field(
        255, ge=16, le=1024, description="Longest file name that is kept, in characters."
    )
    download_piece_size_bytes: int = Field(
        256 * 1024, ge=4096, le=16 * MIB, description="Size of the pieces of a download, in bytes."
    )
    probe_processes_max: int = Field(
        1, ge=1, le=8, description="Child processes that read file headers."
    )
    probe_timeout_s: float = Field(
        10.0, gt=0, le=120, description="Longest look at one header, in seconds."
    )
    probe_read_bytes_max: int = Field(
        32 * MIB, ge=64 * 1024, description="Most bytes that one look at a header may read."
    )
    probe_address_space_bytes_max: int = Field(
        2048 * MIB, ge=512 * MIB, description="Address space of a probing child, in bytes."
    )
    tag_chars_max: int = Field(
        256, ge=16, le=4096, description="Longest value of a tag that is kept, in characters."
    )
    auth_grpc_target: str = Field(
        "127.0.0.1:8111",
        validation_alias="AUTH_GRPC_TARGET",
        description="Address of auth's gRPC server: flags and quota.",
    )
    auth_timeout_s: float = Field(
        2.0, gt=0, le=30, description="Deadline of one call to auth, in seconds."
    )
    auth_retry_after_s: int = Field(
        2, ge=1, le=300, description="Retry-After while auth does not answer, in seconds."
    )
    reservation_ttl_s: int = Field(
        24 * 3600,
        ge=60,
        le=30 * 24 * 3600,
        description="How long a quota reservation waits for its analysis, in seconds.",
    )
    sweep_interval_s: float = Field(
        30.0, gt=0, le=3600, description="Time between two sweeps of ownerless objects, in seconds."
    )
    sweep_objects_max: int = Field(
        100, ge=1, le=10_000, description="Objects that one sweep removes at most."
    )
    sweep_uploads_max: int = Field(
        20, ge=1, le=1000, description="Expired resumable uploads that one sweep removes at most."
    )
    upload_lease_s: float = Field(
        20.0,
        ge=3,
        le=3600,
        description=(
            "Time without a sign of life after which an upload is dead, in seconds: its"
            " Idempotency-Key is free again, its unfinished object is removed, and another"
            " request may go on with a resumable one."
        ),
    )
    sweep_retry_after_s: float = Field(
        300.0, gt=0, le=24 * 3600, description="Wait after a failed removal, in seconds."
    )
    removed_kept_s: float = Field(
        7 * 24 * 3600.0,
        ge=0,
        description="How long a repeated DELETE is still answered as done, in seconds.",
    )
    account_batch_size_max: int = Field(
        500, ge=1, le=10_000, description="Recordings removed per step when an account goes."
    )
