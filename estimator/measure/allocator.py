"""Page faults of the CPU path: glibc keeps what it has, and those that are left are counted."""

from __future__ import annotations

import contextlib
import ctypes
import resource

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_memory() -> bool:
    """Keeps glibc from giving memory back, else each forward may fault its activations in; False where it cannot."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))


def give_memory_back() -> None:
    """Returns a deleted model's memory to the system, where the C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def page_faults() -> int:
    """Returns the page faults of this process so far, minor and major."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt
