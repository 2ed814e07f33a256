"""The AsyncAPI document as one HTML page without scripts or foreign resources."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1c1c1c;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
td,th{border-bottom:1px solid #ddd;padding:.35rem .6rem;text-align:left;vertical-align:top}
code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:#f5f5f2;padding:.8rem;overflow-x:auto}
h2{margin-top:3rem;border-bottom:2px solid #1c1c1c}
.optional{color:#6a6a6a}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e8e8e8}pre{background:#222}
td,th{border-color:#3a3a3a}h2{border-color:#e8e8e8}.optional{color:#a0a0a0}}
"""


def render(document: Mapping[str, Any]) -> str:
    """Return the page."""
    info = document["info"]
    body = "\n".join(
        [
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
            f"<p>{_prose(info['description'])}</p>",
            "<h2>Topics</h2>",
            *_topics(document),
            "<h2>Headers of every event</h2>",
            *_properties(document["components"]["schemas"]["headers"]),
            *(
                line
                for channel in document["channels"].values()
                for line in _channel(document, channel)
            ),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _topics(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<table><tr><th>topic</th><th>partitions</th><th>kept</th><th>events</th></tr>"
    for channel in document["channels"].values():
        binding = channel["bindings"]["kafka"]
        days = binding["topicConfiguration"]["retention.ms"] / 86_400_000
        names = ", ".join(
            f'<a href="#{name}"><code>{name}</code></a>' for name in channel["messages"]
        )
        yield (
            f"<tr><td><code>{escape(channel['address'])}</code></td>"
            f"<td>{binding['partitions']}</td><td>{days:g} days</td><td>{names}</td></tr>"
        )
    yield "</table>"


def _channel(document: Mapping[str, Any], channel: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{escape(channel['address'])}</code></h2>"
    for name in channel["messages"]:
        message = document["components"]["messages"][name]
        yield f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
        yield f"<p>{_prose(message['summary'])}</p>"
        yield from _properties(message["payload"]["schema"])
        example = json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False)
        yield f"<pre>{escape(example)}</pre>"


def _properties(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    yield "<table><tr><th>field</th><th>type</th><th>meaning</th></tr>"
    yield from _rows(schema, prefix)
    yield "</table>"


def _rows(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        mark = "" if name in required else ' <span class="optional">optional</span>'
        meaning = _prose(field.get("description", ""))
        yield (
            f"<tr><td><code>{escape(prefix + name)}</code>{mark}</td>"
            f"<td>{escape(_type(field))}</td><td>{meaning}</td></tr>"
        )
        if "properties" in field:
            yield from _rows(field, f"{prefix}{name}.")


def _type(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "enum" in field:
        return " | ".join(str(each) for each in field["enum"])
    if "const" in field:
        return str(field["const"])
    name = str(field.get("type", "any"))
    return f"{name} ({field['format']})" if "format" in field else name


def _prose(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(
        part if number % 2 == 0 else f"<code>{part}</code>" for number, part in enumerate(parts)
    )
