"""`/v1/auth/*`: accounts, sessions, usage."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from tonearm_auth.domain import errors
from tonearm_auth.domain.account import Account
from tonearm_auth.domain.session import Client, Session
from tonearm_auth.entrypoints import measures
from tonearm_auth.entrypoints.usage import to_lines
from tonearm_auth.entrypoints.views import (
    AccountView,
    LimitView,
    SessionList,
    SessionView,
    TokensView,
    UsageView,
)
from tonearm_auth.usecases.caller import Caller
from tonearm_auth.usecases.change_password import ChangePassword
from tonearm_auth.usecases.log_in import LogIn
from tonearm_auth.usecases.ports import Tx
from tonearm_auth.usecases.register import Register
from tonearm_auth.usecases.reserve_quota import QuotaStanding
from tonearm_auth.usecases.tokens import TokenPair
from tonearm_kit import tokens
from tonearm_kit.errors import AppError
from tonearm_kit.http import problems
from tonearm_kit.idempotency import (
    KEY_DESCRIBED,
    KEY_REFUSALS,
    Claim,
    IdempotencyStore,
    Reply,
    once,
)
from tonearm_kit.logs import get_logger

log = get_logger(__name__)

_PASSWORD_CHARS_MAX = 1024
_USER_AGENT_CHARS_MAX = 300

Password = Annotated[str, Field(max_length=_PASSWORD_CHARS_MAX)]
Email = Annotated[str, Field(min_length=3, max_length=254)]
SessionId = Annotated[str, Path(min_length=1, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class RegisterBody(_Body):
    """A new account. Passwords: at least 8 characters, anything goes, nothing common."""

    email: Email
    password: Password
    full_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class LoginBody(_Body):
    """Who logs in."""

    email: Email
    password: Password


class RefreshBody(_Body):
    """The refresh token that was given last."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=512)]


class PasswordBody(_Body):
    """The old and the new password."""

    current_password: Password
    new_password: Password
    end_other_sessions: StrictBool = True


class DeleteBody(_Body):
    """The password, as a proof that it is really meant."""

    password: Password


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthDoor:
    """The use cases behind the routes."""

    register: Callable[..., Awaitable[Account]]
    complete: Callable[[Tx, Claim, Reply], Awaitable[None]]
    """Stores the answer to an `Idempotency-Key` in the transaction of the work itself."""
    log_in: Callable[[LogIn], Awaitable[TokenPair]]
    refresh: Callable[[str], Awaitable[TokenPair]]
    log_out: Callable[[Caller], Awaitable[None]]
    get_me: Callable[[Caller], Awaitable[Account]]
    change_password: Callable[[Caller, ChangePassword], Awaitable[None]]
    delete_account: Callable[..., Awaitable[None]]
    list_sessions: Callable[[Caller], Awaitable[Sequence[Session]]]
    end_session: Callable[..., Awaitable[None]]
    end_all_sessions: Callable[..., Awaitable[int]]
    usage: Callable[[str], Awaitable[QuotaStanding]]
    idempotency: IdempotencyStore
    fingerprint_secret: bytes
    """Keys the digest of a registration, which would otherwise be a fast hash of a password."""
    trusted_hops: int
    """Proxies in front that append to X-Forwarded-For."""


def to_caller(principal: tokens.Principal) -> Caller:
    """Return what use cases need of a verified token."""
    return Caller(account_id=principal.account_id, session_id=principal.session_id)


def routes(door: AuthDoor) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/auth", tags=["auth"])
    _add_entry_routes(router, door)
    _add_own_routes(router, door)
    _add_session_routes(router, door)
    return router


def _add_entry_routes(router: APIRouter, door: AuthDoor) -> None:
    @router.post(
        "/register",
        status_code=201,
        response_model=AccountView,
        openapi_extra=KEY_DESCRIBED,
        responses=problems(
            errors.EmailTaken,
            errors.EmailInvalid,
            errors.PasswordRejected,
            errors.HashingBusy,
            *KEY_REFUSALS,
        ),
    )
    async def post_register(request: Request, body: RegisterBody) -> Response:
        """Open an account."""

        async def work(claim: Claim | None) -> Reply:
            async def recorded(tx: Tx, account: Account) -> None:
                if claim is not None:
                    await door.complete(tx, claim, _created(account))

            cmd = Register(email=body.email, password=body.password, full_name=body.full_name)
            return _created(await door.register(cmd, recorded=recorded))

        digest = hmac.digest(door.fingerprint_secret, body.model_dump_json().encode(), "sha256")
        owner = hmac.digest(door.fingerprint_secret, body.email.lower().encode(), "sha256").hex()
        return await once(request, door.idempotency, work, caller=owner, payload=digest)

    @router.post(
        "/login",
        response_model=TokensView,
        responses=problems(errors.BadCredentials, errors.TooManyLogins, errors.HashingBusy),
    )
    async def post_login(request: Request, response: Response, body: LoginBody) -> TokensView:
        """Open a session."""
        client = client_of(request, trusted_hops=door.trusted_hops)
        try:
            found = await door.log_in(
                LogIn(email=body.email, password=body.password, client=client)
            )
        except AppError as error:
            measures.LOGINS.add(1, {"outcome": error.error_code})
            log.warning("log-in refused", code=error.error_code, address=client.address)
            raise
        measures.LOGINS.add(1, {"outcome": "ok"})
        log.info("logged in", session_id=found.session_id, address=client.address)
        return _untold(response, TokensView.of(found))

    @router.post("/refresh", response_model=TokensView, responses=problems(errors.RefreshRejected))
    async def post_refresh(response: Response, body: RefreshBody) -> TokensView:
        """Continue a session. Every refresh token is good for one use; keep the new one."""
        try:
            found = await door.refresh(body.refresh_token)
        except errors.RefreshReused:
            measures.REFRESHES.add(1, {"outcome": "reused"})
            log.warning("a used refresh token came back; its session was ended")
            raise
        except errors.RefreshRejected:
            measures.REFRESHES.add(1, {"outcome": "refused"})
            raise
        measures.REFRESHES.add(1, {"outcome": "ok"})
        return _untold(response, TokensView.of(found))


