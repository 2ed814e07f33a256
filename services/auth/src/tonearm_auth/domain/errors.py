"""What auth refuses, and the word that clients may rely on for each refusal."""

from __future__ import annotations

from tonearm_kit.errors import AppError, Kind


class EmailTaken(AppError):
    """An account with this e-mail address exists already."""

    code, kind = "email_taken", Kind.CONFLICT


class EmailInvalid(AppError):
    """This is not an e-mail address that mail can be sent to."""

    code, kind = "email_invalid", Kind.INVALID


class PasswordRejected(AppError):
    """The password does not meet the rules; member `reason` says which one."""

    code, kind = "password_rejected", Kind.INVALID


class BadCredentials(AppError):
    """The e-mail address or the password is wrong."""

    code, kind = "bad_credentials", Kind.UNAUTHENTICATED


class RefreshRejected(AppError):
    """The refresh token is unknown, expired, ended or was used before; log in again."""

    code, kind = "refresh_rejected", Kind.UNAUTHENTICATED


class RefreshReused(RefreshRejected):
    """The refresh token is unknown, expired, ended or was used before; log in again."""

    # The same words and code: only our own log tells a theft from an old token.


class SessionEnded(AppError):
    """The session of this token has ended; log in again."""

    code, kind = "session_ended", Kind.UNAUTHENTICATED


class SessionNotFound(AppError):
    """The account has no live session with this id."""

    code, kind = "session_not_found", Kind.NOT_FOUND


class AccountNotFound(AppError):
    """There is no such account."""

    code, kind = "account_not_found", Kind.NOT_FOUND


class SuperuserRequired(AppError):
    """Only a superuser may do this."""

    code, kind = "superuser_required", Kind.FORBIDDEN


class LastSuperuser(AppError):
    """The last active superuser cannot be deactivated or demoted."""

    code, kind = "last_superuser", Kind.CONFLICT


class FlagNotFound(AppError):
    """There is no flag with this key."""

    code, kind = "flag_not_found", Kind.NOT_FOUND


class ForeignTargetingKey(AppError):
    """Flags can be evaluated for the caller's own account only."""

    code, kind = "foreign_targeting_key", Kind.FORBIDDEN


class HashingBusy(AppError):
    """Too many passwords are being checked right now; try again in a moment."""

    code, kind, retryable = "hashing_busy", Kind.UNAVAILABLE, True


class TooManyLogins(AppError):
    """Too many failed attempts to log in to this account; wait before the next one."""

    code, kind, retryable = "too_many_logins", Kind.EXHAUSTED, True


class QuotaExceeded(AppError):
    """The use does not fit into the plan; member `violated_limits` names what it exceeds."""

    code, kind = "quota_exceeded", Kind.EXHAUSTED


class ReservationNotFound(AppError):
    """There is no such reservation."""

    code, kind = "reservation_not_found", Kind.NOT_FOUND


class ReservationKeyReused(AppError):
    """The idempotency key belongs to a reservation of other amounts."""

    code, kind = "reservation_key_reused", Kind.CONFLICT


class ReservationRefunded(AppError):
    """The reservation was given back and cannot be committed."""

    code, kind = "reservation_refunded", Kind.CONFLICT


class AmountInvalid(AppError):
    """Amounts are finite, not negative and below 2^53."""

    code, kind = "amount_invalid", Kind.INVALID


class KeyEncryptionFailed(AppError):
    """A stored signing key cannot be opened with the configured encryption key."""

    code, kind = "key_encryption_failed", Kind.INTERNAL


class NoticePeriodInvalid(AppError):
    """A notice's end must come after its beginning."""

    code, kind = "notice_period_invalid", Kind.INVALID
