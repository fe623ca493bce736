"""What glibc's malloc does with freed memory.

A request or answer of some megabytes is a fresh block here and another in gRPC. Whether glibc gives such blocks back to the
system each time depends on what else the process has done; where it does, page faults cost several times the copying.
"""

from __future__ import annotations

import ctypes
import functools
import os

# mallopt(3). The second is the most that glibc allows; larger blocks stay mappings of their own.
_KEPT_BYTES, _HEAP_BLOCK_BYTES = 128 << 20, 32 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


@functools.cache
def keep_freed_memory() -> None:
    """From now on freed memory at the heap's end is kept for reuse, up to 128 MiB, and blocks of up to 32 MiB come from
    the heap. Does nothing under another C library, nor where the environment has settings of its own
    (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_, MALLOC_TOP_PAD_, GLIBC_TUNABLES with glibc.malloc)."""
    chosen = any(name in os.environ for name in _OWN_SETTINGS) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    mallopt = None if chosen or os.name != "posix" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _HEAP_BLOCK_BYTES)
