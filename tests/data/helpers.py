"""What the tests of preparations share: the arrays of an npz, and the list of what was left out."""

import numpy as np


def load(path):
    with np.load(path) as npz:
        return dict(npz)


def skipped(folder):
    return (folder / "raw_data" / "skipped.txt").read_text().splitlines()
