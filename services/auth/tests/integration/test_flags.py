"""Flags over flagd's protocol and OFREP, proved by clients that we did not write."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from services.auth.tests.conformance import account
from services.auth.tests.integration.conftest import Served
from tonearm_auth import bootstrap
from tonearm_auth.bootstrap import Parts
from tonearm_auth.domain.flag import Audience
from tonearm_contracts.rpc.flagd.evaluation.v1 import evaluation_pb2 as v1
from tonearm_contracts.rpc.flagd.evaluation.v1.evaluation_pb2_grpc import ServiceStub as V1Stub
from tonearm_contracts.rpc.flagd.evaluation.v2 import evaluation_pb2 as v2
from tonearm_contracts.rpc.flagd.evaluation.v2.evaluation_pb2_grpc import ServiceStub as V2Stub
from tonearm_kit import http as kit_http
from tonearm_kit.errors import RemoteError

pytestmark = pytest.mark.integration

CLIENTS = Path(__file__).parent / "clients"
STATIC_ON = [True, "STATIC", "on", None]


async def set_flag(
    parts: Parts,
    key: str,
    *,
    is_enabled: bool = True,
    audience: Audience = "everyone",
    percentage: int = 100,
) -> None:
    async with parts.begin() as tx:
        flag = await tx.flags.lock(key)
        assert flag is not None
        changed = flag.changed(is_enabled=is_enabled, audience=audience, percentage=percentage)
        await tx.flags.save(changed, at=parts.clock.now())


def context(**attributes: str) -> Struct:
    struct = Struct()
    struct.update(attributes)
    return struct


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield json.loads(line)


async def test_an_unmodified_flagd_client_evaluates_and_hears_of_changes(
    parts: Parts, served: Served
) -> None:
    async with parts.begin() as tx:
        await tx.accounts.add(replace(account(), plan="premium"))
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CLIENTS / "flagd_client.py"),
        str(served.port),
        "id-anna",
        stdout=asyncio.subprocess.PIPE,
    )
    told = lines(client)
    assert await anext(told) == {
        "audio-upload": STATIC_ON,
        "ai-moods": STATIC_ON,
        "premium-export": [True, "TARGETING_MATCH", "on", None],
        "no-such-flag": [False, "ERROR", None, "FLAG_NOT_FOUND"],
        "as string": ["mine", "ERROR", None, "TYPE_MISMATCH"],
    }
    await set_flag(parts, "ai-moods", is_enabled=False)
    # It had cached the answer; being told of the change, it asks again.
    assert (await anext(told))["ai-moods"] == [False, "DISABLED", None, None]
    assert await client.wait() == 0


async def test_an_unmodified_ofrep_client_evaluates(parts: Parts) -> None:
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
    await set_flag(parts, "ai-moods", is_enabled=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            kit_http.serve(
                bootstrap.make_app(parts),
                host="127.0.0.1",
                port=0,
                stop=stop,
                on_started=bound.set_result,
            )
        )
        base = f"http://127.0.0.1:{await bound}"
        async with httpx.AsyncClient(base_url=base) as http:
            mine, token = await account_and_token(http)
            client = await asyncio.create_subprocess_exec(
                sys.executable,
                str(CLIENTS / "ofrep_client.py"),
                base,
                token,
                mine,
                stdout=asyncio.subprocess.PIPE,
            )
            told = await anext(lines(client))
            assert await client.wait() == 0
        stop.set()
    assert told == {
        "audio-upload True": [True, "STATIC", None],
        "premium-export True": [False, "TARGETING_MATCH", None],
        "ai-moods True": [True, "DISABLED", None],
        "no-such-flag True": [True, "ERROR", "FLAG_NOT_FOUND"],
        "audio-upload False": [True, "ERROR", "GENERAL"],
        "no key": [True, "ERROR", "TARGETING_KEY_MISSING"],
    }


async def account_and_token(http: httpx.AsyncClient) -> tuple[str, str]:
    who = {"email": "anna@example.org", "password": "correct horse battery"}
    made = await http.post("/v1/auth/register", json=who)
    tokens = await http.post("/v1/auth/login", json=who)
    return made.json()["id"], tokens.json()["access_token"]


async def test_bulk_answers_change_their_tag_with_flags_context_and_entitlements(
    parts: Parts, http: httpx.AsyncClient
) -> None:
    mine, token = await account_and_token(http)
    headers = {"Authorization": f"Bearer {token}"}

    async def ask(tag: str | None = None, **attributes: str) -> httpx.Response:
        return await http.post(
            "/ofrep/v1/evaluate/flags",
            json={"context": {"targetingKey": mine, **attributes}},
            headers=headers | ({"If-None-Match": tag} if tag else {}),
        )

    first = await ask()
    assert len(first.json()["flags"]) == 20
    tag = first.headers["etag"]
    same = await ask(tag)
    assert (same.status_code, same.content) == (304, b"")
    assert (await ask(f'"other", W/{tag}')).status_code == 304
    assert (await ask(tag, colour="red")).status_code == 200
    await set_flag(parts, "ai-moods", percentage=0)
    changed = await ask(tag)
    assert changed.status_code == 200
    async with parts.begin() as tx:
        held = await tx.accounts.lock(mine)
        assert held is not None
        await tx.accounts.save(replace(held, plan="premium"))
    assert (await ask(changed.headers["etag"])).status_code == 200


async def test_ofrep_needs_a_token(http: httpx.AsyncClient) -> None:
    response = await http.post("/ofrep/v1/evaluate/flags", json={"context": {"targetingKey": "x"}})
    assert response.status_code == 401


async def test_version_one_answers_all_and_says_false_where_a_value_must_be(
    parts: Parts, served: Served
) -> None:
    await set_flag(parts, "ai-moods", is_enabled=False)
    stub = V1Stub(served.channel)
    told = await stub.ResolveAll(v1.ResolveAllRequest(context=context(targetingKey="x")))
    assert len(told.flags) == 19
    assert told.flags["audio-upload"].bool_value
    assert not told.flags["premium-export"].bool_value
    off = await stub.ResolveBoolean(v1.ResolveBooleanRequest(flag_key="ai-moods"))
    assert (off.value, off.variant, off.reason) == (False, "", "DISABLED")
    claimed = await stub.ResolveBoolean(
        v1.ResolveBooleanRequest(
            flag_key="premium-export", context=context(targetingKey="job", plan="premium")
        )
    )
    assert claimed.value


async def test_version_two_leaves_the_value_out(parts: Parts, served: Served) -> None:
    await set_flag(parts, "ai-moods", is_enabled=False)
    stub = V2Stub(served.channel)
    off = await stub.ResolveBoolean(v2.ResolveBooleanRequest(flag_key="ai-moods"))
    assert off.reason == "DISABLED"
    assert not off.HasField("value")
    assert not off.HasField("variant")
    with pytest.raises(RemoteError) as refused:
        await stub.ResolveInt(v2.ResolveIntRequest(flag_key="ai-moods"))
    assert refused.value.error_code == "type_mismatch"


async def test_a_stream_begins_ready_stays_alive_and_tells_changes(
    parts: Parts, served: Served
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        stream = V1Stub(channel).EventStream(v1.EventStreamRequest())
        messages = aiter(stream)
        assert (await anext(messages)).type == "provider_ready"
        assert (await anext(messages)).type in ("keep_alive", "configuration_change")
        await set_flag(parts, "ai-genres", percentage=50)
        async with asyncio.timeout(10):
            while True:
                message = await anext(messages)
                told = json_format.MessageToDict(message.data)
                if message.type == "configuration_change" and list(told["flags"]) == ["ai-genres"]:
                    break
        stream.cancel()
