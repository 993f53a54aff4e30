"""Who runs the embedded PostgreSQL, and which processes are it."""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

ROOT = 0
PROCESSES = Path("/proc")
# Nothing of the caller's environment: PGPORT, PGOPTIONS or a locale would change the server.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGCONNECT_TIMEOUT": "5"}


class EmbeddedPostgresError(Exception):
    """The database of the data folder cannot be used. The message says why and what to do."""


class SpawnOptions(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OsUser:
    """The operating system's user that runs the server. `dropped`: not the one running now."""

    uid: int
    gid: int
    dropped: bool

    @property
    def spawn_options(self) -> SpawnOptions:
        if not self.dropped:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def data_argument(self, folder: Path) -> str:
        """What to pass as `-D` to a process that is started inside `folder`.

        A dropped user may be unable to pass the folders above `folder`, but can use the folder in
        which it was started.
        """
        if self.dropped and (PROCESSES / "self" / "cwd").exists():
            return "/proc/self/cwd"
        return str(folder)

    def can_read(self, path: Path) -> bool:
        """By the modes alone, without groups: False in doubt."""
        return self.can_enter(path.parent) and self._has(path.stat(), stat.S_IROTH)

    def can_enter(self, folder: Path) -> bool:
        return all(self._has(each.stat(), stat.S_IXOTH) for each in (folder, *folder.parents))

    def _has(self, status: os.stat_result, other_bit: int) -> bool:
        bit = other_bit << 6 if status.st_uid == self.uid else other_bit
        return bool(status.st_mode & bit)

    def give(self, path: Path) -> None:
        if self.dropped:
            os.chown(path, self.uid, self.gid)


def open_private(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    chown_to_parent_owner(path)
    return descriptor


def chown_to_parent_owner(path: Path) -> None:
    """So that the owner of a folder can use without root what root has made in it."""
    if os.geteuid() == ROOT:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def select_os_user(data_dir: Path, cluster: Path) -> OsUser:
    """PostgreSQL refuses to run as root: then the owner of the data runs it, or nobody."""
    if os.geteuid() != ROOT:
        _require_own(cluster)
        return OsUser(uid=os.geteuid(), gid=os.getegid(), dropped=False)
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid == ROOT:
            message = "belongs to root, as whom PostgreSQL refuses to run; give it to another user"
            raise EmbeddedPostgresError(f"{cluster} {message}.")
        return OsUser(uid=owner.st_uid, gid=owner.st_gid, dropped=True)
    entry = _entry_of(data_dir.stat().st_uid) or pwd.getpwnam("nobody")
    return OsUser(uid=entry.pw_uid, gid=entry.pw_gid, dropped=True)


def _require_own(cluster: Path) -> None:
    if cluster.exists() and cluster.stat().st_uid != os.geteuid():
        raise EmbeddedPostgresError(
            f"{cluster} belongs to user {cluster.stat().st_uid}, not to user {os.geteuid()}: "
            "use another data folder, or start as that user."
        )


def _entry_of(uid: int) -> pwd.struct_passwd | None:
    """None for root and for a number without a name, with which initdb does not work."""
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
    """All that run, without zombies."""
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
    """None for one that has gone, or is a zombie. Looks at no other process on Linux."""
    if sys.platform == "linux":
        return _read_process(pid)
    return next((each for each in list_processes() if each.pid == pid), None)  # pragma: no cover


def _read_process(pid: int) -> Process | None:
    """None for one that has gone, or is a zombie: those have no command."""
    folder = PROCESSES / str(pid)
    try:
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return Process(pid=pid, uid=folder.stat().st_uid, command=command) if command else None
    except OSError:
        return None


def may_use_cluster(process: Process, cluster: Path) -> bool:
    """Whether `process` is a PostgreSQL that works in `cluster`, or cannot be excluded to be."""
    if not process.is_postgres:
        return False
    try:
        return (PROCESSES / str(process.pid) / "cwd").samefile(cluster)
    except FileNotFoundError:
        return (PROCESSES / str(process.pid)).exists() or sys.platform != "linux"
    except PermissionError:
        return True
