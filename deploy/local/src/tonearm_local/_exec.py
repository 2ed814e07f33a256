"""Become a child that cannot outlive its supervisor, then exec the real program.

Run as ``python -I -S _exec.py PARENT_PID UID GID NAMESPACE DEATH_SIGNAL -- COMMAND...``; standard
library only, because it runs before any site-packages. UID and GID of -1 keep the identity;
NAMESPACE 1 enters a user namespace in which root is an ordinary user (Postgres refuses root).
"""

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_NAMESPACE_ID = 1000


def _enter_user_namespace(libc: ctypes.CDLL) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not permitted here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_NAMESPACE_ID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_NAMESPACE_ID} {gid} 1")


def main(arguments: list[str]) -> None:
    """Drop privileges if asked, tie life to the parent's, exec."""
    parent, uid, gid, namespace, death_signal = (int(value) for value in arguments[:5])
    command = arguments[6:]
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None and namespace:
        _enter_user_namespace(libc)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if libc is not None:
        # After the change of identity, which would clear it.
        libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(143)  # the supervisor died before the wish was registered
    os.execvp(command[0], command)  # noqa: S606 - exec without a shell is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
