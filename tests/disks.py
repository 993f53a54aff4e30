"""Disks that reject writes: a file size limit, a full disk, a read-only disk."""

import resource
import subprocess
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# More than pytest's captured output needs, less than the files of the tests.
MAX_FILE_BYTES = 100_000
DISK_BYTES = 1024 * 1024


@contextmanager
def limit_file_size() -> Generator[None]:
    """Limit every file of this process to MAX_FILE_BYTES. Works for every user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def mount_small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of DISK_BYTES at `folder`. Skips the test, with a warning, if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mount = subprocess.run(command, capture_output=True, check=False)
    if mount.returncode:
        warnings.warn(pytest.PytestWarning("No disk can be mounted here."), stacklevel=2)
        pytest.skip("needs the right to mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def fill_disk(folder: Path) -> Iterator[None]:
    """Leave no free byte on the disk at `folder`."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only_disk(folder: Path) -> Iterator[None]:
    """Remount the disk at `folder` read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
