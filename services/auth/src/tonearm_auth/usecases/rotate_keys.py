"""Keep signing keys fresh: publish the next, use it, keep the last for verification."""

from __future__ import annotations

from collections.abc import Sequence

from tonearm_auth.domain.signing import KeyTerms, plan_rotation, published_kids
from tonearm_auth.usecases.ports import Begin, KeyMaker, StoredKey
from tonearm_kit.clock import Clock


async def rotate_keys(
    *, begin: Begin, maker: KeyMaker, terms: KeyTerms, clock: Clock, is_forced: bool = False
) -> Sequence[StoredKey]:
    """Create and delete what is due and return the keys to publish, the coming one included.

    Any number of replicas may run it at once: one at a time does the work.
    """
    async with begin() as tx:
        await tx.keys.lock()
        now = clock.now()
        keys = list(await tx.keys.all())
        plan = plan_rotation([key.times for key in keys], terms=terms, now=now, is_forced=is_forced)
        if plan.create_active_from is not None:
            created = maker.make(active_from=plan.create_active_from, now=now)
            await tx.keys.add(created)
            keys.append(created)
        if plan.delete_kids:
            await tx.keys.delete(plan.delete_kids)
    kept = published_kids([key.times for key in keys], terms=terms, now=now)
    return [key for key in keys if key.times.kid in kept]
