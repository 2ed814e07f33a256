"""From an event to publications: the history first, then the sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, format_span_id, format_trace_id

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AccountDeleted, AudioDeleted, SessionRevoked
from tonearm_kit.telemetry import context_from, tracer
from tonearm_notify.domain import channels
from tonearm_notify.usecases.notifications import NOTED_TYPES, Notifications
from tonearm_notify.usecases.ports import (
    Entry,
    Journal,
    Lost,
    Published,
    Revocation,
    Told,
    Transaction,
    Transactions,
    Written,
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


class Deliveries(Protocol):
    """Webhooks and what waits for them."""

    async def forget_account(self, tx: Transaction, account_id: str) -> None:
        """Delete an account's webhooks."""
        ...


def to_body(event: CloudEvent) -> str:
    """Return the event in structured JSON, as it is pushed and kept."""
    return event.model_dump_json(exclude_none=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Where an event is written to, all in one transaction, and who hears of it at once."""

    journal: Journal
    notifications: Notifications
    webhooks: Deliveries
    revoked_keep_s: float
    """Longest life of an access token, in seconds."""
    hand_over: Callable[[Sequence[Published]], None]
    """Takes what is committed, to fan it out here before the broker says it to all."""


async def record(
    db: Transactions, group: str, events: Sequence[CloudEvent], *, books: Books
) -> int:
    """Write events to their channels' histories and announce them, all in one transaction.

    Also learns from them who owns what and which rights ended. Returns how many of them the
    inbox of `group` had not seen: an event is recorded once, however often Kafka delivers it. A
    batch takes one statement, as one event does, unless a right ends in it.
    """
    given = list({(event.source, event.id): event for event in events}.values())
    roads = [_Road.of(event, is_alone=len(given) == 1) for event in given]
    if any(event.type in _LOSSES for event in given):
        async with db.begin() as tx:
            written = await _write(tx, group, roads, books=books)
            for number in sorted(written.fresh):
                await _learn_losses(tx, given[number], books=books)
    else:
        async with db.single() as tx:
            written = await _write(tx, group, roads, books=books)
    books.hand_over(written.publications)
    return len(written.fresh)


@dataclass(frozen=True, slots=True)
class _Road:
    """An event on its way: the channels that it goes to and the trace that it goes on with."""

    event: CloudEvent
    names: tuple[str, ...]
    context: Context | None
    """Parent of its span; None is the current span."""
    links: Sequence[Link]

    @classmethod
    def of(cls, event: CloudEvent, *, is_alone: bool) -> _Road:
        """An event alone continues the span that handles it.

        In a batch, each goes on with its own trace, and is linked to the batch.
        """
        names = channels.for_event(event.type, event.data)
        if is_alone or event.traceparent is None:
            return cls(event, names, None, ())
        batch = Link(trace.get_current_span().get_span_context())
        return cls(event, names, context_from({"traceparent": event.traceparent}), (batch,))

    def span(self) -> Span:
        """Start the span of its publications: one, however many channels there are."""
        return _tracer.start_span(
            "publish",
            context=self.context,
            kind=SpanKind.PRODUCER,
            links=self.links,
            attributes={
                "tonearm.push.channel.templates": [_template(name) for name in self.names],
                "cloudevents.event_id": self.event.id,
                "cloudevents.event_type": self.event.type,
            },
        )

    def told(self, span: Span) -> Told:
        """Return what is to be written of it. Its publications go on in the given span.

        Any event of a recording names its owner, but for its deletion: topics are read side by
        side, and the analysis of a recording may be heard of before its upload.
        """
        event, traceparent = self.event, _traceparent(span)
        account_id, audio_id = event.data.get("account_id"), event.data.get("audio_id")
        concerned = account_id if isinstance(account_id, str) else None
        return Told(
            event_id=event.id,
            source=event.source,
            type=event.type,
            body=to_body(event) if self.names else "",
            event_at=event.time,
            entries=[Entry(name, traceparent) for name in self.names],
            account_id=concerned,
            audio_id=str(audio_id) if audio_id else None,
            traceparent=traceparent,
            tells_owner=bool(audio_id) and event.type not in _LOSSES,
            is_noted=concerned is not None and event.type in NOTED_TYPES,
        )


async def _write(tx: Transaction, group: str, roads: Sequence[_Road], *, books: Books) -> Written:
    spans = [road.span() for road in roads]
    try:
        told = [road.told(span) for road, span in zip(roads, spans, strict=True)]
        written = await books.journal.write(tx, told, group=group)
        publications = iter(written.publications)
        for number, (road, span) in enumerate(zip(roads, spans, strict=True)):
            if number in written.fresh:
                offsets = [next(publications).publication.offset for _ in road.names]
                span.set_attribute("tonearm.push.offsets", offsets)
            else:
                span.set_attribute("tonearm.push.is_duplicate", True)
    finally:
        for span in spans:
            span.end()
    return written


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
