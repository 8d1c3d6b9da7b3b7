"""Settings of the C library's memory allocator."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's mallopt


def keep_freed(keep=True):
    """Keep large freed blocks in the process instead of returning them to the system, which would have to map them again page by
    page.

    On a CPU every activation is such a block. The process never shrinks. keep=False restores glibc's behaviour; no effect with
    other C libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0 if keep else 65536)
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # for keep=False, the values that glibc ends up with
        mallopt(_TRIM_THRESHOLD, 2**31 - 1 if keep else 64 * 2**20)
