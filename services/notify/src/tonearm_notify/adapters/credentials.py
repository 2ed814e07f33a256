"""Access tokens as credentials of a connection."""

from __future__ import annotations

from tonearm_kit.errors import AppError
from tonearm_kit.tokens import TokenExpired, TokenInvalid, TokenVerifier
from tonearm_notify.domain import codes
from tonearm_notify.usecases.admit import Refused
from tonearm_notify.usecases.ports import Identity


class TokenCredentials:
    """Checks access tokens against the issuer's published keys."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def identify(self, credential: str) -> Identity:
        """Return who this is. Raises Refused: expired tokens ask for a refresh (109)."""
        try:
            principal = await self._verifier.verify(credential)
        except TokenExpired as error:
            raise Refused(codes.TOKEN_EXPIRED) from error
        except TokenInvalid as error:
            raise Refused(codes.UNAUTHORIZED, codes.INVALID_TOKEN) from error
        except AppError as error:
            raise Refused(codes.INTERNAL) from error
        return Identity(
            principal.account_id, principal.session_id, principal.expires_at.timestamp()
        )
