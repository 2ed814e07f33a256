"""Pinned files: nothing unchecked is used, nothing broken stays."""

import hashlib
from pathlib import Path

import pytest

from tonearm_local import artifacts, java
from tonearm_local.artifacts import FetchError, Jar
from tonearm_local.settings import LocalSettings

CONTENT = b"a jar"
JAR = Jar("org.example", "thing", "1.0", "exec", hashlib.sha256(CONTENT).hexdigest(), 5)


class Silent:
    def __init__(self) -> None:
        self.finished: list[str] = []

    def begin(self, name: str, *, total_bytes: int) -> None: ...

    def advance(self, name: str, *, n_bytes: int) -> None: ...

    def done(self, name: str) -> None:
        self.finished.append(name)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2_REPO", str(tmp_path / "a repository"))
    monkeypatch.setattr(artifacts, "pinned", lambda _group: [JAR])
    return tmp_path / "a repository"


def serve(monkeypatch: pytest.MonkeyPatch, *contents: bytes) -> list[bytes]:
    left = list(contents)

    def download(_jar: Jar, scratch: Path, _progress: object) -> Path:
        path = scratch / "fetched"
        path.write_bytes(left.pop(0))
        return path

    monkeypatch.setattr(artifacts, "_download", download)
    return left


def test_all_jars_are_pinned_by_version_and_checksum() -> None:
    jars = artifacts.pinned("kafka") + artifacts.pinned("zipkin")
    assert {jar.artifact for jar in jars} >= {"kafka_2.13", "kafka-clients", "zipkin-server"}
    assert all(len(jar.sha256) == 64 and jar.version and jar.size_bytes for jar in jars)
    kafka = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert kafka == {"4.4.0"}


def test_a_jar_is_fetched_once(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, progress = serve(monkeypatch, CONTENT), Silent()
    artifacts.fetch(["any"], progress)
    artifacts.fetch(["any"], progress)
    assert (left, progress.finished) == ([], ["thing-1.0-exec.jar"])
    assert artifacts.class_path("any") == [
        repository / "org" / "example" / "thing" / "1.0" / "thing-1.0-exec.jar"
    ]


def test_a_broken_download_is_repeated(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, b"cut", CONTENT)
    artifacts.fetch(["any"], Silent())
    assert artifacts.class_path("any")[0].read_bytes() == CONTENT


def test_what_is_not_what_was_pinned_is_never_kept(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, b"evil", b"evil", b"evil")
    with pytest.raises(FetchError, match="SHA-256"):
        artifacts.fetch(["any"], Silent())
    assert [path for path in repository.rglob("*") if path.is_file()] == []


def test_a_file_altered_later_is_not_used(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, CONTENT)
    artifacts.fetch(["any"], Silent())
    artifacts.class_path("any")[0].write_bytes(b"evil")
    with pytest.raises(FetchError, match="differs from its pin"):
        artifacts.class_path("any")


def test_a_missing_file_names_the_remedy(repository: Path) -> None:
    with pytest.raises(FetchError, match="make setup"):
        artifacts.class_path("any")


def runtime(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch()
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n', "utf-8")
    return folder


@pytest.mark.parametrize(("version", "taken"), [("17.0.9", True), ("21", True), ("11.0.2", False)])
def test_java_home_wins_when_it_is_new_enough(tmp_path: Path, version: str, taken: bool) -> None:
    home = runtime(tmp_path / "j", version)
    chosen = java.home(LocalSettings(_env_file=None, java_home=home))
    assert (chosen == home) == taken


def test_a_java_home_that_is_none_is_passed_over(tmp_path: Path) -> None:
    chosen = java.home(LocalSettings(_env_file=None, java_home=tmp_path))
    assert (java.major(chosen) or 0) >= 17
