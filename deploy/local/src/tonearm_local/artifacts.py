"""Jars that the stack runs, pinned by version and SHA-256 in artifacts.toml.

They are fetched by jgo's pure-Python Maven client into the user's Maven cache (``M2_REPO`` or
``~/.m2/repository``), each into a private folder first and moved into place only after its
checksum was right, so that neither an interrupted download nor two checkouts at once leave a
broken file behind.
"""

import hashlib
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

from tonearm_local.surroundings import inherited

_WORKERS = 4
_ATTEMPTS = 3
_TIMEOUT_S = 60


class FetchError(Exception):
    """Something pinned could not be fetched, or is not what was pinned."""


@dataclass(frozen=True)
class Jar:
    """One file of a Maven repository. *size_bytes* is told for progress only."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        """File name by Maven's rule."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{suffix}.jar"

    @property
    def relative_path(self) -> Path:
        """Place inside a Maven repository."""
        return Path(*self.group.split("."), self.artifact, self.version, self.filename)


class Progress(Protocol):
    """Where progress of fetching is told."""

    def begin(self, name: str, *, total_bytes: int) -> None:
        """A download of *total_bytes* begins."""
        ...

    def advance(self, name: str, *, n_bytes: int) -> None:
        """*n_bytes* more have arrived."""
        ...

    def done(self, name: str) -> None:
        """The download is complete and its checksum right."""
        ...


def pinned(group: str) -> list[Jar]:
    """All jars of one *group* ("kafka", "zipkin") of artifacts.toml."""
    text = resources.files("tonearm_local").joinpath("artifacts.toml").read_text("utf-8")
    jars = []
    for entry in tomllib.loads(text)[group]:
        maven_group, artifact, version, *rest = entry["coordinate"].split(":")
        classifier = rest[0] if rest else ""
        jars.append(
            Jar(maven_group, artifact, version, classifier, entry["sha256"], entry["bytes"])
        )
    return jars


def repository() -> Path:
    """The user's Maven cache."""
    given = inherited().get("M2_REPO")
    return Path(given) if given else Path.home() / ".m2" / "repository"


def sha256_of(path: Path) -> str:
    """Checksum of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def class_path(group: str) -> list[Path]:
    """Paths of a group's jars, each checked against its pin now.

    Raises FetchError when one is missing or altered.
    """
    base = repository()
    paths = []
    for jar in pinned(group):
        path = base / jar.relative_path
        if not path.is_file():
            raise FetchError(f"{jar.filename} is not there: run `make setup`")
        if sha256_of(path) != jar.sha256:
            raise FetchError(f"{path} differs from its pin in artifacts.toml")
        paths.append(path)
    return paths


def fetch(groups: Sequence[str], progress: Progress) -> None:
    """Fetch what is missing or altered of *groups*; returns at once when all is there."""
    base = repository()
    wanted = []
    for jar in (jar for group in groups for jar in pinned(group)):
        path = base / jar.relative_path
        if not path.is_file() or sha256_of(path) != jar.sha256:
            wanted.append(jar)
    if not wanted:
        return
    base.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_WORKERS) as pool:
        # Largest first: it alone decides how long the rest may take.
        for _ in pool.map(
            lambda jar: _fetch_one(jar, base, progress),
            sorted(wanted, key=lambda jar: -jar.size_bytes),
        ):
            pass


def _fetch_one(jar: Jar, base: Path, progress: Progress) -> None:
    problem = "no attempt"
    for _ in range(_ATTEMPTS):
        scratch = Path(tempfile.mkdtemp(prefix=".tonearm-", dir=base))
        try:
            fetched = _download(jar, scratch, progress)
            if sha256_of(fetched) == jar.sha256:
                target = base / jar.relative_path
                target.parent.mkdir(parents=True, exist_ok=True)
                fetched.replace(target)
                progress.done(jar.filename)
                return
            problem = "its SHA-256 differs from the pin"
        except (OSError, RuntimeError) as error:
            problem = str(error)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    raise FetchError(f"cannot fetch {jar.filename}: {problem}")


def _download(jar: Jar, scratch: Path, progress: Progress) -> Path:
    # Imported here: only a first start needs the client and what it pulls in.
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def report(_name: str, total: int) -> Iterator[Callable[[int], None]]:
        progress.begin(jar.filename, total_bytes=total)
        yield lambda n_bytes: progress.advance(jar.filename, n_bytes=n_bytes)

    context = MavenContext(
        resolver=PythonResolver(progress_callback=report),
        repo_cache=scratch,
        local_repos=[],
        timeout=_TIMEOUT_S,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact(classifier=jar.classifier, packaging="jar").resolve())
