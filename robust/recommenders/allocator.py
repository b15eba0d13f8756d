"""The C allocator, tuned for training: keep freed memory instead of giving it back to the system after every step.

A step allocates and frees the same tens of megabytes; by default glibc returns them to the kernel each time, and the
page faults cost more than the arithmetic that they interrupt.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4


@cache
def tune_allocator() -> bool:
    """Tell glibc never to use mmap for a block nor to trim the heap, in this process, from now on.

    The same as starting the process with `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647
    MALLOC_TOP_PAD_=268435456`. Calling it again does nothing.

    Returns:
        Whether it took effect; False where the C library is not glibc (macOS, Windows, musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**28))
    taken = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings]
    return all(taken)
