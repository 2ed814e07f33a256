from __future__ import annotations

from tonearm_kit.errors import AppError, Kind, RemoteError, problem_type
from tonearm_kit.grpc import status as grpc_status
from tonearm_kit.http import problem


class QuotaExceeded(AppError):
    """The caller has used up today's uploads.

    More text that is for us.
    """

    code, kind = "quota_exceeded", Kind.EXHAUSTED


def test_the_docstring_is_the_default_detail() -> None:
    assert QuotaExceeded().detail == "The caller has used up today's uploads."
    assert str(QuotaExceeded("51 of 50 used")) == "51 of 50 used"


def test_members_are_kept() -> None:
    assert QuotaExceeded(limit=50).members == {"limit": 50}


def test_the_type_is_a_stable_uri() -> None:
    assert problem_type("quota_exceeded") == "https://tonearm.dev/problems/quota-exceeded"


def test_every_kind_has_a_word_in_every_protocol() -> None:
    assert set(problem.STATUS) == set(Kind)
    assert set(grpc_status.STATUS) == set(Kind)


def test_a_remote_error_speaks_with_the_other_sides_voice() -> None:
    error = RemoteError("full", code="quota_exceeded", kind=Kind.EXHAUSTED, members={"limit": 50})
    assert (error.error_code, error.error_kind, error.can_retry) == (
        "quota_exceeded",
        Kind.EXHAUSTED,
        False,
    )
    assert error.members == {"limit": 50}
