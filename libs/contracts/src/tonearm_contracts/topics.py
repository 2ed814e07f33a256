"""Every topic, declared once: partitions, retention, compaction.

A topic is the stream of one aggregate: the record key is the aggregate's id, so the events of
one recording or account stay in order.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What a topic is created with."""

    name: str
    partitions: int
    retention_s: int
    compacted: bool = False


AUTH_ACCOUNT = Topic(name="auth.account.v1", partitions=6, retention_s=30 * DAY_S)
AUTH_FLAGS = Topic(name="auth.flags.v1", partitions=1, retention_s=30 * DAY_S)
AUTH_NOTICES = Topic(name="auth.notices.v1", partitions=1, retention_s=30 * DAY_S)
INGEST_AUDIO = Topic(name="ingest.audio.v1", partitions=6, retention_s=30 * DAY_S)
ANALYSIS_REQUEST = Topic(name="analysis.request.v1", partitions=6, retention_s=7 * DAY_S)
ANALYSIS_REQUEST_PRIORITY = Topic(
    name="analysis.request.priority.v1", partitions=6, retention_s=7 * DAY_S
)
ANALYSIS_JOB = Topic(name="analysis.job.v1", partitions=6, retention_s=30 * DAY_S)

ALL: tuple[Topic, ...] = (
    AUTH_ACCOUNT,
    AUTH_FLAGS,
    AUTH_NOTICES,
    INGEST_AUDIO,
    ANALYSIS_REQUEST,
    ANALYSIS_REQUEST_PRIORITY,
    ANALYSIS_JOB,
)
