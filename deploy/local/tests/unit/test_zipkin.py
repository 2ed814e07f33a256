"""Zipkin's jar of jars, unpacked."""

import zipfile
from pathlib import Path

import pytest

from tonearm_local import zipkin


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "server.jar"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("BOOT-INF/classpath.idx", '- "BOOT-INF/lib/b.jar"\n- "BOOT-INF/lib/a.jar"\n')
        file.writestr("BOOT-INF/lib/a.jar", b"A")
        file.writestr("BOOT-INF/lib/b.jar", b"B")
        file.writestr("BOOT-INF/classes/", b"")
        file.writestr("BOOT-INF/classes/zipkin/server/ZipkinServer.class", b"C")
        file.writestr("org/springframework/boot/loader/Launcher.class", b"L")
    return path


def test_libraries_and_classes_lie_side_by_side_in_the_makers_order(
    jar: Path, tmp_path: Path
) -> None:
    target = tmp_path / "tools" / "zipkin"
    zipkin.unpack(jar, target)
    assert (target / "order").read_text("utf-8").splitlines() == ["classes.jar", "b.jar", "a.jar"]
    assert (target / "lib" / "a.jar").read_bytes() == b"A"
    with zipfile.ZipFile(target / "lib" / "classes.jar") as own:
        assert own.namelist() == ["zipkin/server/ZipkinServer.class"]


def test_what_a_killed_run_left_half_done_is_done_anew(jar: Path, tmp_path: Path) -> None:
    target = tmp_path / "zipkin"
    (tmp_path / "zipkin.new" / "lib").mkdir(parents=True)
    (tmp_path / "zipkin.new" / "lib" / "stale.jar").touch()
    zipkin.unpack(jar, target)
    assert not (target / "lib" / "stale.jar").exists()
