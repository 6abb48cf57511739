from __future__ import annotations

import subprocess
import sys

import pytest

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
