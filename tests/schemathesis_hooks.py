"""What Schemathesis does not know by itself; named to it by SCHEMATHESIS_HOOKS."""

from __future__ import annotations

import schemathesis

# The bytes of a resumable upload are bytes.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
