"""`/v1/admin/*`: what superusers see and change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from tonearm_auth.domain import errors
from tonearm_auth.domain.account import Account, Plan
from tonearm_auth.domain.flag import Audience, Flag
from tonearm_auth.entrypoints.http_auth import to_caller
from tonearm_auth.entrypoints.views import (
    AccountList,
    AccountView,
    AuditList,
    AuditView,
    FlagDetailView,
    FlagList,
    FlagView,
    OverrideView,
)
from tonearm_auth.usecases.administer import ChangeAccount, ChangeFlag
from tonearm_auth.usecases.ports import AuditEntry
from tonearm_kit import tokens
from tonearm_kit.http import problems

Key = Annotated[str, Path(min_length=1, max_length=100)]
AccountId = Annotated[str, Path(min_length=1, max_length=64)]
PageSize = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=64)]

_ALWAYS = (errors.SuperuserRequired, errors.SessionEnded)


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FlagBody(_Body):
    """The whole rules of a flag."""

    is_enabled: StrictBool
    audience: Audience
    percentage: Annotated[int, Field(ge=0, le=100, strict=True)]


class OverrideBody(_Body):
    """The account's own value."""

    value: StrictBool


class AccountBody(_Body):
    """What to change; what is left out or null stays."""

    plan: Plan | None = None
    is_beta: StrictBool | None = None
    is_active: StrictBool | None = None
    is_superuser: StrictBool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDoor:
    """The use cases behind the routes; each takes the caller first."""

    list_flags: Callable[..., Awaitable[Sequence[Flag]]]
    get_flag: Callable[..., Awaitable[tuple[Flag, Mapping[str, bool]]]]
    change_flag: Callable[..., Awaitable[Flag]]
    change_override: Callable[..., Awaitable[None]]
    list_accounts: Callable[..., Awaitable[Sequence[Account]]]
    get_account: Callable[..., Awaitable[Account]]
    change_account: Callable[..., Awaitable[Account]]
    list_audit: Callable[..., Awaitable[Sequence[AuditEntry]]]


def routes(door: AdminDoor) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/admin", tags=["admin"])
    _add_flag_routes(router, door)
    _add_account_routes(router, door)
    _add_audit_routes(router, door)
    return router


def _add_flag_routes(router: APIRouter, door: AdminDoor) -> None:
    @router.get("/flags", responses=problems(*_ALWAYS))
    async def get_flags(caller: tokens.Caller) -> FlagList:
        """Return every flag."""
        found = await door.list_flags(to_caller(caller))
        return FlagList(items=[FlagView.of(flag) for flag in found])

    @router.get("/flags/{key}", responses=problems(*_ALWAYS, errors.FlagNotFound))
    async def get_flag(caller: tokens.Caller, key: Key) -> FlagDetailView:
        """Return a flag and its overrides."""
        flag, overrides = await door.get_flag(to_caller(caller), key=key)
        listed = [OverrideView(account_id=each, value=on) for each, on in overrides.items()]
        return FlagDetailView(**FlagView.of(flag).model_dump(), overrides=listed)

    @router.put("/flags/{key}", responses=problems(*_ALWAYS, errors.FlagNotFound))
    async def put_flag(caller: tokens.Caller, key: Key, body: FlagBody) -> FlagView:
        """Replace the rules of a flag."""
        cmd = ChangeFlag(
            key=key,
            is_enabled=body.is_enabled,
            audience=body.audience,
            percentage=body.percentage,
        )
        return FlagView.of(await door.change_flag(to_caller(caller), cmd))

    @router.put(
        "/flags/{key}/overrides/{account_id}",
        status_code=204,
        responses=problems(*_ALWAYS, errors.FlagNotFound, errors.AccountNotFound),
    )
    async def put_override(
        caller: tokens.Caller, key: Key, account_id: AccountId, body: OverrideBody
    ) -> None:
        """Give an account its own value."""
        await door.change_override(
            to_caller(caller), key=key, account_id=account_id, value=body.value
        )

    @router.delete(
        "/flags/{key}/overrides/{account_id}",
        status_code=204,
        responses=problems(*_ALWAYS, errors.FlagNotFound, errors.AccountNotFound),
    )
    async def delete_override(caller: tokens.Caller, key: Key, account_id: AccountId) -> None:
        """Take an account's own value away."""
        await door.change_override(to_caller(caller), key=key, account_id=account_id, value=None)


def _add_account_routes(router: APIRouter, door: AdminDoor) -> None:
    @router.get("/accounts", responses=problems(*_ALWAYS))
    async def get_accounts(
        caller: tokens.Caller,
        email: Annotated[str | None, Query(max_length=254)] = None,
        cursor: Cursor = None,
        limit: PageSize = 50,
    ) -> AccountList:
        """Return accounts by id, those whose address contains `email`."""
        found = await door.list_accounts(
            to_caller(caller), email_part=email, after_id=cursor, limit=limit + 1
        )
        return AccountList(
            items=[AccountView.of(account) for account in found[:limit]],
            next_cursor=found[limit - 1].id if len(found) > limit else None,
        )

    @router.get("/accounts/{account_id}", responses=problems(*_ALWAYS, errors.AccountNotFound))
    async def get_account(caller: tokens.Caller, account_id: AccountId) -> AccountView:
        """Return an account."""
        return AccountView.of(await door.get_account(to_caller(caller), account_id=account_id))

    @router.patch(
        "/accounts/{account_id}",
        responses=problems(*_ALWAYS, errors.AccountNotFound, errors.LastSuperuser),
    )
    async def patch_account(
        caller: tokens.Caller, account_id: AccountId, body: AccountBody
    ) -> AccountView:
        """Change what an account is entitled to. Disabling it ends its sessions."""
        cmd = ChangeAccount(
            account_id=account_id,
            plan=body.plan,
            is_beta=body.is_beta,
            is_active=body.is_active,
            is_superuser=body.is_superuser,
        )
        return AccountView.of(await door.change_account(to_caller(caller), cmd))


def _add_audit_routes(router: APIRouter, door: AdminDoor) -> None:
    @router.get("/audit", responses=problems(*_ALWAYS))
    async def get_audit(
        caller: tokens.Caller, cursor: Cursor = None, limit: PageSize = 50
    ) -> AuditList:
        """Return who changed what, newest first."""
        found = await door.list_audit(to_caller(caller), before_id=cursor, limit=limit + 1)
        return AuditList(
            items=[AuditView.of(entry) for entry in found[:limit]],
            next_cursor=found[limit - 1].id if len(found) > limit else None,
        )
