"""What every store of resumable uploads must do, whether in memory or in Postgres."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from tonearm_ingest.domain.errors import AccountGone, RequestStillRunning
from tonearm_ingest.domain.resumable import Part, Resumable
from tonearm_ingest.usecases.ports import Begin

from .conformance_library import NOW

SECOND = timedelta(seconds=1)


def make_upload(
    number: int, *, account_id: str = "anna", key: str | None = None, expires_s: int = 60
) -> Resumable:
    return Resumable(
        id=f"00000000-0000-7000-8000-{number:012d}",
        account_id=account_id,
        length_bytes=3_000_000_000,
        offset_bytes=0,
        filename="Größe ♫.wav",
        metadata="filename YQ==,x",
        created_at=NOW,
        expires_at=NOW + expires_s * SECOND,
        idempotency_key=key,
    )


def make_part(offset_bytes: int, size_bytes: int, key: str) -> Part:
    return Part(offset_bytes=offset_bytes, size_bytes=size_bytes, object_key=key)


class ResumablesConformance:
    """Subclasses give the fixture `begin`."""

    async def test_an_upload_comes_back_as_it_was(self, begin: Begin) -> None:
        upload = make_upload(1, key="k")
        async with begin() as tx:
            await tx.resumable.add(upload)
            await tx.resumable.add(make_upload(2))
            await tx.resumable.add(make_upload(3))
        async with begin() as tx:
            assert await tx.resumable.find(upload.id) == upload
            assert await tx.resumable.find_for_update(upload.id) == upload
            found = await tx.resumable.find_by_idempotency_key("k", account_id="anna")
            assert found == upload
            assert await tx.resumable.find_by_idempotency_key("k", account_id="bert") is None
            assert await tx.resumable.find("nobody") is None
            await tx.resumable.remove(upload.id)
            await tx.resumable.remove(upload.id)
            assert await tx.resumable.find_for_update(upload.id) is None

    async def test_parts_move_the_offset_and_go_with_the_end(self, begin: Begin) -> None:
        upload, parts = make_upload(1), [make_part(0, 10, "a"), make_part(10, 2**31, "b")]
        async with begin() as tx:
            await tx.resumable.add(upload)
            for part in parts:
                await tx.resumable.append(upload.id, part)
            assert await tx.resumable.parts(upload.id) == parts
            found = await tx.resumable.find(upload.id)
            assert found == dataclasses.replace(upload, offset_bytes=10 + 2**31)
        async with begin() as tx:
            await tx.resumable.finish(upload.id, audio_id="audio")
            assert await tx.resumable.parts(upload.id) == []
            assert await tx.resumable.find(upload.id) == dataclasses.replace(
                upload, offset_bytes=upload.length_bytes, audio_id="audio"
            )

    async def test_a_length_may_be_told_later(self, begin: Begin) -> None:
        upload = dataclasses.replace(make_upload(1), is_length_deferred=True)
        async with begin() as tx:
            await tx.resumable.add(upload)
            assert await tx.resumable.find(upload.id) == upload
            await tx.resumable.set_length(upload.id, 2**31)
            assert await tx.resumable.find(upload.id) == dataclasses.replace(
                upload, length_bytes=2**31, is_length_deferred=False
            )

    async def test_a_final_upload_is_found_by_its_pieces(self, begin: Begin) -> None:
        partial = dataclasses.replace(make_upload(1), concat="partial")
        final = dataclasses.replace(
            make_upload(2, key="k"), concat="final;/v1/uploads/1", partials_sha256="ab"
        ).finished("audio")
        async with begin() as tx:
            await tx.resumable.add(partial)
            await tx.resumable.add(final)
            other = dataclasses.replace(final, id="other", account_id="bert")
            await tx.resumable.add(other)
        async with begin() as tx:
            assert await tx.resumable.find(partial.id) == partial
            assert await tx.resumable.find_by_partials("ab", account_id="anna") == final
            assert await tx.resumable.find_by_partials("ab", account_id="bert") == other
            assert await tx.resumable.find_by_partials("cd", account_id="anna") is None
            assert await tx.resumable.open_in_account("anna") == (1, partial.length_bytes)

    async def test_of_two_with_one_key_or_the_same_pieces_one_is_stored(self, begin: Begin) -> None:
        final = dataclasses.replace(make_upload(1, key="k"), partials_sha256="ab")
        async with begin() as tx:
            await tx.resumable.add(final)
        for same in (
            make_upload(2, key="k"),
            dataclasses.replace(make_upload(3), partials_sha256="ab"),
        ):
            with pytest.raises(RequestStillRunning):
                async with begin() as tx:
                    await tx.resumable.add(same)
        async with begin() as tx:
            assert await tx.resumable.of_account("anna", limit=9) == [final]

    async def test_what_an_account_has_open_is_counted(self, begin: Begin) -> None:
        async with begin() as tx:
            assert await tx.resumable.open_in_account("anna") == (0, 0)
            for upload in (make_upload(1), make_upload(2), make_upload(3, account_id="bert")):
                await tx.resumable.add(upload)
            assert await tx.resumable.open_in_account("anna") == (2, 6_000_000_000)
            await tx.resumable.finish(make_upload(1).id, audio_id="audio")
            assert await tx.resumable.open_in_account("anna") == (1, 3_000_000_000)

    async def test_one_at_a_time_holds_an_upload(self, begin: Begin) -> None:
        upload = make_upload(1)
        async with begin() as tx:
            await tx.resumable.add(upload)

            async def hold(holder: str, *, at_s: int) -> bool:
                now = NOW + at_s * SECOND
                return await tx.resumable.hold(upload.id, holder, now=now, until=now + 10 * SECOND)

            assert await hold("one", at_s=0)
            assert not await hold("two", at_s=9)
            assert await hold("one", at_s=9), "who holds it goes on"
            assert not await hold("two", at_s=18)
            assert await hold("two", at_s=19), "the time of the first is over"
            assert not await hold("one", at_s=20)
            await tx.resumable.release(upload.id, "one")
            assert not await hold("one", at_s=20), "it was not theirs to release"
            await tx.resumable.release(upload.id, "two")
            assert await hold("one", at_s=20)
            assert not await tx.resumable.hold("nobody", "one", now=NOW, until=NOW)

    async def test_expired_uploads_come_in_order(self, begin: Begin) -> None:
        made = [make_upload(number, expires_s=10 - number) for number in range(1, 5)]
        async with begin() as tx:
            for upload in made:
                await tx.resumable.add(upload)
            at = NOW + 8 * SECOND
            assert await tx.resumable.take_expired(now=at, limit=2) == [made[3], made[2]]
            assert len(await tx.resumable.take_expired(now=at, limit=9)) == 3
            assert await tx.resumable.take_expired(now=NOW, limit=9) == []

    async def test_an_account_that_closes_opens_none_and_gives_all(self, begin: Begin) -> None:
        made = [make_upload(2), make_upload(1)]
        async with begin() as tx:
            for upload in [*made, make_upload(3, account_id="bert")]:
                await tx.resumable.add(upload)
            await tx.audio.close_account("anna")
            assert await tx.resumable.of_account("anna", limit=1) == [made[1]]
            assert len(await tx.resumable.of_account("anna", limit=9)) == 2
        with pytest.raises(AccountGone):
            async with begin() as tx:
                await tx.resumable.add(make_upload(4))
