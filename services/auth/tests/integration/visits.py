"""What the tests of the HTTP door do at it, as an account would."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tonearm_auth.bootstrap import Parts

PASSWORD = "correct horse battery"
ANNA = "anna@example.org"


async def register(http: httpx.AsyncClient, email: str = ANNA, **headers: str) -> httpx.Response:
    return await http.post(
        "/v1/auth/register", json={"email": email, "password": PASSWORD}, headers=headers
    )


async def log_in(http: httpx.AsyncClient, email: str = ANNA) -> dict[str, Any]:
    response = await http.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    told: dict[str, Any] = response.json()
    return told


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def refresh(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/v1/auth/refresh", json={"refresh_token": token})


async def events(parts: Parts) -> list[tuple[str, dict[str, Any]]]:
    async with parts.db.acquire() as conn:
        rows = await conn.fetch("SELECT headers, value FROM outbox ORDER BY created_at, position")
    return [(row["headers"]["ce_type"], json.loads(row["value"])) for row in rows]
