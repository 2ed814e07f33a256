"""Every setting of the analysis service, with its unit and bounds."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from tonearm_kit.settings import BaseServiceSettings

MIB = 1024 * 1024


class AnalysisSettings(BaseServiceSettings):
    """Read from the environment with the prefix `ANALYSIS_`."""

    model_config = SettingsConfigDict(env_prefix="ANALYSIS_")

    database_schema: str = Field(
        "analysis",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Schema that holds this service's tables; it is put on the search path.",
    )
    http_port: int = Field(8103, ge=1, le=65535, description="port of the HTTP API")
    object_store_url: str = Field(
        validation_alias="OBJECT_STORE_URL",
        description="where recordings are: file:///folder or s3://bucket/prefix",
    )
    spool_dir: Path = Field(
        Path(".local/spool"), description="folder for copies of recordings while they are analysed"
    )
    workers: int = Field(1, ge=1, le=64, description="engine processes")
    worker_memory_bytes_max: int = Field(
        2048 * MIB, ge=256 * MIB, description="memory that one engine process may take, bytes"
    )
    jobs_per_worker: int = Field(
        200, ge=1, le=100_000, description="jobs after which an engine process is replaced"
    )
    job_timeout_s: float = Field(600, gt=0, le=3600, description="longest analysis, seconds")
    stage_timeout_s: float = Field(
        300, gt=0, le=3600, description="longest single stage, seconds; the others go on"
    )
    job_attempts_max: int = Field(
        5, ge=1, le=100, description="how often a job is begun before it fails"
    )
    progress_items_max: int = Field(
        32, ge=0, le=1000, description="longest list inside a progress event, items"
    )
    deletion_memory_s: float = Field(
        30 * 24 * 3600, gt=0, description="how long deletions are remembered, seconds"
    )
    sweep_every_s: float = Field(3600, gt=0, description="time between sweeps, seconds")
