"""Keep memory between passes: freed activations are used again at once instead of being returned and faulted back in.

With glibc's defaults every large tensor is mapped afresh and given back when freed, so each pass pays a page fault
for every 4 KiB of its activations. The cost of keeping it: memory goes back to the system only when the process ends.
"""

import ctypes
import os

# Names and numbers of <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = -1  # as a threshold it is read as the largest unsigned number
PAD = 256 * 2**20


def keep_memory() -> bool:
    """Tell the C library to keep what is freed. True where that is possible (glibc), else False and nothing is done."""
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER, M_TOP_PAD: PAD}
    accepted = [mallopt(name, value) for name, value in settings.items()]
    return all(accepted)


def _is_glibc() -> bool:
    """Only glibc knows this name; musl and macOS refuse it, and Windows has no such question."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") is not None
    except (AttributeError, ValueError, OSError):
        return False
