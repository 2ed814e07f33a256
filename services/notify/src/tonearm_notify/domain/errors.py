"""What can be refused over HTTP."""

from __future__ import annotations

from tonearm_kit.errors import AppError, Kind


class ChannelDenied(AppError):
    """This channel is not yours, or it does not exist."""

    code, kind = "channel_denied", Kind.FORBIDDEN


class TooManyChannels(AppError):
    """The request names more channels than one stream may follow."""

    code, kind = "too_many_channels", Kind.INVALID


class TooManyConnections(AppError):
    """This account has as many open connections as it may have."""

    code, kind, retryable = "too_many_connections", Kind.EXHAUSTED, True


class StreamDenied(AppError):
    """The stream needs a valid access token or ticket."""

    code, kind = "stream_denied", Kind.UNAUTHENTICATED


class InvalidCursor(AppError):
    """The cursor is not one that this list gave out."""

    code, kind = "invalid_cursor", Kind.INVALID


class WebhookNotFound(AppError):
    """There is no such webhook."""

    code, kind = "webhook_not_found", Kind.NOT_FOUND


class DeliveryNotFound(AppError):
    """There is no such delivery."""

    code, kind = "delivery_not_found", Kind.NOT_FOUND


class TooManyWebhooks(AppError):
    """This account has as many webhooks as it may have."""

    code, kind = "too_many_webhooks", Kind.EXHAUSTED


class WebhookAddressRefused(AppError):
    """Webhooks go to public https addresses only."""

    code, kind = "webhook_address_refused", Kind.INVALID


class WebhookIsOff(AppError):
    """The webhook is switched off; switch it on first."""

    code, kind = "webhook_is_off", Kind.CONFLICT
