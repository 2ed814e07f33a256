"""Settle reservations by what happened to the recording: analysed, failed, deleted, forgotten.

Each function works inside the transaction that also holds the event's inbox row.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tonearm_auth.domain.errors import ReservationNotFound
from tonearm_auth.domain.quota import Reservation
from tonearm_auth.usecases.ports import Begin, Tx
from tonearm_auth.usecases.reserve_quota import hold
from tonearm_contracts.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalysisRequested,
    AudioDeleted,
)
from tonearm_kit.clock import Clock


async def on_requested(tx: Tx, event: AnalysisRequested) -> None:
    """Note which recording a reservation is for."""
    if event.quota_reservation_id is None:
        return
    held = await _find(tx, event.quota_reservation_id)
    if held is not None:
        await tx.quotas.save(await _linked(tx, held, audio_id=event.audio_id), was=held)


async def on_completed(tx: Tx, event: AnalysisCompleted) -> None:
    """Charge the audio that was really analysed; a stored result that fitted costs none."""
    if event.quota_reservation_id is None:
        return
    held = await _find(tx, event.quota_reservation_id)
    if held is None:
        return
    linked = await _linked(tx, held, audio_id=event.audio_id)
    spent_ms = 0 if event.cached else round(event.summary.duration_s * 1000)
    await tx.quotas.save(linked.completed(analysed_audio_ms=spent_ms), was=held)


async def on_failed(tx: Tx, event: AnalysisFailed) -> None:
    """Give the upload and the audio back; the bytes count until they are deleted."""
    if event.quota_reservation_id is None:
        return
    held = await _find(tx, event.quota_reservation_id)
    if held is not None:
        linked = await _linked(tx, held, audio_id=event.audio_id)
        await tx.quotas.save(linked.failed(), was=held)


async def on_deleted(tx: Tx, event: AudioDeleted, *, clock: Clock) -> None:
    """Give the stored bytes back, now or when the reservation becomes known."""
    await tx.accounts.lock(event.account_id)
    await tx.quotas.mark_deleted(event.audio_id, at=clock.now())
    for held in await tx.quotas.of_audio(event.account_id, audio_id=event.audio_id):
        await tx.quotas.save(held.deleted(), was=held)


async def expire_reservations(*, begin: Begin, clock: Clock, limit: int) -> int:
    """Give back at most `limit` reservations that nobody settled in time; return how many."""
    async with begin() as tx:
        due = await tx.quotas.expired(now=clock.now(), limit=limit)
    for _, reservation_id in due:
        async with begin() as tx:
            held = await hold(tx, reservation_id)
            if held.expires_at <= clock.now():
                await tx.quotas.save(held.expired(), was=held)
    return len(due)


async def forget_deleted(*, begin: Begin, clock: Clock, keep_s: float) -> None:
    """Drop the marks of recordings deleted more than `keep_s` seconds ago."""
    async with begin() as tx:
        await tx.quotas.forget_deleted(before=clock.now() - timedelta(seconds=keep_s))


async def _find(tx: Tx, reservation_id: str) -> Reservation | None:
    # An event may speak of a reservation that this database never saw (restored from a backup).
    try:
        return await hold(tx, reservation_id)
    except ReservationNotFound:
        return None


async def _linked(tx: Tx, held: Reservation, *, audio_id: str) -> Reservation:
    linked = replace(held, audio_id=audio_id)
    return linked.deleted() if await tx.quotas.is_deleted(audio_id) else linked
