"""JSON Schemas of the events, one file per accepted revision, never changed afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tonearm_contracts import events
from tonearm_contracts.envelope import EventData
from tonearm_contracts.publish.compatibility import breaks

BASE = "https://tonearm.dev/schemas/"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(event: type[EventData]) -> dict[str, Any]:
    """Return the JSON Schema of an event's data."""
    schema = event.model_json_schema(mode="validation")
    return {"$schema": _DIALECT, "$id": f"{BASE}{event.TYPE}.json", **schema}


def as_text(document: object) -> str:
    """Return a document as it is committed: the same bytes for the same content."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def revisions(folder: Path, event: type[EventData]) -> list[tuple[Path, dict[str, Any]]]:
    """Return the published revisions of an event's schema, oldest first."""
    files = sorted((folder / event.TYPE).glob("[0-9][0-9][0-9][0-9].json"))
    return [(file, json.loads(file.read_text(encoding="utf-8"))) for file in files]


def problems(folder: Path, event: type[EventData]) -> list[str]:
    """Return in which ways the model breaks revisions that were published; FULL_TRANSITIVE."""
    current = schema_of(event)
    return [
        f"{event.TYPE} breaks revision {file.stem}: {line}"
        for file, published in revisions(folder, event)
        for line in breaks(published, current)
    ]


def unpublished(folder: Path) -> list[type[EventData]]:
    """Return the events whose schema is not the newest published revision."""
    missing = []
    for event in events.ALL:
        known = revisions(folder, event)
        if not known or known[-1][1] != schema_of(event):
            missing.append(event)
    return missing


def orphans(folder: Path) -> list[str]:
    """Return the published types that no model carries any more; a type is never removed."""
    known = {event.TYPE for event in events.ALL}
    return sorted(
        each.name for each in folder.iterdir() if each.is_dir() and each.name not in known
    )


def write(folder: Path) -> list[Path]:
    """Add a revision for every event whose schema changed; return the new files."""
    written = []
    for event in unpublished(folder):
        file = folder / event.TYPE / f"{len(revisions(folder, event)) + 1:04d}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(as_text(schema_of(event)), encoding="utf-8")
        written.append(file)
    return written
