"""Crop, resize, rotate, bone and velocity against published arrays, torch's interpolation and loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from feeder import tools


@pytest.mark.parametrize("i", range(6))
@pytest.mark.parametrize("window", [120, 64])
def test_central_crops_are_the_published_ones(i, window, parity, part, assert_close):
    case = part(parity("feeder"), f"center{i}/")
    x = case["x"].numpy()
    assert_close(tools.valid_crop_resize(x, x.shape[1], case["p"].tolist(), window), case[f"out{window}"])


@pytest.mark.parametrize("i", range(5))
def test_random_crops_are_the_published_ones(i, parity, part, assert_close):
    case = part(parity("feeder"), f"train{i}/")
    x = case["x"].numpy()
    frames, seed = x.shape[1], int(case["np_seed"])
    begin, end = tools.crop_bounds(frames, [0.5, 1.0], rng=np.random.RandomState(seed))
    assert (begin, end - begin) == (case["begin"], case["crop_len"])
    np.random.seed(seed)
    assert_close(tools.valid_crop_resize(x, frames, [0.5, 1.0], 120), case["out120"])


def test_rotation_is_the_published_one(parity, part, assert_close):
    case = part(parity("feeder"), "rot/")
    assert_close(tools.rotate(case["in"].numpy(), case["angles"].numpy()), case["out"])


@pytest.mark.parametrize(
    "frames, window", [(1, 7), (2, 7), (17, 120), (119, 120), (120, 120), (121, 120), (300, 64), (300, 1), (5, 3)]
)
def test_resize_is_torchs_linear_interpolation(frames, window):
    x = torch.randn(3, frames, 4, 2, generator=torch.Generator().manual_seed(frames))
    flat = x.permute(0, 2, 3, 1).reshape(1, -1, frames)
    expected = F.interpolate(flat, size=window, mode="linear", align_corners=False).reshape(3, 4, 2, window).permute(0, 3, 1, 2)
    assert torch.allclose(tools.resize_time(x, window), expected, atol=1e-5)


@pytest.mark.parametrize("p", [0.95, 0.9, 0.5, 1.0, 0.01])
@pytest.mark.parametrize("frames", [1, 2, 17, 100, 300])
def test_central_crop_leaves_as_much_at_both_ends(p, frames):
    begin, end = tools.crop_bounds(frames, [p])
    assert begin == int((1 - p) * frames / 2) == frames - end and end > begin


@pytest.mark.parametrize("frames, least", [(300, 64), (100, 64), (64, 64), (40, 64), (1, 64), (40, 16), (17, 4)])
def test_random_crop_stays_inside_and_keeps_its_floor(frames, least):
    rng = np.random.RandomState(0)
    bounds = [tools.crop_bounds(frames, [0.5, 1.0], least, rng) for _ in range(500)]
    lengths = [end - begin for begin, end in bounds]
    assert all(0 <= begin < end <= frames for begin, end in bounds)
    assert min(lengths) >= min(max(least, frames // 2), frames)
    if frames == 300:
        assert {begin for begin, _ in bounds} >= {0, 1, 2} and max(lengths) > 290 and min(lengths) < 155
        assert np.mean(lengths) == pytest.approx(225, abs=6)
    if frames <= least:
        assert set(bounds) == {(0, frames)}
    assert {tools.crop_bounds(10, [0.8, 0.8], 1, rng) for _ in range(100)} == {(0, 8), (1, 9), (2, 10)}  # both ends are reached


def test_crop_is_applied_before_resizing():
    x = np.arange(100, dtype=np.float32).reshape(1, 100, 1, 1)
    y = tools.valid_crop_resize(x, 60, [0.5], 30)  # frames 15..44 of the 60 valid ones
    assert y.ravel().tolist() == list(range(15, 45))


def test_no_valid_frame():
    with pytest.raises(ValueError, match="without a valid frame"):
        tools.valid_crop_resize(np.zeros((3, 10, 5, 1), np.float32), 0, [0.95], 8)


def test_rotation_matrices_by_axis():
    c, s = math.cos(0.2), math.sin(0.2)
    expected = [[[1, 0, 0], [0, c, s], [0, -s, c]], [[c, 0, -s], [0, 1, 0], [s, 0, c]], [[c, s, 0], [-s, c, 0], [0, 0, 1]]]
    single = [tools.rotation_matrix(0.2 * np.eye(3)[axis]) for axis in range(3)]
    for ours, matrix in zip(single, expected, strict=True):
        assert torch.allclose(ours, torch.tensor(matrix, dtype=torch.float32), atol=1e-7)
    rx, ry, rz = (tools.rotation_matrix(a * np.eye(3)[i]) for i, a in enumerate((0.1, -0.2, 0.3)))
    assert torch.allclose(tools.rotation_matrix(np.array([0.1, -0.2, 0.3])), rz @ ry @ rx, atol=1e-6)


def test_neither_16_bits_nor_tf32_touch_a_rotation(products):
    x, angles = torch.randn(4, 3, 10, 5, 2), [0.1, 0.2, 0.3]
    expected = np.einsum("ij,njtvm->nitvm", tools.rotation_matrix(np.array(angles)).double(), x.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert np.allclose(tools.rotate(x, angles), expected, atol=1e-6)
    assert not products(lambda: tools.rotate(x, angles)), "TF32 rounds what goes into a product"


def test_random_rotation_draws_uniform_angles_within_theta():
    rng = np.random.RandomState(0)
    angles = np.array([tools.random_angles(0.3, rng) for _ in range(400)])
    assert np.abs(angles).max() <= 0.3 and (np.abs(angles).max(0) > 0.29).all()
    assert np.std(angles, axis=0) == pytest.approx(0.3 / math.sqrt(3), rel=0.1)
    assert np.abs(np.corrcoef(angles.T) - np.eye(3)).max() < 0.15
    angles = np.array([tools.random_angles((0, 1, 0), rng) for _ in range(50)])  # an axis each
    assert (angles[:, [0, 2]] == 0).all() and np.abs(angles).max() > 0.5


@pytest.mark.parametrize("data", [np.ones((3, 10, 4, 1), np.float32), torch.ones(3, 10, 4, 1)], ids=["numpy", "torch"])
def test_what_goes_in_comes_out(data):
    before = data.copy() if isinstance(data, np.ndarray) else data.clone()
    rng = np.random.RandomState(0)
    for out in (
        tools.valid_crop_resize(data, 10, [0.5, 1.0], 8, 4, rng),
        tools.random_rot(data, 0.3, rng),
        tools.bone(data, np.zeros(4, int)),
        tools.velocity(data),
    ):
        assert type(out) is type(data) and out.dtype == data.dtype
        assert (data == before).all()


def test_prediction_crops_and_streams_as_the_reference_does():
    """Whole batches against valid_crop_resize, rotate, bone and velocity, a sequence at a time."""
    rng, above = np.random.default_rng(0), np.array([0, 0, 1, 1, 3])
    sequences = [rng.normal(size=(frames, 2 * 5 * 3)).astype(np.float32) for frames in (9, 40, 1)]
    begin, end = tools.crop_bounds(np.array([9, 40, 1]), [0.7])
    crops = tools.concatenate_crops(sequences, begin, end - begin)
    angles = rng.normal(size=(3, 3))
    found = tools.stream(tools.apply_maps(tools.resize_crops(*crops, 8, 2, 5), tools.rotation_matrix(angles)), above, vel=True)
    assert found.shape == (3, 3, 8, 5, 2)
    for i, rows in enumerate(sequences):
        x = torch.from_numpy(rows.reshape(-1, 2, 5, 3)).permute(3, 0, 2, 1)
        x = tools.rotate(tools.valid_crop_resize(x, len(rows), [0.7], 8), angles[i])
        assert torch.allclose(found[i], tools.velocity(tools.bone(x, above)), atol=1e-6)
