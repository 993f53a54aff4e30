"""Settings of the C library's memory allocator."""

import ctypes
import sys
from contextlib import suppress

# M_MMAP_THRESHOLD in glibc's malloc.h.
MMAP_THRESHOLD = -3
LARGE_BYTES = 1 << 20


def return_freed_blocks_to_system() -> None:
    """Make glibc return blocks of 1 MB and more to the operating system when they are freed.

    By default glibc raises this threshold to the size of the largest freed block. Each thread that
    has computed an Argon2 hash would then keep 19 MB. Does nothing with another C library.
    """
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE_BYTES)
