"""The C library's allocator."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of glibc's mallopt


def keep_freed(keep=True):
    """Keep freed blocks in the process instead of giving large ones back to the system, which returns them page by page.

    On a CPU every activation is such a block. Numbers do not change; the process stays as large as it ever was. keep=False:
    glibc's own way again. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0 if keep else 65536)
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # this and the next: where glibc's own adjustment ends up
        mallopt(_TRIM_THRESHOLD, 2**31 - 1 if keep else 64 * 2**20)
