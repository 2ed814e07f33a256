"""What operators say to everybody."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from tonearm_contracts import topics
from tonearm_contracts.envelope import EventData


class NoticeAnnounced(EventData):
    """Word to everybody who uses Tonearm, such as of maintenance to come."""

    TYPE: ClassVar[str] = "tonearm.notice.announced.v1"
    TOPIC: ClassVar[str] = topics.AUTH_NOTICES.name

    notice_id: str
    kind: Literal["maintenance", "incident", "info"]
    message: str
    """Plain text for people."""
    starts_at: datetime | None
    """When what it tells of begins; null for now, or where there is no such time."""
    ends_at: datetime | None
    """When it is expected to end; null while nobody knows."""

    def key(self) -> str:
        """Return the notice's id."""
        return self.notice_id
