"""Forget what was deleted elsewhere."""

from __future__ import annotations

from tonearm_analysis.usecases.ports import Tx
from tonearm_kit.clock import Clock


async def forget_audio(tx: Tx, audio_id: str, *, clock: Clock) -> None:
    """Drop the recording's jobs, and its results unless others uploaded the same bytes.

    Runs in the consumer's transaction. The deletion is remembered, since it may overtake the
    request, which travels on another topic.
    """
    await tx.jobs.delete_audio(audio_id, now=clock.now())


async def forget_account(tx: Tx, account_id: str) -> None:
    """Drop every job of the account, and the results nobody else refers to."""
    await tx.jobs.delete_account(account_id)