def _add_own_routes(router: APIRouter, door: AuthDoor) -> None:
    @router.post("/logout", status_code=204, responses=problems(errors.SessionEnded))
    async def post_logout(caller: tokens.Caller) -> None:
        """End the session of this token; its refresh token opens nothing any more."""
        await door.log_out(to_caller(caller))

    @router.get("/me", responses=problems(errors.SessionEnded))
    async def get_me(caller: tokens.Caller) -> AccountView:
        """Return the caller's account."""
        return AccountView.of(await door.get_me(to_caller(caller)))

    @router.get("/usage", responses=problems(errors.SessionEnded))
    async def get_usage(caller: tokens.Caller) -> UsageView:
        """Return the limits of the caller's plan and what is used of them."""
        account = await door.get_me(to_caller(caller))
        standing = await door.usage(account.id)
        return UsageView(
            plan=standing.plan, limits=[LimitView.of(line) for line in to_lines(standing)]
        )

    @router.post(
        "/password",
        status_code=204,
        responses=problems(
            errors.SessionEnded,
            errors.BadCredentials,
            errors.PasswordRejected,
            errors.TooManyLogins,
        ),
    )
    async def post_password(caller: tokens.Caller, body: PasswordBody) -> None:
        """Change the password; unless asked otherwise, every other session ends."""
        await door.change_password(
            to_caller(caller),
            ChangePassword(
                current_password=body.current_password,
                new_password=body.new_password,
                end_other_sessions=body.end_other_sessions,
            ),
        )

    @router.post(
        "/me/delete",
        status_code=204,
        responses=problems(
            errors.SessionEnded,
            errors.BadCredentials,
            errors.LastSuperuser,
            errors.TooManyLogins,
        ),
    )
    async def post_delete(caller: tokens.Caller, body: DeleteBody) -> None:
        """Close the account for good; everything that Tonearm holds of it is deleted."""
        await door.delete_account(to_caller(caller), password=body.password)


def _add_session_routes(router: APIRouter, door: AuthDoor) -> None:
    @router.get("/sessions", responses=problems(errors.SessionEnded))
    async def get_sessions(caller: tokens.Caller) -> SessionList:
        """Return the caller's live sessions, newest first."""
        found = await door.list_sessions(to_caller(caller))
        return SessionList(
            items=[SessionView.of(each, current_id=caller.session_id) for each in found]
        )

    @router.delete("/sessions", status_code=204, responses=problems(errors.SessionEnded))
    async def delete_sessions(caller: tokens.Caller, keep_current: bool = True) -> None:
        """End the caller's sessions, unless asked otherwise all but this one."""
        await door.end_all_sessions(to_caller(caller), keep_current=keep_current)

    @router.delete(
        "/sessions/{session_id}",
        status_code=204,
        responses=problems(errors.SessionEnded, errors.SessionNotFound),
    )
    async def delete_session(caller: tokens.Caller, session_id: SessionId) -> None:
        """End one of the caller's sessions."""
        await door.end_session(to_caller(caller), session_id=session_id)


def client_of(request: Request, *, trusted_hops: int) -> Client:
    """Return how the list of sessions will show this client.

    The address is the one that the outermost trusted proxy saw; what a client wrote into
    `X-Forwarded-For` itself stands further left and is not looked at.
    """
    peer = request.client.host if request.client is not None else ""
    forwarded = request.headers.get("x-forwarded-for", "")
    seen = [part.strip() for part in forwarded.split(",") if part.strip()]
    address = seen[-trusted_hops] if 0 < trusted_hops <= len(seen) else peer
    agent = request.headers.get("user-agent", "")
    return Client(
        user_agent=_printable(agent)[:_USER_AGENT_CHARS_MAX], address=_printable(address)[:64]
    )


def _created(account: Account) -> Reply:
    view = AccountView.of(account).model_dump(mode="json")
    return Reply(201, view, {"Location": "/v1/auth/me"})


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())


def _untold(response: Response, view: TokensView) -> TokensView:
    response.headers["Cache-Control"] = "no-store"
    return view
