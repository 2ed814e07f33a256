"""Tell everybody something, such as of maintenance to come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from tonearm_auth.domain.notice import Notice, NoticeKind
from tonearm_auth.usecases.caller import Caller, load_superuser
from tonearm_auth.usecases.ports import AuditEntry, Begin, Tx
from tonearm_contracts.events import NoticeAnnounced
from tonearm_kit.clock import Clock
from tonearm_kit.ids import NewId


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceNotice:
    """What to say; see `Notice`."""

    kind: NoticeKind
    message: str
    starts_at: datetime | None
    ends_at: datetime | None


async def announce_notice(
    caller: Caller,
    cmd: AnnounceNotice,
    *,
    begin: Begin,
    clock: Clock,
    new_id: NewId,
    recorded: Callable[[Tx, Notice], Awaitable[None]] | None = None,
) -> Notice:
    """Announce a notice once; the audit log remembers who said it.

    `recorded` runs in the same transaction: what it writes stands or falls with the notice.
    Raise `SuperuserRequired`, `NoticePeriodInvalid`.
    """
    async with begin() as tx:
        actor = await load_superuser(tx, caller, clock=clock)
        notice = Notice(
            id=new_id(),
            kind=cmd.kind,
            message=cmd.message,
            starts_at=cmd.starts_at,
            ends_at=cmd.ends_at,
        )
        event = NoticeAnnounced(
            notice_id=notice.id,
            kind=notice.kind,
            message=notice.message,
            starts_at=notice.starts_at,
            ends_at=notice.ends_at,
        )
        await tx.audit.add(
            AuditEntry(
                id=new_id(),
                at=clock.now(),
                actor_id=actor.id,
                action="notice.announced",
                target=notice.id,
                before=None,
                after=event.model_dump(mode="json", exclude={"notice_id"}),
            )
        )
        await tx.announce(event)
        if recorded is not None:
            await recorded(tx, notice)
    return notice
