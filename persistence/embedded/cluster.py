"""The embedded server's data on disk, and the programs that are run on it."""

import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from persistence.embedded.binaries import Binaries, Version
from persistence.embedded.os_user import ENVIRONMENT, EmbeddedPostgresError, OsUser, open_private

PORT = 5432
PREFIX = "icct26-"
PID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
# Of the socket's whole path: 107 bytes on Linux, 103 on macOS.
SOCKET_PATH_BYTES = 103
INITDB_SECONDS = 120
PROGRAM_SECONDS = 30
LOG_BYTES = 10_000_000
LOG_TAIL_BYTES = 4000

LOCALES = {
    "18": (("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),),
    "16": (("--locale=C.UTF-8",), ("--locale=C",)),
}
SETTINGS = {
    # No TCP at all: everybody who reaches the socket is trusted, and its folder is private.
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements, their values and the details of errors would carry people's names and addresses.
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
    """What a server wrote about itself when it started; it may have gone since."""

    pid: int
    socket_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    home: Path
    version: Version
    account: OsUser
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
    def mark(self) -> str:
        """In the command of the server and the titles of its children; no two clusters share it."""
        status = self.folder.stat()
        return f"{PREFIX}{status.st_dev:x}-{status.st_ino:x}"

    def recorded(self) -> PidFile | None:
        """None also while the server is still writing it."""
        try:
            lines = self.pid_file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < 5 or not PID.fullmatch(lines[0]) or not lines[4]:  # noqa: PLR2004
            return None
        return PidFile(pid=int(lines[0]), socket_dir=Path(lines[4]))

    def require_usable(self) -> None:
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
        """Under another name first, since a killed initdb leaves half a cluster."""
        fresh = self.home / "cluster.new"
        refusal = ""
        for locale in LOCALES[self.version]:
            if fresh.exists():
                shutil.rmtree(fresh)
            fresh.mkdir(mode=0o700)
            self.account.give(fresh)
            done = self.run(
                "initdb", f"--pgdata={self.account.data_argument(fresh)}", "--username=postgres",
                "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--no-instructions",
                *locale, folder=fresh, seconds=INITDB_SECONDS,
            )  # fmt: skip
            if done.returncode == 0:
                self._rename(fresh)
                return
            refusal = done.stderr.strip()
        shutil.rmtree(fresh)
        raise EmbeddedPostgresError(f"The database in {self.home} cannot be made: {refusal}")

    def _rename(self, fresh: Path) -> None:
        fresh.rename(self.folder)
        home = os.open(self.home, os.O_RDONLY)
        os.fsync(home)
        os.close(home)

    def spawn(self, socket_dir: Path, *, kept_open: int) -> subprocess.Popen[bytes]:
        """The server, which inherits the descriptor `kept_open` with all its children."""
        settings = SETTINGS | {
            "cluster_name": self.mark,
            "unix_socket_directories": str(socket_dir),
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        data = self.account.data_argument(self.folder)
        log = self._open_log()
        try:
            # A session of its own: Ctrl-C in the terminal must not end it before its users.
            return subprocess.Popen(  # noqa: S603 — no shell, and only our own programs
                [self.binaries.program("postgres"), "-D", data, *flags],
                cwd=self.folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=(kept_open,), umask=0o077,
                **self.account.spawn_options,
            )  # fmt: skip
        finally:
            os.close(log)

    def _open_log(self) -> int:
        log = open_private(self.log, os.O_WRONLY | os.O_APPEND)
        if os.fstat(log).st_size > LOG_BYTES:
            os.ftruncate(log, 0)
        return log

    def ask(self, socket_dir: Path, script: str) -> str | None:
        """None when `script` was run, else why not."""
        done = self.run(
            "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--host={socket_dir}",
            f"--port={PORT}", "--username=postgres", "--dbname=postgres", script=script,
        )  # fmt: skip
        return None if done.returncode == 0 else done.stderr.strip()

    def run(
        self, program: str, *arguments: str, folder: Path = Path("/"), script: str = "",
        seconds: float = PROGRAM_SECONDS,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        try:
            return subprocess.run(  # noqa: S603 — as above
                [self.binaries.program(program), *arguments], cwd=folder, env=ENVIRONMENT,
                input=script, capture_output=True, text=True, check=False, timeout=seconds,
                umask=0o077, **self.account.spawn_options,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not answer {program} in {seconds} seconds") from None

    def make_socket_folder(self) -> Path:
        """Private, with an unpredictable name, and short enough: the data's own path may not be.

        That of a server that others have ended is used again, and made again if it is gone: its
        users look for the next server there. Forgotten when `forget_socket_folder` is called.
        """
        last = self.last_socket_folder()
        if last is not None and (self._is_socket_folder(last) or self._is_made_again(last)):
            for path in last.iterdir():
                path.unlink()
            return last
        folder = self._new_socket_folder()
        with os.fdopen(open_private(self._place, os.O_WRONLY | os.O_TRUNC), "wb") as place:
            place.write(os.fsencode(folder))
        return folder

    @property
    def _place(self) -> Path:
        return self.home / "socket_folder"

    def last_socket_folder(self) -> Path | None:
        """The folder in which a server's users look for it; None before the first server."""
        # A server that was told to stop takes its pid file away.
        try:
            return Path(os.fsdecode(self._place.read_bytes()))
        except FileNotFoundError:
            recorded = self.recorded()
            return recorded.socket_dir if recorded else None

    def _is_made_again(self, folder: Path) -> bool:
        """False when anything else has taken its place meanwhile."""
        if not folder.name.startswith(PREFIX):
            return False
        try:
            folder.mkdir(mode=0o700)
            self.account.give(folder)
        except OSError:
            return False
        return self._is_socket_folder(folder)

    def _new_socket_folder(self) -> Path:
        for place in (tempfile.gettempdir(), "/tmp"):  # noqa: S108
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES:
                self.account.give(folder)
                return folder
            folder.rmdir()
        raise AssertionError

    def forget_socket_folder(self) -> None:
        """Remove it, and give the next server another: nobody looks for this one any more."""
        folder = self.last_socket_folder()
        if folder is not None and self._is_socket_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)
        self._place.unlink(missing_ok=True)

    def _is_socket_folder(self, folder: Path) -> bool:
        """Whether it was made here: a pid file can name anything."""
        try:
            status = folder.lstat()
        except OSError:
            return False
        is_private = status.st_mode == stat.S_IFDIR | stat.S_IRWXU
        return is_private and status.st_uid == self.account.uid and folder.name.startswith(PREFIX)

    def failure(self, what: str) -> EmbeddedPostgresError:
        """An error that quotes the end of the server's log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
                tail = log.read().decode(errors="replace").splitlines()[-10:]
        except OSError:
            return EmbeddedPostgresError(f"The database in {self.home} {what}.")
        return EmbeddedPostgresError(
            "\n".join([f"The database in {self.home} {what}. {self.log} ends with:", *tail])
        )
