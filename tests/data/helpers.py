"""Helpers for the tests of preparations: random joints, the arrays of an npz, and the list of unusable files."""

import numpy as np

UTD = [3, 2, 1, 0, *range(4, 20)]  # numbers of UTD-MHAD's joints in Kinect v1's order, and the other way round


def joints(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def load(path):
    with np.load(path) as npz:
        return dict(npz)


def skipped(folder):
    (path,) = (folder / "raw_data").glob("*skipped.txt")
    return path.read_text().splitlines()
