"""The operating-system user and the processes of the embedded PostgreSQL."""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from persistence.embedded.errors import EmbeddedPostgresError

ROOT = 0
PROCESSES = Path("/proc")
# Replaces the caller's environment, whose PGPORT, PGOPTIONS or locale would affect the server.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGCONNECT_TIMEOUT": "5"}


class SpawnOptions(TypedDict, total=False):
    """Arguments of `subprocess.Popen`."""

    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OsUser:
    """The user that runs the server. `is_other_user`: this process runs as root instead."""

    uid: int
    gid: int
    is_other_user: bool

    @property
    def spawn_options(self) -> SpawnOptions:
        if not self.is_other_user:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def data_argument(self, folder: Path) -> str:
        """The path of `folder` for the option `-D` of a process whose working directory it is.

        Another user may not be allowed to traverse the folders above `folder`, but can always use
        its working directory.
        """
        if self.is_other_user and (PROCESSES / "self" / "cwd").exists():
            return "/proc/self/cwd"
        return str(folder)

    def can_read(self, path: Path) -> bool:
        """Whether the user can read a file, by its mode without groups: False in doubt."""
        return self.can_enter(path.parent) and self._has(path.stat(), stat.S_IROTH)

    def can_enter(self, folder: Path) -> bool:
        folders = (folder, *folder.parents)
        return all(self._has(ancestor.stat(), stat.S_IXOTH) for ancestor in folders)

    def _has(self, status: os.stat_result, other_bit: int) -> bool:
        # The owner's bit is the same bit six places higher.
        bit = other_bit << 6 if status.st_uid == self.uid else other_bit
        return bool(status.st_mode & bit)

    def chown(self, path: Path) -> None:
        if self.is_other_user:
            os.chown(path, self.uid, self.gid)


def open_private(path: Path, flags: int) -> int:
    """Open or create a file that only its owner can use. Returns the descriptor."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    chown_to_parent_owner(path)
    return descriptor


def chown_to_parent_owner(path: Path) -> None:
    """Give a path that root has created to the owner of its folder, who may run without root."""
    if os.geteuid() == ROOT:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def select_os_user(data_dir: Path, cluster: Path) -> OsUser:
    """The current user; under root, as which PostgreSQL refuses to run, the owner of the data.

    If root owns the data folder too, the user `nobody`.
    """
    if os.geteuid() != ROOT:
        _require_owner(cluster)
        return OsUser(uid=os.geteuid(), gid=os.getegid(), is_other_user=False)
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid == ROOT:
            message = "belongs to root, as whom PostgreSQL refuses to run; give it to another user"
            raise EmbeddedPostgresError(f"{cluster} {message}.")
        return OsUser(uid=owner.st_uid, gid=owner.st_gid, is_other_user=True)
    entry = _find_entry(data_dir.stat().st_uid) or pwd.getpwnam("nobody")
    return OsUser(uid=entry.pw_uid, gid=entry.pw_gid, is_other_user=True)


def _require_owner(cluster: Path) -> None:
    if cluster.exists() and cluster.stat().st_uid != os.geteuid():
        raise EmbeddedPostgresError(
            f"{cluster} belongs to user {cluster.stat().st_uid}, not to user {os.geteuid()}: "
            "use another data folder, or start as that user."
        )


def _find_entry(uid: int) -> pwd.struct_passwd | None:
    """The user database entry; None for root and for an id without one, which initdb rejects."""
    try:
        return None if uid == ROOT else pwd.getpwuid(uid)
    except KeyError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    pid: int
    uid: int
    command: str

    @property
    def is_postgres(self) -> bool:
        program = self.command.split(" ", 1)[0].rstrip(":")
        return program.rsplit("/", 1)[-1] in {"postgres", "postmaster"}


def list_processes() -> Iterator[Process]:
    """All running processes, without zombies."""
    if sys.platform == "linux":
        pids = (int(entry.name) for entry in PROCESSES.iterdir() if entry.name.isdigit())
        yield from (process for pid in pids if (process := _read_process(pid)))
        return
    listing = subprocess.run(  # pragma: no cover
        ["/bin/ps", "-axww", "-o", "pid=,uid=,command="], capture_output=True, text=True, check=True
    )
    for line in listing.stdout.splitlines():  # pragma: no cover
        pid, uid, command = line.split(None, 2)
        yield Process(pid=int(pid), uid=int(uid), command=command)


def find_process(pid: int) -> Process | None:
    """Find a process. None if it has ended or is a zombie."""
    if sys.platform == "linux":
        return _read_process(pid)
    return next((p for p in list_processes() if p.pid == pid), None)  # pragma: no cover


def _read_process(pid: int) -> Process | None:
    """Read a process from /proc. None if it has ended or is a zombie, without a command line."""
    folder = PROCESSES / str(pid)
    try:
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return Process(pid=pid, uid=folder.stat().st_uid, command=command) if command else None
    except OSError:
        return None


def may_use_cluster(process: Process, cluster: Path) -> bool:
    """Whether `process` is a PostgreSQL server that uses `cluster`, or may be one."""
    if not process.is_postgres:
        return False
    try:
        return (PROCESSES / str(process.pid) / "cwd").samefile(cluster)
    except FileNotFoundError:
        # The process has ended, the cluster does not exist, or the system has no /proc.
        return (PROCESSES / str(process.pid)).exists() or sys.platform != "linux"
    except PermissionError:
        # The working directory of another user's process is unknown.
        return True
