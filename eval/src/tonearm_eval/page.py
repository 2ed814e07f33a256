"""The accuracy card as a Markdown page."""

from __future__ import annotations

from typing import Any, Final

from tonearm_eval.score import METRICS

TITLES: Final = {
    "tempo_acc1": "tempo Acc1",
    "tempo_acc2": "tempo Acc2",
    "beat_f": "beat F",
    "beat_amlt": "beat AMLt",
    "downbeat_f": "downbeat F",
    "meter": "meter",
    "key_exact": "key",
    "key_weighted": "key MIREX",
    "chord_share": "chords",
}
RHYTHM_METRICS: Final = ("tempo_acc1", "tempo_acc2", "beat_f", "downbeat_f", "meter")
HARMONY_METRICS: Final = ("key_exact", "key_weighted", "chord_share")
GROUP_TITLES: Final = {
    "meter": "By meter",
    "soundfont": "By soundfont",
    "scale": "By whose scale holds all notes of the true chords (a vamp on I and II fits another "
    "key's alone: no count of notes tells its key)",
}
STYLE_METRICS: Final = {
    "Tempo Acc1 / Acc2": ("tempo_acc1", "tempo_acc2"),
    "Key / chords": ("key_exact", "chord_share"),
}
Rows = list[list[str]]


def table(head: list[str], rows: Rows) -> list[str]:
    """Lines of a Markdown table."""
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def main_table(analysers: dict[str, Any]) -> list[str]:
    """Every analyser at its best settings; the best of each column is bold."""
    used = [m for m in METRICS if any(m in row["best"] for row in analysers.values())]
    top = {
        m: max(row["best"][m]["mean"] for row in analysers.values() if m in row["best"])
        for m in used
    }
    rows = []
    for name, row in analysers.items():
        cells = []
        for metric in used:
            cell = row["best"].get(metric)
            if cell is None:
                cells.append("-")
                continue
            mean = f"{cell['mean']:.3f}"
            mean = f"**{mean}**" if cell["mean"] == top[metric] else mean
            cells.append(f"{mean} ± {cell['standard_error']:.3f}")
        rows.append([name, *cells])
    counts = [
        str(max(row["best"][m]["clips"] for row in analysers.values() if m in row["best"]))
        for m in used
    ]
    rows.append(["clips", *counts])
    return table(["analyser", *(TITLES[m] for m in used)], rows)


def lead_table(lead: dict[str, Any], best: dict[str, Any]) -> list[str]:
    """How far the engine is ahead of the best peer of each column."""
    rows = [
        [
            TITLES[metric],
            f"{best[metric]['mean']:.3f}",
            f"{row['mean']:.3f}",
            f"{row['peer']}, {row['setting']}",
            f"{row['difference']:+.3f}",
            f"{row['low']:+.3f} to {row['high']:+.3f}",
            str(row["clips"]),
        ]
        for metric, row in lead.items()
    ]
    head = ["", "tonearm", "best peer", "which", "difference", "95 % interval", "clips"]
    return table(head, rows)


def group_table(title: str, groups: dict[str, dict[str, Any]]) -> list[str]:
    """One row a group and metric, one column an analyser."""
    names, own = list(groups), next(iter(groups.values()))
    rows = []
    for group, counts in own.items():
        for metric in METRICS:
            found = [groups[n].get(group, {}).get(metric) for n in names]
            if group and any(value is not None for value in found):
                cells = ["-" if value is None else f"{value:.3f}" for value in found]
                rows.append([group, str(counts["clips"]), TITLES[metric], *cells])
    return table([title, "clips", "", *names], rows)


def style_table(groups: dict[str, dict[str, Any]], metrics: tuple[str, ...]) -> list[str]:
    """Two metrics, one row a style, one column an analyser; empty where nobody has them."""
    names, own = list(groups), next(iter(groups.values()))
    rows = []
    for style, counts in own.items():
        cells = []
        for name in names:
            row = groups[name].get(style, {})
            cells.append(" / ".join(f"{row[m]:.2f}" if m in row else "-" for m in metrics))
        if style and any(cell.strip(" -/") for cell in cells):
            rows.append([style, str(counts["clips"]), *cells])
    return table(["style", "clips", *names], rows) if rows else []


