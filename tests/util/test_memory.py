"""The allocator keeps what was freed."""

import ctypes
import resource
import sys

import pytest
import torch

from util.memory import keep_freed

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)


def faults_of(rounds=20):
    """Pages that the system hands out while 64 MB are taken, written and freed again and again."""
    torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_blocks_are_used_again():
    try:
        keep_freed(False)
        returned = faults_of()
        keep_freed()
        kept = faults_of()
    finally:
        keep_freed(False)
    assert kept < returned / 10
