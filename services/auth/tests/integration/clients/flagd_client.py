"""An unmodified OpenFeature client of flagd's protocol; prints what it is told as JSON lines.

Runs in a process of its own: its generated stubs and ours describe the same messages, and one
process may hold only one description. Arguments: port, account id. It prints one line of
answers, waits for a change of `ai-moods`, and prints a second one.
"""

from __future__ import annotations

import json
import sys
import threading

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent


def main() -> None:
    port, account_id = int(sys.argv[1]), sys.argv[2]
    changed = threading.Event()

    def on_change(details: EventDetails) -> None:
        if "ai-moods" in (details.flags_changed or []):
            changed.set()

    api.set_provider_and_wait(FlagdProvider(host="127.0.0.1", port=port, deadline_ms=5000))
    client = api.get_client()
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, on_change)
    context = EvaluationContext(targeting_key=account_id)

    def tell() -> None:
        told: dict[str, object] = {}
        for key in ("audio-upload", "ai-moods", "premium-export", "no-such-flag"):
            found = client.get_boolean_details(key, False, context)
            told[key] = [found.value, found.reason, found.variant, found.error_code]
        wrong = client.get_string_details("audio-upload", "mine", context)
        told["as string"] = [wrong.value, wrong.reason, wrong.variant, wrong.error_code]
        print(json.dumps(told), flush=True)  # noqa: T201 - the channel to the test

    tell()
    if not changed.wait(20):
        raise SystemExit("no change was told")
    tell()
    api.shutdown()


if __name__ == "__main__":
    main()
