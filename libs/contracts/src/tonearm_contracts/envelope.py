"""The envelope of every event: CloudEvents 1.0.

Attribute names follow the specification (lower case, no separators), so that what travels
in `ce_*` headers is what the specification prints.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

MAX_EVENT_BYTES = 64 * 1024
"""Largest encoded value of one event; CloudEvents consumers must accept this much."""


class EventData(BaseModel):
    """Base of every payload. Frozen; unknown fields are ignored, because contracts only grow."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    TYPE: ClassVar[str]
    """CloudEvents `type`: `tonearm.<aggregate>.<past>.v<N>`."""
    TOPIC: ClassVar[str]
    """Topic that carries this event by default."""
    ALSO_ON: ClassVar[tuple[str, ...]] = ()
    """Other topics that may carry it."""

    def key(self) -> str:
        """Return the id of the aggregate: record key, `subject` and `partitionkey`."""
        raise NotImplementedError(type(self).__name__)


class CloudEvent(BaseModel):
    """One event with its context attributes. `data` is the JSON-ready payload."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    dataschema: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    partitionkey: str | None = None
    dataref: str | None = None
    data: dict[str, Any]
