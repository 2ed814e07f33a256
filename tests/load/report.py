"""What the load measured, as tables: medians over the rounds, beside the peer of the same round.

Ratios are taken in every round, between servers that ran right after each other, and their
median is told with the lowest and the highest: on a machine that others use, too, absolute
figures move from minute to minute. The server's own processor time moves least.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

BEGIN, END = "<!-- figures: python -m tests.load --report -->", "<!-- end of figures -->"
_NAMES = {
    "peer": "Centrifuge",
    "notify": "notify",
    "notify-kafka": "notify, through Kafka",
}


def machine() -> dict[str, Any]:
    """Return what the figures depend on most."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Return earlier results; none where there is no file."""
    if not path.exists():
        return []
    earlier: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return earlier


def write(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Keep the results."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def merge(
    earlier: Sequence[dict[str, Any]], fresh: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Replace the scenarios that were run again; others stay as they were."""
    again = {result["scenario"] for result in fresh}
    return [*(each for each in earlier if each["scenario"] not in again), *fresh]


def tables(results: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| scenario | server | rounds | messages/s | ratio (lowest to highest) | first ms | p50 ms | p99 ms "
        "| processor, µs per message (in the kernel) | ratio of it "
        "| client, µs per message | kB per socket |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    loads = [result for result in results if "server" in result]
    for name in dict.fromkeys(result["scenario"] for result in loads):
        lines += _rows([result for result in loads if result["scenario"] == name])
    lines += ["", *_circumstances(loads)]
    lines += [
        f"Drain of {each['clients']:,} clients at {each['closes_per_s']:.0f} closes/s, all back "
        f"at once: busiest second {each['busiest_second']}, {each['back']:,} back "
        f"in {each['duration_s']:.1f} s."
        for each in results
        if "busiest_second" in each
    ]
    return "\n".join(lines).strip()


def _rows(results: Sequence[dict[str, Any]]) -> list[str]:
    rows = []
    baseline = {each["turn"]: each for each in results if each["server"] == "peer"}
    for kind in _NAMES:
        mine = [result for result in results if result["server"] == kind]
        if not mine:
            continue
        figures = [""] * 8 if not mine[0]["wanted"] else _figures(mine, baseline)
        memory = median(each["memory_kb_per_connection"] for each in mine)
        cells = [mine[0]["scenario"], _NAMES[kind], str(len(mine)), *figures, f"{memory:.1f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _figures(mine: Sequence[dict[str, Any]], baseline: dict[int, dict[str, Any]]) -> list[str]:
    middle = {
        key: median(each[key] for each in mine)
        for key in (
            "messages_per_s",
            "first_ms",
            "p50_ms",
            "p99_ms",
            "processor_us_per_message",
            "kernel_share",
            "client_us_per_message",
        )
    }
    return [
        f"{middle['messages_per_s']:,.0f}",
        _ratio(mine, baseline, "messages_per_s"),
        f"{middle['first_ms']:.1f}" if middle["first_ms"] else "",
        f"{middle['p50_ms']:.1f}",
        f"{middle['p99_ms']:.1f}",
        f"{middle['processor_us_per_message']:.1f} ({middle['kernel_share']:.0%})",
        _ratio(mine, baseline, "processor_us_per_message"),
        f"{middle['client_us_per_message']:.1f}",
    ]


def _ratio(mine: Sequence[dict[str, Any]], baseline: dict[int, dict[str, Any]], key: str) -> str:
    ratios = [each[key] / baseline[each["turn"]][key] for each in mine if each["turn"] in baseline]
    if not ratios or mine[0]["server"] == "peer":
        return ""
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _circumstances(results: Sequence[dict[str, Any]]) -> list[str]:
    if not results:
        return []
    last = results[-1]
    threads = {
        _NAMES[kind]: sorted({each["threads"] for each in results if each["server"] == kind})
        for kind in _NAMES
        if any(each["server"] == kind for each in results)
    }
    told = "; ".join(f"{name}: {', '.join(map(str, n))}" for name, n in threads.items())
    failed = sum(each["failed"] for each in results)
    lost = sum(each["wanted"] - each["delivered"] for each in results)
    return [
        f"{last['cores']} cores, Python {last['python']}, load average "
        f"{min(each['load'] for each in results)} to {max(each['load'] for each in results)} "
        f"at the end of a run. Threads at once: {told}. "
        f"Connections refused: {failed}; publications lost: {lost}.",
        "",
    ]


def into(document: Path, results: Sequence[dict[str, Any]]) -> None:
    """Write the tables between the document's marks. Raises ValueError where they are missing."""
    text = document.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} lacks {BEGIN} and {END}")
    document.write_text(f"{head}{BEGIN}\n{tables(results)}\n{END}{tail}", encoding="utf-8")
