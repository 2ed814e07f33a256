"""Word from the operators to everybody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tonearm_auth.domain.errors import NoticePeriodInvalid

NoticeKind = Literal["maintenance", "incident", "info"]
MESSAGE_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is said, and the time that it is about. Times are aware; None is open."""

    id: str
    kind: NoticeKind
    message: str
    starts_at: datetime | None
    ends_at: datetime | None

    def __post_init__(self) -> None:
        """Raise `NoticePeriodInvalid` where the end is not after the beginning."""
        starts_at, ends_at = self.starts_at, self.ends_at
        if starts_at is not None and ends_at is not None and ends_at <= starts_at:
            raise NoticePeriodInvalid
