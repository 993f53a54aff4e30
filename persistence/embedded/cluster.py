"""The data folder of the embedded server, and PostgreSQL's programs that work on it."""

import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from persistence.embedded.binaries import Binaries, Version
from persistence.embedded.errors import EmbeddedPostgresError
from persistence.embedded.os_user import ENVIRONMENT, OsUser, open_private

# Part of the socket's file name; there is no TCP port.
PORT = 5432
# Of cluster names and socket folders.
PREFIX = "icct26-"
PID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
# Limit of a Unix socket's path: 107 bytes on Linux, 103 on macOS.
MAX_SOCKET_PATH_BYTES = 103
INITDB_TIMEOUT_SECONDS = 120
PROGRAM_TIMEOUT_SECONDS = 30
MAX_LOG_BYTES = 10_000_000
LOG_TAIL_BYTES = 4000

# Options of initdb, in order of preference.
LOCALES = {
    "18": (("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),),
    "16": (("--locale=C.UTF-8",), ("--locale=C",)),
}
SETTINGS = {
    # No TCP. Connections to the socket need no password; its folder is private.
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements, their values and error details contain personal data.
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """The content of postmaster.pid. The server may have ended without removing it."""

    pid: int
    socket_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A PostgreSQL cluster in the folder `home`, beside its log, locks and socket folder's name."""

    home: Path
    version: Version
    os_user: OsUser
    binaries: Binaries

    @property
    def folder(self) -> Path:
        return self.home / "cluster"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / "postmaster.pid"

    @property
    def cluster_name(self) -> str:
        """A unique name, which PostgreSQL shows in the process titles of the server."""
        status = self.folder.stat()
        return f"{PREFIX}{status.st_dev:x}-{status.st_ino:x}"

    def read_pid_file(self) -> PidFile | None:
        """Read postmaster.pid. None if it is missing or the server is still writing it."""
        try:
            lines = self.pid_file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < 5 or not PID.fullmatch(lines[0]) or not lines[4]:  # noqa: PLR2004
            return None
        return PidFile(pid=int(lines[0]), socket_dir=Path(lines[4]))

    def require_usable(self) -> None:
        """Initialise the cluster if there is none, and check its version.

        Raises EmbeddedPostgresError.
        """
        if not self.folder.exists():
            self._initialise()
        try:
            version = (self.folder / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"{self.folder} holds no PostgreSQL data: move it away, or use another data folder."
            ) from None
        if version != self.version:
            raise EmbeddedPostgresError(
                f"{self.folder} holds data of PostgreSQL {version}, not of {self.version}."
            )

    def _initialise(self) -> None:
        """Run initdb under another name first, since a killed initdb leaves half a cluster."""
        new = self.home / "cluster.new"
        reason = ""
        for locale in LOCALES[self.version]:
            if new.exists():
                shutil.rmtree(new)
            new.mkdir(mode=0o700)
            self.os_user.chown(new)
            result = self.run(
                "initdb", f"--pgdata={self.os_user.data_argument(new)}", "--username=postgres",
                "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--no-instructions",
                *locale, folder=new, timeout_seconds=INITDB_TIMEOUT_SECONDS,
            )  # fmt: skip
            if result.returncode == 0:
                self._rename(new)
                return
            reason = result.stderr.strip()
        shutil.rmtree(new)
        raise EmbeddedPostgresError(f"The database in {self.home} cannot be created: {reason}")

    def _rename(self, new: Path) -> None:
        """Make `new` the cluster, durably."""
        new.rename(self.folder)
        home = os.open(self.home, os.O_RDONLY)
        os.fsync(home)
        os.close(home)

    def spawn(self, socket_dir: Path, *, inherited_fd: int) -> subprocess.Popen[bytes]:
        """Start the server. It and all its children inherit the descriptor `inherited_fd`."""
        settings = SETTINGS | {
            "cluster_name": self.cluster_name,
            "unix_socket_directories": str(socket_dir),
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        data = self.os_user.data_argument(self.folder)
        log = self._open_log()
        try:
            # A new session: Ctrl-C in the terminal must not end the server before the service.
            return subprocess.Popen(  # noqa: S603 - no shell, and only our own programs
                [self.binaries.program("postgres"), "-D", data, *flags],
                cwd=self.folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=(inherited_fd,), umask=0o077,
                **self.os_user.spawn_options,
            )  # fmt: skip
        finally:
            os.close(log)

    def _open_log(self) -> int:
        log = open_private(self.log, os.O_WRONLY | os.O_APPEND)
        if os.fstat(log).st_size > MAX_LOG_BYTES:
            os.ftruncate(log, 0)
        return log

    def run_sql(self, socket_dir: Path, script: str) -> str | None:
        """Run a psql script. Returns None after success, else the error message."""
        result = self.run(
            "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--host={socket_dir}",
            f"--port={PORT}", "--username=postgres", "--dbname=postgres", script=script,
        )  # fmt: skip
        return None if result.returncode == 0 else result.stderr.strip()

    def run(
        self, program: str, *arguments: str, folder: Path = Path("/"), script: str = "",
        timeout_seconds: float = PROGRAM_TIMEOUT_SECONDS,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a program of PostgreSQL in `folder`. Raises EmbeddedPostgresError on a timeout."""
        try:
            return subprocess.run(  # noqa: S603 - as above
                [self.binaries.program(program), *arguments], cwd=folder, env=ENVIRONMENT,
                input=script, capture_output=True, text=True, check=False, timeout=timeout_seconds,
                umask=0o077, **self.os_user.spawn_options,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not answer {program} in {timeout_seconds} seconds") from None

    def make_socket_folder(self) -> Path:
        """A private folder for the socket, outside the data folder, whose path may be too long.

        After a server that was killed the same folder is used again, and created again if it is
        gone, since processes that use the server expect the next one there. That ends with
        `forget_socket_folder`.
        """
        last = self.last_socket_folder()
        if last is not None and (self._is_socket_folder(last) or self._recreate(last)):
            for path in last.iterdir():
                path.unlink()
            return last
        folder = self._create_socket_folder()
        descriptor = open_private(self._socket_folder_file, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(folder))
        return folder

    @property
    def _socket_folder_file(self) -> Path:
        """The file with the path of the socket folder."""
        return self.home / "socket_folder"

    def last_socket_folder(self) -> Path | None:
        """The current or last server's socket folder; None before the first server.

        Read from a file of its own, because a server that stops cleanly removes its pid file.
        """
        try:
            return Path(os.fsdecode(self._socket_folder_file.read_bytes()))
        except FileNotFoundError:
            pid_file = self.read_pid_file()
            return pid_file.socket_dir if pid_file else None

    def _recreate(self, folder: Path) -> bool:
        """Create a socket folder again. False when its path is in use for something else."""
        if not folder.name.startswith(PREFIX):
            return False
        try:
            folder.mkdir(mode=0o700)
            self.os_user.chown(folder)
        except OSError:
            return False
        return self._is_socket_folder(folder)

    def _create_socket_folder(self) -> Path:
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH_BYTES:
                self.os_user.chown(folder)
                return folder
            folder.rmdir()
        raise AssertionError("the last parent is short enough")

    def forget_socket_folder(self) -> None:
        """Remove the socket folder; the next server gets another one."""
        folder = self.last_socket_folder()
        if folder is not None and self._is_socket_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)
        self._socket_folder_file.unlink(missing_ok=True)

    def _is_socket_folder(self, folder: Path) -> bool:
        """Whether this class created it. A pid file could name any folder."""
        try:
            status = folder.lstat()
        except OSError:
            return False
        is_private = status.st_mode == stat.S_IFDIR | stat.S_IRWXU
        return is_private and status.st_uid == self.os_user.uid and folder.name.startswith(PREFIX)

    def failure(self, predicate: str) -> EmbeddedPostgresError:
        """An error `The database in … {predicate}.` with the end of the server's log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
                tail = log.read().decode(errors="replace").splitlines()[-10:]
        except OSError:
            return EmbeddedPostgresError(f"The database in {self.home} {predicate}.")
        return EmbeddedPostgresError(
            "\n".join([f"The database in {self.home} {predicate}. {self.log} ends with:", *tail])
        )
