from __future__ import annotations

import subprocess
import sys

import pytest
from camoe.train.memory import KEPT, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_by

CODE = """
import resource
from camoe.train.memory import keep_freed_memory
keep_freed_memory()
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = libc.malloc(1 << 26)
    ctypes.memset(place, 1, 1 << 26)
    libc.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own settings")
def test_what_was_freed_is_there_again_without_new_pages() -> None:
    told = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout
    first, again = map(int, told.split())
    assert again < first / 10


def test_a_glibc_that_refuses_large_pieces_gets_smaller_ones() -> None:
    """As was once so, where half of a heap's 64 MiB is the most."""
    taken: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        if option == M_MMAP_THRESHOLD and value > 1 << 25:
            return 0
        taken[option] = value
        return 1

    keep_by(mallopt)
    assert taken == {M_MMAP_THRESHOLD: 1 << 25, M_TRIM_THRESHOLD: KEPT}
    taken.clear()
    keep_by(lambda option, value: 0 if option == M_MMAP_THRESHOLD else mallopt(option, value))
    assert taken == {}
