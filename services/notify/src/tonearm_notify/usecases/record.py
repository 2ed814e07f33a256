"""From an event to publications: the history first, then the sockets."""

from __future__ import annotations

from typing import Final

from opentelemetry.trace import SpanKind

from tonearm_contracts.envelope import CloudEvent
from tonearm_contracts.events import AccountDeleted, AudioDeleted, SessionRevoked
from tonearm_kit.telemetry import current_traceparent, tracer
from tonearm_notify.domain import channels, wire
from tonearm_notify.usecases.ports import Journal, Lost, Revocation, Transaction

_tracer = tracer(__name__)
PUBLISHED_TYPES: Final = (
    "tonearm.account.registered.v1",
    "tonearm.account.entitlements_changed.v1",
    "tonearm.account.session_revoked.v1",
    "tonearm.account.deleted.v1",
    "tonearm.flag.changed.v1",
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


def to_body(event: CloudEvent) -> str:
    """Return the event in structured JSON, as it is pushed and kept."""
    return wire.dumps(event.model_dump(mode="json", exclude_none=True))


async def record(
    tx: Transaction, event: CloudEvent, *, journal: Journal, revoked_keep_s: float
) -> int:
    """Write an event to its channels' histories and announce it; all at the commit of `tx`.

    Also learns from it who owns what and which rights ended. `revoked_keep_s`: longest life of
    an access token. Returns the number of channels. The runner has checked the inbox in `tx`,
    so an event is recorded once, however often Kafka delivers it.
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
            offset = await journal.append(
                tx,
                name,
                event_id=event.id,
                body=body,
                event_at=event.time,
                traceparent=current_traceparent().get("traceparent"),
            )
            span.set_attribute("tonearm.push.offset", offset)
    await _learn(tx, event, journal=journal, revoked_keep_s=revoked_keep_s)
    return len(names)


async def _learn(
    tx: Transaction, event: CloudEvent, *, journal: Journal, revoked_keep_s: float
) -> None:
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
        lost = Revocation(Lost.ACCOUNT, account_id, account_id)
        await journal.revoke(tx, lost, keep_s=revoked_keep_s)
    elif audio_id:
        # Any event of a recording names its owner: topics are read side by side, and the
        # analysis of a recording may be heard of before its upload.
        await journal.learn_owner(tx, audio_id, account_id)
