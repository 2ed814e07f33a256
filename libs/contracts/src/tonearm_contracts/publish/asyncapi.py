"""The AsyncAPI 3 document: every topic, message and payload, for people and generators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tonearm_contracts import events, topics
from tonearm_contracts.envelope import EventData
from tonearm_contracts.publish.schemas import schema_of
from tonearm_contracts.topics import Topic

VERSION = "3.1.0"

_ATTRIBUTES: dict[str, tuple[str, bool]] = {
    "ce_specversion": ("Version of CloudEvents, `1.0`.", True),
    "ce_id": ("Unique together with `ce_source`; an event delivered twice has the same.", True),
    "ce_source": ("The service that says it.", True),
    "ce_type": ("What happened.", True),
    "ce_subject": ("Id of the aggregate.", True),
    "ce_time": ("When it happened, RFC 3339.", True),
    "content-type": ("Media type of the value.", True),
    "ce_partitionkey": ("Key of the record, same as the subject.", False),
    "ce_correlationid": ("Id that the events of one story share.", False),
    "ce_causationid": ("Id of the event that led to this one.", False),
    "ce_dataref": ("Where the data is, when it is too large to travel.", False),
    "ce_traceparent": ("W3C trace context in which the event was made.", False),
    "ce_tracestate": ("W3C vendor part of it.", False),
    "traceparent": ("W3C trace context to continue.", False),
    "tracestate": ("W3C vendor part of it.", False),
}


def document(samples: Path) -> dict[str, Any]:
    """Return the document; `samples` is the folder of golden messages, used as examples."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Tonearm events",
            "version": "1.0.0",
            "description": (
                "CloudEvents 1.0 over Kafka in binary mode: attributes in `ce_*` headers, JSON "
                "data as the value. Records of one key stay in order; delivery is at least once, "
                "so consumers remember `ce_source` and `ce_id`. Contracts only grow: ignore "
                "fields and types that you do not know."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "Kafka of the local stack.",
            }
        },
        "channels": {topic.name: _channel(topic) for topic in topics.ALL},
        "operations": {
            f"receive.{topic.name}": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{topic.name}"},
                "summary": f"Follow {topic.name}.",
            }
            for topic in topics.ALL
        },
        "components": {
            "messages": {event.TYPE: _message(event, samples) for event in events.ALL},
            "schemas": {"headers": _headers()},
        },
    }


def events_of(topic: Topic) -> list[type[EventData]]:
    """Return the events that a topic carries."""
    return [event for event in events.ALL if topic.name in {event.TOPIC, *event.ALSO_ON}]


def _channel(topic: Topic) -> dict[str, Any]:
    cleanup = ["compact", "delete"] if topic.compacted else ["delete"]
    return {
        "address": topic.name,
        "messages": {
            event.TYPE: {"$ref": f"#/components/messages/{event.TYPE}"}
            for event in events_of(topic)
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": cleanup,
                    "retention.ms": topic.retention_s * 1000,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(event: type[EventData], samples: Path) -> dict[str, Any]:
    golden = json.loads((samples / f"{event.TYPE}.json").read_text(encoding="utf-8"))
    text = (event.__doc__ or event.__name__).strip()
    return {
        "name": event.TYPE,
        "title": event.__name__,
        "summary": text.splitlines()[0],
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-07",
            "schema": _inlined(schema_of(event)),
        },
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
        "examples": [{"headers": golden["headers"], "payload": golden["value"]}],
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "required": [name for name, (_, required) in _ATTRIBUTES.items() if required],
        "properties": {
            name: {"type": "string", "description": text} for name, (text, _) in _ATTRIBUTES.items()
        },
    }


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where they are used: references into a payload are a trap of AsyncAPI."""
    definitions = schema.get("$defs", {})

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return walk(definitions[str(node["$ref"]).rsplit("/", 1)[-1]])
        return {
            name: walk(each)
            for name, each in node.items()
            if name not in {"$defs", "$schema", "$id"}
        }

    inlined: dict[str, Any] = walk(schema)
    return inlined
