"""Every event that crosses Kafka, by aggregate."""

from tonearm_contracts.envelope import EventData
from tonearm_contracts.events.account import (
    AccountDeleted,
    AccountRegistered,
    EntitlementsChanged,
    FlagChanged,
    SessionRevoked,
)
from tonearm_contracts.events.audio import (
    AnalysisRequested,
    AudioDeleted,
    AudioUpdated,
    AudioUploaded,
)
from tonearm_contracts.events.job import (
    AnalysisCompleted,
    AnalysisCorrected,
    AnalysisFailed,
    AnalysisProgressed,
    AnalysisStarted,
    AnalysisSummary,
)
from tonearm_contracts.events.notice import NoticeAnnounced

ALL: tuple[type[EventData], ...] = (
    AccountRegistered,
    EntitlementsChanged,
    SessionRevoked,
    AccountDeleted,
    FlagChanged,
    NoticeAnnounced,
    AudioUploaded,
    AudioUpdated,
    AudioDeleted,
    AnalysisRequested,
    AnalysisStarted,
    AnalysisProgressed,
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisCorrected,
)

__all__ = [
    "ALL",
    "AccountDeleted",
    "AccountRegistered",
    "AnalysisCompleted",
    "AnalysisCorrected",
    "AnalysisFailed",
    "AnalysisProgressed",
    "AnalysisRequested",
    "AnalysisStarted",
    "AnalysisSummary",
    "AudioDeleted",
    "AudioUpdated",
    "AudioUploaded",
    "EntitlementsChanged",
    "FlagChanged",
    "NoticeAnnounced",
    "SessionRevoked",
]
