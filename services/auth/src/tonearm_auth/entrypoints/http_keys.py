"""`/.well-known/jwks.json`: the keys that access tokens are checked with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, Response
from pydantic import BaseModel, JsonValue


class JwkView(BaseModel):
    """One public key, RFC 7517."""

    kty: str
    crv: str
    x: str
    y: str
    kid: str
    use: str
    alg: str


class JwksView(BaseModel):
    """The key set: the coming key, the current one, and those replaced lately."""

    keys: list[JwkView]


def routes(
    published: Callable[[], Sequence[Mapping[str, JsonValue]]], *, max_age_s: int
) -> APIRouter:
    """Return the route; clients may keep the answer for `max_age_s` seconds."""
    router = APIRouter(tags=["keys"])

    @router.get("/.well-known/jwks.json")
    async def get_jwks(response: Response) -> JwksView:
        """Return the public keys."""
        response.headers["Cache-Control"] = f"public, max-age={max_age_s}"
        return JwksView(keys=[JwkView.model_validate(dict(key)) for key in published()])

    return router
