"""Let recordings go: one by request, or all of an account that is no more."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime

from tonearm_contracts.events import AudioDeleted
from tonearm_ingest.domain.audio import Audio
from tonearm_ingest.domain.errors import AudioNotFound
from tonearm_ingest.usecases.ports import Begin, Blobs, LooseObject, Transaction
from tonearm_ingest.usecases.resumable import forget_uploads
from tonearm_kit.clock import Clock
from tonearm_kit.errors import AppError


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAudio:
    """One recording, by the account that owns it."""

    audio_id: str
    account_id: str


async def delete_audio(cmd: DeleteAudio, *, begin: Begin, blobs: Blobs, clock: Clock) -> None:
    """Delete the recording and its bytes. Doing it again is fine for as long as we remember.

    The row and the event go in one transaction, which leaves a note on the object; the object
    goes right after, or with the sweeper where the store is away.
    """
    async with begin() as tx:
        audio = await tx.audio.find_for_update(cmd.audio_id)
        if audio is None or audio.account_id != cmd.account_id:
            if await tx.audio.was_removed(cmd.audio_id, account_id=cmd.account_id):
                return
            raise AudioNotFound
        await _remove(tx, audio, at=clock.now())
    with contextlib.suppress(AppError):
        await blobs.delete(audio.object_key)
        async with begin() as tx:
            await tx.loose.drop(audio.object_key)


async def forget_account(
    account_id: str, *, tx: Transaction, clock: Clock, batch_size_max: int
) -> int:
    """Delete everything of an account that was deleted; returns how many recordings.

    Uploads of the account that are still running will be refused when they want to record
    themselves. The objects are left to the sweeper. Runs in the consumer's transaction.
    """
    await tx.audio.close_account(account_id)
    await forget_uploads(account_id, tx=tx, clock=clock, batch_size_max=batch_size_max)
    n_removed = 0
    while batch := await tx.audio.of_account(account_id, limit=batch_size_max):
        for audio in batch:
            await _remove(tx, audio, at=clock.now())
        n_removed += len(batch)
    return n_removed


async def _remove(tx: Transaction, audio: Audio, *, at: datetime) -> None:
    await tx.audio.remove(audio, at=at)
    await tx.loose.note(
        LooseObject(object_key=audio.object_key, account_id=audio.account_id, sweep_after=at),
        now=at,
    )
    await tx.events.add(
        AudioDeleted(audio_id=audio.id, account_id=audio.account_id), correlation_id=audio.job_id
    )
