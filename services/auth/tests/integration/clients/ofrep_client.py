"""An unmodified OpenFeature client of OFREP. Arguments: base URL, token, account id."""

from __future__ import annotations

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext


def main() -> None:
    base_url, token, account_id = sys.argv[1:4]
    headers = {"Authorization": f"Bearer {token}"}
    api.set_provider(OFREPProvider(base_url, headers_factory=lambda: headers))
    client = api.get_client()
    told: dict[str, object] = {}
    for key, target in [
        ("audio-upload", account_id),
        ("premium-export", account_id),
        ("ai-moods", account_id),
        ("no-such-flag", account_id),
        ("audio-upload", "somebody-else"),
    ]:
        found = client.get_boolean_details(key, True, EvaluationContext(targeting_key=target))
        told[f"{key} {target == account_id}"] = [found.value, found.reason, found.error_code]
    missing = client.get_boolean_details("audio-upload", True, EvaluationContext())
    told["no key"] = [missing.value, missing.reason, missing.error_code]
    print(json.dumps(told), flush=True)  # noqa: T201 - the channel to the test


if __name__ == "__main__":
    main()
