"""From an event to publications: the history first, then the sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from opentelemetry.trace import SpanKind

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AccountDeleted, AudioDeleted, SessionRevoked
from tonearm_kit.telemetry import current_traceparent, tracer
from tonearm_notify.domain import channels, wire
from tonearm_notify.usecases.notifications import NOTED_TYPES, Notifications
from tonearm_notify.usecases.ports import Journal, Lost, Revocation, Transaction

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


class WebhookQueue(Protocol):
    """Where deliveries to webhooks wait."""

    async def enqueue(
        self,
        tx: Transaction,
        account_id: str,
        *,
        event_id: str,
        type_: str,
        body: str,
        traceparent: str | None,
    ) -> int:
        """Add a delivery for every webhook that wants the event; return how many."""
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


async def record(tx: Transaction, event: CloudEvent, *, books: Books) -> int:
    """Write an event to its channels' histories and announce it; all at the commit of `tx`.

    Also learns from it who owns what and which rights ended. Returns the number of channels.
    The runner has checked the inbox in `tx`, so an event is recorded once, however often Kafka
    delivers it.
    """
    names = channels.for_event(event.type, event.data)
    body = to_body(event) if names else ""
    for name in names:
        channel = channels.parse(name)
        template = channel.template if channel else "other"
        with _tracer.start_as_current_span(
            f"publish {template}",
            kind=SpanKind.PRODUCER,
            attributes={
                "tonearm.push.channel.template": template,
                "cloudevents.event_id": event.id,
                "cloudevents.event_type": event.type,
            },
        ) as span:
            offset = await books.journal.append(
                tx,
                name,
                event_id=event.id,
                body=body,
                event_at=event.time,
                traceparent=current_traceparent().get("traceparent"),
            )
            span.set_attribute("tonearm.push.offset", offset)
    if names:
        await _keep(tx, event, body, books=books)
    await _learn(tx, event, books=books)
    return len(names)


async def _keep(tx: Transaction, event: CloudEvent, body: str, *, books: Books) -> None:
    """Write what outlives the moment: the person's notifications and webhooks."""
    account_id = event.data.get("account_id")
    if not isinstance(account_id, str):
        return
    if event.type in NOTED_TYPES:
        await books.notifications.note(
            tx,
            account_id,
            event_id=event.id,
            type_=event.type,
            audio_id=event.data.get("audio_id"),
            body=body,
            event_at=event.time,
        )
    await books.webhooks.enqueue(
        tx,
        account_id,
        event_id=event.id,
        type_=event.type,
        body=body,
        traceparent=current_traceparent().get("traceparent"),
    )


async def _learn(tx: Transaction, event: CloudEvent, *, books: Books) -> None:
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
    elif audio_id:
        # Any event of a recording names its owner: topics are read side by side, and the
        # analysis of a recording may be heard of before its upload.
        await journal.learn_owner(tx, audio_id, account_id)
