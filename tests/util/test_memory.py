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


def faults_of(rounds=5):
    """Pages that the system hands out while 64 MB are taken, written and freed again and again."""
    torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_freed_blocks_are_used_again(fork, tmp_path):
    """In a process of its own: once changed, glibc does not go all the way back."""
    fork(both, tmp_path / "pages").join()
    returned, kept = map(int, (tmp_path / "pages").read_text().split())
    assert kept < returned / 10


def both(path):
    """Pages with glibc's own way, and with keep_freed."""
    torch.set_num_threads(1)
    returned = faults_of()
    keep_freed()
    faults_of()  # until the heap is large enough
    path.write_text(f"{returned} {faults_of()}")
