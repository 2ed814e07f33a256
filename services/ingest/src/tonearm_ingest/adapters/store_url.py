"""From a URL to a store. Light, because probing children import it, too."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.store import from_url

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def open_store(url: str, *, timeout_s: float = 30.0, retries_max: int = 3) -> ObjectStore:
    """Return the store behind `url`: `file:///folder`, `s3://bucket/prefix`, `memory://`.

    A folder is created where missing. Credentials and endpoint of S3 come from the environment
    in the standard way (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...). Raises obstore's
    `BaseError` for a URL that nobody understands. `timeout_s` bounds one request, retries are bounded in number.
    """
    scheme = urlsplit(url).scheme
    if scheme == "file":
        # Every upload has a folder of parts: without the clean-up their empty folders stay.
        return from_url(url, mkdir=True, automatic_cleanup=True)
    if scheme == "memory":
        return from_url(url)
    options: dict[str, Any] = {
        "client_options": {"timeout": timedelta(seconds=timeout_s), "allow_http": True},
        "retry_config": {
            "max_retries": retries_max,
            "retry_timeout": timedelta(seconds=timeout_s),
        },
    }
    return from_url(url, **options)


def local_folder(url: str) -> Path | None:
    """Return the folder of a store of local files, None for any other store."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
