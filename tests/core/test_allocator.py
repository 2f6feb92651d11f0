import os
import platform
import subprocess
import sys

import pytest

from xaibench.allocator import keep_memory

# 320 MiB is more than the C library keeps by itself, and more than the pad it is told to keep at the top.
CHURN = """
import resource
from xaibench.allocator import keep_memory
{call}
bytearray(5 * 2**26)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    bytearray(5 * 2**26)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call):
    found = subprocess.run([sys.executable, "-c", CHURN.format(call=call)], capture_output=True, check=True, text=True)
    return int(found.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_kept_memory_is_not_faulted_in_again():
    kept, given_back = faults("assert keep_memory()"), faults("")
    # Even with huge pages of 2 MiB, each of the 3 blocks costs 160 faults unless it is kept.
    assert given_back >= 3 * 160
    assert kept < given_back / 50


def test_where_the_c_library_is_another_nothing_is_done(monkeypatch):
    def refuse(name):
        raise ValueError(f"unrecognized configuration name: {name}")  # what Python says on macOS and musl

    monkeypatch.setattr(os, "confstr", refuse, raising=False)
    assert keep_memory() is False


def test_where_the_question_does_not_exist_nothing_is_done(monkeypatch):
    monkeypatch.delattr(os, "confstr", raising=False)  # Windows
    assert keep_memory() is False
