"""Write `.env.example` from the settings classes, so that it cannot disagree with them.

python -m tonearm_kit.settings_doc --out .env.example tonearm_auth.settings:AuthSettings ...
python -m tonearm_kit.settings_doc --check .env.example tonearm_auth.settings:AuthSettings ...
"""

from __future__ import annotations

import argparse
import importlib
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from tonearm_kit.settings import env_name

_HEAD = """\
Every setting of Tonearm, with its unit, its bounds and its default.
Written by `make env-example` from the settings classes; edit those.
A line that is commented out shows the default.
"""

_SDK_SETTINGS = (
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://127.0.0.1:4317",
        "Where the exporter otlp sends, read by the OpenTelemetry SDK.",
    ),
    (
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        "http://127.0.0.1:9411/api/v2/spans",
        "Where the exporter zipkin_json sends, read by the OpenTelemetry SDK.",
    ),
    ("OTEL_TRACES_SAMPLER", "parentbased_always_on", "Which traces are kept, read by the SDK."),
)


def _bounds(info: FieldInfo) -> str:
    """Return the bounds of a field as words; empty without any."""
    found: list[str] = []
    for rule in info.metadata:
        for kind, word in (
            (annotated_types.Ge, "at least"),
            (annotated_types.Gt, "more than"),
            (annotated_types.Le, "at most"),
            (annotated_types.Lt, "less than"),
        ):
            if isinstance(rule, kind):
                bound = getattr(rule, kind.__name__.lower())
                found.append(f"{word} {bound}")
    return ", ".join(found)


def _choices(info: FieldInfo) -> str:
    options = getattr(info.annotation, "__args__", ())
    if options and all(isinstance(option, str) for option in options):
        return "one of " + ", ".join(options)
    return ""


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    if isinstance(value, tuple | list | set | frozenset):
        return "[" + ",".join(f'"{_text(item)}"' for item in value) + "]"
    return str(value)


def _entry(cls: type[BaseSettings], field: str, info: FieldInfo) -> list[str]:
    if not info.description:
        raise SystemExit(f"{cls.__name__}.{field} has no description")
    default = info.get_default(call_default_factory=True, validated_data={})
    required = default is PydanticUndefined
    facts = [info.description, _choices(info), _bounds(info), "required" if required else ""]
    text = " ".join(
        part.rstrip(".")[:1].upper() + part.rstrip(".")[1:] + "." for part in facts if part
    )
    lines = [f"# {line}" for line in textwrap.wrap(text, 96)]
    if required:
        example = info.examples[0] if info.examples else ""
        return [*lines, f"{env_name(cls, field)}={_text(example)}"]
    return [*lines, f"# {env_name(cls, field)}={_text(default)}"]


def render(classes: Sequence[type[BaseSettings]]) -> str:
    """Return the text of the file; what several classes share stands once, first."""
    entries: dict[str, list[str]] = {}
    users: dict[str, list[type[BaseSettings]]] = {}
    for cls in classes:
        for field, info in cls.model_fields.items():
            name = env_name(cls, field)
            entries.setdefault(name, _entry(cls, field, info))
            users.setdefault(name, []).append(cls)
    shared = [name for name, by in users.items() if len(by) > 1]
    blocks = [[f"# {line}" for line in _HEAD.strip().splitlines()], ["", "# Shared"]]
    blocks.extend(_blocks(entries, shared))
    for name, default, text in _SDK_SETTINGS:
        if name in entries:
            continue
        blocks.append(["", f"# {text}", f"# {name}={default}"])
    for cls in classes:
        own = [name for name in entries if users[name] == [cls]]
        prefix = cls.model_config.get("env_prefix", "").rstrip("_").lower()
        blocks.append(["", f"# {(prefix or cls.__name__.removesuffix('Settings')).capitalize()}"])
        blocks.extend(_blocks(entries, own))
    return "\n".join(line for block in blocks for line in block) + "\n"


def _blocks(entries: dict[str, list[str]], names: Iterable[str]) -> list[list[str]]:
    return [["", *entries[name]] for name in names]


def _load(path: str) -> type[BaseSettings]:
    module, _, name = path.partition(":")
    loaded = getattr(importlib.import_module(module), name)
    if not (isinstance(loaded, type) and issubclass(loaded, BaseSettings)):
        raise SystemExit(f"{path} is not a settings class")
    return loaded


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the file, write it (`--out`), or fail if it differs (`--check`)."""
    parser = argparse.ArgumentParser(prog="python -m tonearm_kit.settings_doc")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--check", type=Path)
    parser.add_argument("classes", nargs="+", help="module:Class")
    given = parser.parse_args(arguments)
    text = render([_load(path) for path in given.classes])
    if given.check is not None:
        if not given.check.is_file() or given.check.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{given.check} differs from the settings: write it again with --out")
    elif given.out is not None:
        given.out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
