"""`/v1/admin/dead-letters`: events that a consumer could not apply, for superusers.

The same desk as `tonearm dlq`; every change is audited under the superuser's account id.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tonearm_auth.domain import errors
from tonearm_auth.entrypoints.http_auth import to_caller
from tonearm_auth.usecases.caller import Caller
from tonearm_kit import tokens
from tonearm_kit.deadletters import Action, DeadLetter, Desk, UnknownLetter
from tonearm_kit.deadletters.desk import LetterClosed
from tonearm_kit.errors import Unavailable
from tonearm_kit.http import problems
from tonearm_kit.kafka import BrokerError

LetterId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]
Cursor = Annotated[str | None, Query(pattern=r"^[0-9a-f]{12}$")]
Filter = Annotated[str | None, Query(min_length=1, max_length=200)]
State = Literal["open", "redriven", "discarded"]
Reason = Annotated[str, Field(min_length=1, max_length=500)]

_ALWAYS = (errors.SuperuserRequired, errors.SessionEnded, Unavailable)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LetterView(_Model):
    """A dead letter as a list shows it."""

    id: str
    state: State
    edited: bool
    group: str
    event_type: str | None
    event_id: str | None
    key: str | None
    reason: str
    stack_hash: str | None
    attempts: int
    failed_at: datetime
    trace_id: str | None


class LetterList(_Model):
    """Dead letters, oldest first; pass `next_cursor` as `cursor` for the next page, null at the end."""

    items: list[LetterView]
    next_cursor: str | None


class ActionView(_Model):
    """Something that was done to a letter."""

    action: Literal["edit", "redrive", "discard"]
    actor: str
    at: datetime
    reason: str | None

    @classmethod
    def of(cls, action: Action) -> ActionView:
        """Return the view of an action."""
        return cls(action=action.verb, actor=action.actor, at=action.at, reason=action.reason)


class LetterDetailView(LetterView):
    """Everything about one letter."""

    origin: dict[str, JsonValue]
    error_class: str | None
    stack: str | None
    headers: dict[str, str]
    value: JsonValue
    audit: list[ActionView]


class EditBody(_Model):
    """The event's new data."""

    value: dict[str, JsonValue]
    reason: Reason


class ReasonBody(_Model):
    """Why."""

    reason: Reason


class RedriveBody(_Model):
    """Which letters to give to their groups once more."""

    ids: Annotated[list[str], Field(min_length=1, max_length=100)]
    dry_run: bool = False
    reason: Reason | None = None


class RedriveView(_Model):
    """What was redriven, or would be."""

    ids: list[str]
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterDoor:
    """What is behind the routes."""

    check: Callable[[Caller], Awaitable[object]]
    """Raises unless the caller is a superuser."""
    open_desk: Callable[[str], AbstractAsyncContextManager[Desk]]
    """Opens the desk in the name of an account id."""

    @asynccontextmanager
    async def desk(self, principal: tokens.Principal) -> AsyncIterator[Desk]:
        """Open the desk for a superuser; raise `Unavailable` while Kafka is away."""
        await self.check(to_caller(principal))
        try:
            async with self.open_desk(principal.account_id) as desk:
                yield desk
        except BrokerError as error:
            raise Unavailable from error


def routes(door: DeadLetterDoor) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/admin/dead-letters", tags=["dead letters"])
    _add_reading_routes(router, door)
    _add_changing_routes(router, door)
    return router


def _behind(letters: list[DeadLetter], cursor: str | None) -> list[DeadLetter]:
    """Return the letters behind the one whose id the cursor is. Raises `UnknownLetter`."""
    if cursor is None:
        return letters
    ids = [letter.id for letter in letters]
    if cursor not in ids:
        raise UnknownLetter(letter_id=cursor)
    return letters[ids.index(cursor) + 1 :]


def _add_reading_routes(router: APIRouter, door: DeadLetterDoor) -> None:
    @router.get("", responses=problems(*_ALWAYS, UnknownLetter))
    async def get_letters(
        caller: tokens.Caller,
        state: State = "open",
        group: Filter = None,
        stack_hash: Filter = None,
        event_type: Filter = None,
        cursor: Cursor = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> LetterList:
        """Return the letters that match, oldest first."""
        async with door.desk(caller) as desk:
            # The cursor's letter may have been redriven since: letters of every state keep its place.
            letters = await desk.letters(
                group=group, states=get_args(State), stack_hash=stack_hash, event_type=event_type
            )
        found = [letter for letter in _behind(letters, cursor) if letter.state == state]
        return LetterList(
            items=[_view(letter) for letter in found[:limit]],
            next_cursor=found[limit - 1].id if len(found) > limit else None,
        )

    @router.get("/{letter_id}", responses=problems(*_ALWAYS, UnknownLetter))
    async def get_letter(caller: tokens.Caller, letter_id: LetterId) -> LetterDetailView:
        """Return everything about a letter, and what was done to it."""
        async with door.desk(caller) as desk:
            letter = await desk.letter(letter_id)
            actions = await desk.actions(letter_id)
        return LetterDetailView(
            **letter.as_json(whole=True), audit=[ActionView.of(action) for action in actions]
        )


def _add_changing_routes(router: APIRouter, door: DeadLetterDoor) -> None:
    @router.put("/{letter_id}/value", responses=problems(*_ALWAYS, UnknownLetter, LetterClosed))
    async def put_value(caller: tokens.Caller, letter_id: LetterId, body: EditBody) -> LetterView:
        """Replace the event's data; the letter stays open until it is redriven."""
        async with door.desk(caller) as desk:
            text = json.dumps(body.value, ensure_ascii=False)
            return _view(await desk.edit(letter_id, text, reason=body.reason))

    @router.post("/{letter_id}/discard", responses=problems(*_ALWAYS, UnknownLetter, LetterClosed))
    async def post_discard(
        caller: tokens.Caller, letter_id: LetterId, body: ReasonBody
    ) -> LetterView:
        """Close a letter without sending it."""
        async with door.desk(caller) as desk:
            return _view(await desk.discard(letter_id, reason=body.reason))

    @router.post("/redrive", responses=problems(*_ALWAYS, UnknownLetter))
    async def post_redrive(caller: tokens.Caller, body: RedriveBody) -> RedriveView:
        """Give the named letters to their groups once more; closed ones are left out."""
        async with door.desk(caller) as desk:
            letters = await desk.letters_by_id(body.ids)
            result = await desk.redrive(letters, dry_run=body.dry_run, reason=body.reason)
        return RedriveView(ids=[letter.id for letter in result.letters], dry_run=result.dry_run)


def _view(letter: DeadLetter) -> LetterView:
    return LetterView(**letter.as_json())
