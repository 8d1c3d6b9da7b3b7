"""What is known of this process and its machine without loading torch."""

import os


def is_main():
    """Whether this is rank 0, as torchrun says."""
    return os.environ.get("RANK", "0") == "0"


def cores():
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
