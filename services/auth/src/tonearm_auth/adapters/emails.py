"""E-mail addresses: checked by the standard's grammar, brought to one spelling."""

from __future__ import annotations

from email_validator import EmailNotValidError, validate_email

from tonearm_auth.domain.errors import EmailInvalid

_LENGTH_MAX = 254


def normalise_email(text: str) -> str:
    """Return the address in the one spelling that accounts are found by.

    Unicode is normalised (NFC), the domain becomes lower-case ASCII or Unicode as mail servers
    see it, and the local part lower case, since nobody tells two people apart by case alone.
    No DNS is asked. Raise `EmailInvalid`.
    """
    if len(text) > _LENGTH_MAX:
        raise EmailInvalid
    try:
        checked = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise EmailInvalid from error
    return checked.normalized.lower()
