import statistics

import numpy as np
import pytest

from data.prepare.denoise import denoise, motion, noisy_frames
from data.prepare.skeleton_file import Body


def wide(joints):
    """The same lying on its side: noise by its extent."""
    return joints[..., [1, 0, 2]]


def test_motion_is_the_population_variance_over_joints_and_frames(walk):
    joints = walk(7)
    expected = sum(statistics.pvariance([float(j[c]) for frame in joints for j in frame]) for c in range(3))
    assert motion(joints) == pytest.approx(expected, rel=1e-5)


def test_noisy_frames_are_wider_than_08_of_their_height():
    joints = np.zeros((3, 25, 3), np.float32)
    joints[:, 0, 1] = 1.0
    joints[:, 1, 0] = 0.79, 0.8, 0.81
    assert noisy_frames(joints).tolist() == [False, True, True]  # 0.8 as float32 lies above 0.8


def test_one_body_stays_as_it_is(walk):
    joints = wide(walk(5))
    joints[2] = 0
    np.testing.assert_array_equal(denoise(5, [Body("1", 0, joints)]), joints[:, None])


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


def test_the_last_body_is_never_dropped(walk):
    first, second = wide(walk(20)), wide(walk(20))
    out = denoise(20, [Body("1", 0, first), Body("2", 0, second)])
    np.testing.assert_array_equal(out, second[:, None])


def test_the_one_that_moves_most_is_actor_1(walk):
    still, lively = walk(20, sway=0.01), walk(20, sway=0.5)
    out = denoise(20, [Body("1", 0, still), Body("2", 0, lively)])
    np.testing.assert_array_equal(out, np.stack([lively, still], axis=1))


def test_motion_counts_only_clean_frames(walk):
    jumpy, steady = walk(20, sway=0.01), walk(20, sway=0.2)
    jumpy[:5] = wide(jumpy[:5]) + 9
    assert motion(jumpy) > motion(steady) > motion(jumpy[5:])
    out = denoise(20, [Body("1", 0, jumpy), Body("2", 0, steady)])
    np.testing.assert_array_equal(out, np.stack([steady, jumpy], axis=1))


def test_broken_tracks_are_put_together_and_empty_frames_removed(walk):
    strong, later, beside, ghost = walk(20, 0.9), walk(14, 0.6), walk(30, 0.3), walk(36, 0.1)
    bodies = [Body("g", 2, ghost), Body("s", 0, strong), Body("b", 1, beside), Body("l", 26, later)]
    out = denoise(45, bodies)  # strong 0-19 and later 26-39 are actor 1, beside 1-30 actor 2, ghost 2-37 overlaps both
    expected = np.zeros((45, 2, 25, 3), np.float32)
    expected[0:20, 0], expected[26:40, 0], expected[1:31, 1] = strong, later, beside
    np.testing.assert_array_equal(out, expected[:40])


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
