"""Resolve the stack's jars and pin them, with their SHA-256, in artifacts.toml.

kafka-clients is named beside the broker: without that a logging binding's list of managed
versions drags in an older client, and the broker dies on a missing method.
"""

import hashlib
from pathlib import Path

import jgo
from jgo.maven import MavenContext

KAFKA = "4.4.0"
ZIPKIN = "3.6.1"
TARGET = Path(__file__).resolve().parents[1] / "deploy/local/src/tonearm_local/artifacts.toml"
HEAD = "# Every jar that the local stack runs. Made by scripts/jars.py; checked before each use.\n"

Coordinate = tuple[str, str, str, str]


def resolve() -> dict[str, list[Coordinate]]:
    """All jars by group of artifacts.toml, in a fixed order."""
    wanted = f"org.apache.kafka:kafka_2.13:{KAFKA}+org.apache.kafka:kafka-clients:{KAFKA}"
    kafka = {(a.groupId, a.artifactId, a.version, a.classifier) for a in jgo.resolve(wanted)}
    log4j = next(version for _, name, version, _ in kafka if name == "log4j-core")
    kafka.add(("org.apache.logging.log4j", "log4j-slf4j-impl", log4j, ""))
    return {"kafka": sorted(kafka), "zipkin": [("io.zipkin", "zipkin-server", ZIPKIN, "exec")]}


def entry(context: MavenContext, group: str, coordinate: Coordinate) -> str:
    """One table of artifacts.toml."""
    organisation, name, version, classifier = coordinate
    component = context.project(organisation, name).at_version(version)
    path = Path(component.artifact(classifier=classifier, packaging="jar").resolve())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    words = ":".join(part for part in coordinate if part)
    size = path.stat().st_size
    return f'\n[[{group}]]\ncoordinate = "{words}"\nsha256 = "{digest}"\nbytes = {size}\n'


def main() -> None:
    """Write the file anew."""
    context = MavenContext(timeout=120)
    tables = [
        entry(context, group, coordinate)
        for group, coordinates in resolve().items()
        for coordinate in coordinates
    ]
    TARGET.write_text(HEAD + "".join(tables), "utf-8")


if __name__ == "__main__":
    main()