def settings_table(analysers: dict[str, Any]) -> list[str]:
    """Every setting of every peer."""
    rows = []
    for name, row in analysers.items():
        for setting, cells in row["settings"].items():
            figures = ", ".join(
                f"{TITLES[m]} {cell['mean']:.3f} ({cell['clips']})" for m, cell in cells.items()
            )
            rows.append([name, setting, figures])
    return table(["analyser", "setting", "figures (clips)"], rows)


def reliability_table(reliability: dict[str, Any]) -> list[str]:
    """Bins of stated confidence."""
    rows = [
        [
            estimate,
            f"{row['from']:.2f}-{row['to']:.2f}",
            f"{row['weight']:.0f}{' s' if estimate == 'chords' else ''}",
            f"{row['stated']:.3f}",
            f"{row['true']:.3f}",
        ]
        for estimate, found in reliability.items()
        for row in found["bins"]
    ]
    return table(["estimate", "stated", "clips (chords: time)", "mean stated", "came true"], rows)


def section(name: str, figures: dict[str, Any], diagram: str) -> list[str]:
    """Everything about one set of clips."""
    analysers = figures["analysers"]
    us = next(iter(analysers))
    lines = [f"## {name}: {figures['clips']} clips", "", *figures["about"], ""]
    lines += main_table(analysers)
    lines += [
        "Means ± standard error; bold is the best of a column; a dash: no answer of that kind. "
        "Each peer stands in each column with the setting of its that scores best on these very "
        "clips; a setting that answered under nine tenths of them is listed below, like all "
        "settings, but stands for nobody.",
        "",
        "Ahead of the best peer, clip by clip:",
        "",
    ]
    lines += lead_table(figures["lead"], analysers[us]["best"])
    for group, title in GROUP_TITLES.items():
        groups = figures["groups"][group]
        if len(next(iter(groups.values()))) > 1:
            lines += [f"{title}:", "", *group_table(group, groups)]
    styles = figures["groups"]["style"]
    if len(next(iter(styles.values()))) > 1:
        for title, metrics in STYLE_METRICS.items():
            rows = style_table(styles, metrics)
            lines += [f"{title} by style:", "", *rows] if rows else []
    if figures["key_errors"]:
        kinds = list(next(iter(figures["key_errors"].values())))
        counts = [[n, *(str(row[k]) for k in kinds)] for n, row in figures["key_errors"].items()]
        lines += ["Keys, answer against truth (clips):", "", *table(["", *kinds], counts)]
    if figures["reliability"]:
        lines += ["Stated confidence against how often it came true:", ""]
        lines += [f"![Reliability diagrams]({diagram})", ""]
        lines += reliability_table(figures["reliability"])
    lines += ["Every setting:", "", *settings_table(analysers)]
    return lines


def page(data: dict[str, Any]) -> str:
    """The whole card."""
    lines = [
        "# Accuracy",
        "",
        f"Engine {data['engine_version']}. Written by `make accuracy`; the figures are in "
        "[accuracy.json](accuracy.json). How the clips are made, what the peers run and how to add "
        "a folder of recordings: [eval/README.md](../eval/README.md). Speed is measured apart, by "
        "`make bench`.",
        "",
    ]
    for name, figures in data["sets"].items():
        lines += section(name, figures, data["diagrams"][name])
    lines += ["## What the columns mean", ""]
    lines += [f"- {TITLES[name]}: {text}" for name, text in METRICS.items()]
    lines += ["", "## What the numbers in the engine come from", ""]
    lines += [f"- `{name}`: {text}" for name, text in data["training"].items()]
    return "\n".join(lines) + "\n"
