"""From an event to publications: the history first, then the sockets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, format_span_id, format_trace_id

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AccountDeleted, AudioDeleted, SessionRevoked
from tonearm_kit.telemetry import context_from, current_traceparent, tracer
from tonearm_notify.domain import channels, wire
from tonearm_notify.usecases.notifications import NOTED_TYPES, Notifications
from tonearm_notify.usecases.ports import (
    Appended,
    Entry,
    Journal,
    Lost,
    Personal,
    Revocation,
    Transaction,
)

_tracer = tracer(__name__)
PUBLISHED_TYPES: Final = (
    "tonearm.account.registered.v1",
    "tonearm.account.entitlements_changed.v1",
    "tonearm.account.session_revoked.v1",
    "tonearm.account.deleted.v1",
    "tonearm.flag.changed.v1",
    "tonearm.notice.announced.v1",
    "tonearm.audio.uploaded.v1",
    "tonearm.audio.updated.v1",
    "tonearm.audio.deleted.v1",
    "tonearm.analysis.started.v1",
    "tonearm.analysis.progressed.v1",
    "tonearm.analysis.completed.v1",
    "tonearm.analysis.failed.v1",
    "tonearm.analysis.corrected.v1",
)
"""Event types that a person may follow."""
_LOSSES: Final = (AudioDeleted.TYPE, SessionRevoked.TYPE, AccountDeleted.TYPE)


class WebhookQueue(Protocol):
    """Where deliveries to webhooks wait."""

    async def enqueue(self, tx: Transaction, events: Sequence[Personal]) -> int:
        """Add a delivery for every webhook that wants one of the events; return how many."""
        ...

    async def forget_account(self, tx: Transaction, account_id: str) -> None:
        """Delete an account's webhooks."""
        ...


def to_body(event: CloudEvent) -> str:
    """Return the event in structured JSON, as it is pushed and kept."""
    return wire.dumps(event.model_dump(mode="json", exclude_none=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Where an event is written to, all in one transaction."""

    journal: Journal
    notifications: Notifications
    webhooks: WebhookQueue
    revoked_keep_s: float
    """Longest life of an access token, in seconds."""


async def record(tx: Transaction, *events: CloudEvent, books: Books) -> int:
    """Write events to their channels' histories and announce them, all at the commit of `tx`.

    Also learns from them who owns what and which rights ended. Returns the number of
    publications. The runner has checked the inbox in `tx`, so an event is recorded once, however
    often Kafka delivers it. A batch takes as many statements as one event does.
    """
    roads = [_Road.of(event, is_alone=len(events) == 1) for event in events]
    published = [road for road in roads if road.names]
    personal = [about for road in published if (about := road.personal()) is not None]
    accounts = list({about.account_id for about in personal})
    appended = await _publish(tx, published, accounts, books=books)
    noted = [about for about in personal if about.type in NOTED_TYPES]
    if noted:
        await books.notifications.note(tx, noted)
    if appended.is_awaited:
        await books.webhooks.enqueue(tx, personal)
    for event in events:
        await _learn_losses(tx, event, books=books)
    return len(appended.offsets)


@dataclass(frozen=True, slots=True)
class _Road:
    """An event on its way: the channels that it goes to and the trace that it goes on with."""

    event: CloudEvent
    names: tuple[str, ...]
    body: str
    context: Context | None
    """Parent of its spans; None is the current span."""
    links: Sequence[Link]

    @classmethod
    def of(cls, event: CloudEvent, *, is_alone: bool) -> _Road:
        """An event alone continues the span that handles it.

        In a batch, each goes on with its own trace, and is linked to the batch.
        """
        names = channels.for_event(event.type, event.data)
        body = to_body(event) if names else ""
        if is_alone or event.traceparent is None:
            return cls(event, names, body, None, ())
        batch = Link(trace.get_current_span().get_span_context())
        return cls(event, names, body, context_from({"traceparent": event.traceparent}), (batch,))

    def spans(self) -> list[Span]:
        """Start a span for every channel."""
        return [
            _tracer.start_span(
                f"publish {_template(name)}",
                context=self.context,
                kind=SpanKind.PRODUCER,
                links=self.links,
                attributes={
                    "tonearm.push.channel.template": _template(name),
                    "cloudevents.event_id": self.event.id,
                    "cloudevents.event_type": self.event.type,
                },
            )
            for name in self.names
        ]

    def personal(self) -> Personal | None:
        """Return what outlives the moment, where the event concerns an account."""
        account_id = self.event.data.get("account_id")
        if not isinstance(account_id, str):
            return None
        if self.context is None:
            traceparent = current_traceparent().get("traceparent")
        else:
            traceparent = self.event.traceparent
        return Personal(
            account_id=account_id,
            audio_id=self.event.data.get("audio_id"),
            event_id=self.event.id,
            type=self.event.type,
            body=self.body,
            event_at=self.event.time,
            traceparent=traceparent,
        )


async def _publish(
    tx: Transaction, roads: Sequence[_Road], accounts: Sequence[str], *, books: Books
) -> Appended:
    spans: list[Span] = []
    entries: list[Entry] = []
    for road in roads:
        started = road.spans()
        spans += started
        event = road.event
        entries += [
            Entry(name, event.id, road.body, event.time, _traceparent(span))
            for name, span in zip(road.names, started, strict=True)
        ]
    if not entries:
        return Appended([], is_awaited=False)
    try:
        appended = await books.journal.append(tx, entries, owners=_owners(roads), accounts=accounts)
        for span, offset in zip(spans, appended.offsets, strict=True):
            span.set_attribute("tonearm.push.offset", offset)
    finally:
        for span in spans:
            span.end()
    return appended


@lru_cache(maxsize=10_000)
def _template(name: str) -> str:
    channel = channels.parse(name)
    return channel.template if channel else "other"


def _traceparent(span: Span) -> str | None:
    context = span.get_span_context()
    if not context.is_valid:
        return None
    ids = f"{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}"
    return f"00-{ids}-{context.trace_flags:02x}"


def _owners(roads: Sequence[_Road]) -> dict[str, str]:
    """Return who owns which recording: any event of one names its owner, but for its deletion.

    Topics are read side by side: the analysis of a recording may be heard of before its upload.
    """
    owners: dict[str, str] = {}
    for road in roads:
        audio_id = road.event.data.get("audio_id")
        if audio_id and road.event.type not in _LOSSES:
            owners[str(audio_id)] = str(road.event.data.get("account_id") or "")
    return owners


async def _learn_losses(tx: Transaction, event: CloudEvent, *, books: Books) -> None:
    journal, revoked_keep_s = books.journal, books.revoked_keep_s
    account_id = str(event.data.get("account_id") or "")
    audio_id = str(event.data.get("audio_id") or "")
    if event.type == AudioDeleted.TYPE:
        await journal.forget_audio(tx, audio_id, account_id)
        lost = Revocation(Lost.AUDIO, audio_id, account_id)
        await journal.revoke(tx, lost, keep_s=revoked_keep_s)
    elif event.type == SessionRevoked.TYPE:
        session_id = str(event.data.get("session_id") or "")
        lost = Revocation(Lost.SESSION, session_id, account_id)
        await journal.revoke(tx, lost, keep_s=revoked_keep_s)
    elif event.type == AccountDeleted.TYPE:
        await journal.forget_account(tx, account_id)
        await books.notifications.forget_account(tx, account_id)
        await books.webhooks.forget_account(tx, account_id)
        lost = Revocation(Lost.ACCOUNT, account_id, account_id)
        await journal.revoke(tx, lost, keep_s=revoked_keep_s)
