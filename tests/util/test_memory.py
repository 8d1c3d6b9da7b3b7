"""The allocator keeps what was freed."""

import ctypes
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from util.memory import keep_freed

ROOT = Path(__file__).resolve().parents[2]
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
    """In a process of its own: once changed, glibc does not go all the way back."""
    call = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.util.test_memory import both; print(*both())"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=100)
    returned, kept = map(int, done.stdout.split())
    assert kept < returned / 10


def both():
    """Pages with glibc's own way, and with keep_freed."""
    torch.set_num_threads(1)
    returned = faults_of()
    keep_freed()
    faults_of()  # until the heap is large enough
    return returned, faults_of()
