"""Limits of denoising that random recordings (test_properties.py) do not meet."""

import numpy as np
import pytest

from data.prepare.denoise import denoise, noisy_frames
from data.prepare.skeleton_file import Body


def wide(joints):
    """The same lying on its side: noise by its extent."""
    return joints[..., [1, 0, 2]]


def test_noisy_frames_are_wider_than_08_of_their_height():
    joints = np.zeros((3, 25, 3), np.float32)
    joints[:, 0, 1] = 1.0
    joints[:, 1, 0] = 0.79, 0.8, 0.81
    assert noisy_frames(joints).tolist() == [False, True, True]  # 0.8 as float32 lies above 0.8


@pytest.mark.parametrize("length, actors", [(11, 1), (12, 2)])
def test_bodies_of_up_to_11_frames_are_dropped(walk, length, actors):
    bodies = [Body("1", 0, walk(30)), Body("2", 3, walk(length))]
    assert denoise(30, bodies).shape == (30, actors, 25, 3)


@pytest.mark.parametrize("share, actors", [(13, 2), (14, 1)])  # of 20 frames: 0.65 and 0.70, the limit is 0.69754
def test_bodies_noisy_in_most_frames_are_dropped(walk, share, actors):
    joints = walk(20)
    joints[:share] = wide(joints[:share])
    out = denoise(20, [Body("1", 0, joints), Body("2", 0, walk(20))])
    assert out.shape[1] == actors


def test_actors_that_share_one_frame_do_not_overlap(walk):
    first, second = walk(20, 0.9), walk(20, 0.3)
    out = denoise(39, [Body("1", 0, first), Body("2", 19, second)])
    np.testing.assert_array_equal(out[:, 0], np.concatenate([first[:19], second]))
    assert out.shape == (39, 2, 25, 3) and not out[:, 1].any()


def test_nothing_left(walk):
    with pytest.raises(ValueError, match="no body is seen for more than 11 frames"):
        denoise(20, [Body("1", 0, walk(5)), Body("2", 9, walk(11))])
    with pytest.raises(ValueError, match="all coordinates of the first actor are 0"):
        denoise(3, [Body("1", 0, np.zeros((3, 25, 3), np.float32))])


def test_an_id_twice_in_a_frame(walk):
    with pytest.raises(ValueError, match="a body id stands twice in one frame"):
        denoise(20, [Body("1", 0, walk(21)), Body("2", 0, walk(20))])
