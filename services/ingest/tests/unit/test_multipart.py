from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tonearm_ingest.domain.errors import (
    FileMissing,
    MalformedMultipart,
    NotMultipart,
    UploadStalled,
)
from tonearm_ingest.entrypoints.multipart import MultipartFile

TYPE = "multipart/form-data; boundary=bound"


def part(name: str, content: bytes, *, filename: str | None = None) -> bytes:
    extra = f'; filename="{filename}"' if filename is not None else ""
    head = f'--bound\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--bound--\r\n"


async def read(
    body: bytes, *, step: int = 7, content_type: str = TYPE, idle_s_max: float = 5.0
) -> tuple[str, bytes]:
    async def arriving() -> AsyncIterator[bytes]:
        for start in range(0, len(body), step):
            yield body[start : start + step]

    file = await MultipartFile.open(arriving(), content_type=content_type, idle_s_max=idle_s_max)
    return file.filename, b"".join([chunk async for chunk in file.chunks()])


@pytest.mark.parametrize("step", [1, 2, 13, 100, 10_000])
@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 9, b"\r\n--boun\r\n--boun"])
async def test_the_file_comes_out_whole_however_it_arrives(step: int, content: bytes) -> None:
    body = part("title", b"x") + part("file", content, filename="a.wav") + part("z", b"") + END
    assert await read(body, step=step) == ("a.wav", content)


async def test_names_in_utf8_and_quoted_types() -> None:
    body = part("file", b"x", filename="Größe ♫.wav") + END
    assert (await read(body, content_type='Multipart/Form-Data; boundary="bound"'))[0] == (
        "Größe ♫.wav"
    )


@pytest.mark.parametrize("cut", [1, 5, 9, 11])
async def test_a_body_that_is_cut_short_is_never_a_file(cut: int) -> None:
    body = part("file", b"0123456789", filename="a.wav") + END
    with pytest.raises(MalformedMultipart):
        await read(body[:-cut] if cut > 2 else body[: -cut - 4])


@pytest.mark.parametrize(
    "content_type", ["", "audio/wav", "multipart/form-data", "multipart/mixed"]
)
async def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(NotMultipart):
        await read(END, content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        END,
        part("file", b"no name") + END,
        part("other", b"x", filename="a.wav") + END,
        part("other", bytes(70_000), filename="a.wav") + END,
    ],
)
async def test_a_form_without_the_file_is_refused(body: bytes) -> None:
    with pytest.raises(FileMissing):
        await read(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"--other\r\n\r\n",
        part("file", b"1", filename="a") + part("file", b"2", filename="b") + END,
        part("x", b"") * 17 + END,
        part("x", bytes(70_000)) + END,
        b"--bound\r\nX: " + b"y" * 9000,
    ],
)
async def test_bad_forms_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        await read(body, step=512)


async def test_a_client_that_stalls_is_cut_off() -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield part("file", b"abc", filename="a.wav")[:-2]
        await asyncio.Event().wait()

    file = await MultipartFile.open(stalling(), content_type=TYPE, idle_s_max=0.01)
    with pytest.raises(UploadStalled):
        assert [chunk async for chunk in file.chunks()]
