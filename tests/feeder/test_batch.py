"""Batches made at once against the same samples made one by one, and their distribution against numpy's generator."""

import pickle

import numpy as np
import pytest
import torch

from feeder.batch import Draws, Resident, uniforms
from feeder.feeder_ntu import Feeder
from feeder.skeleton import joint_names

RANDOM = dict(p_interval=(0.5, 1.0), min_frames=4, random_rot=True)
OPTIONS = {
    "plain": {},
    "random": RANDOM,
    "crop": dict(p_interval=(0.3, 0.6), min_frames=2),
    "bone": RANDOM | dict(bone=True, rot_theta=(0.1, 0.5, 1.0)),
    "velocity": RANDOM | dict(vel=True),
    "subset": dict(data_ratio=0.4, subset_seed=1),
    "mirror": RANDOM | dict(mirror=True, bone=True),
    "mirror alone": dict(mirror=True),
    "scale": RANDOM | dict(random_scale=0.3, mirror=True, bone=True),
    "scale alone": dict(random_scale=0.3),
}


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory):
    """npz of 30 samples with 20 joints (Kinect v1) and two bodies, 3 to 40 valid frames; and the same without valid_frames."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("skeletons") / "data.npz"
    valid = rng.integers(3, 41, 30).astype(np.int32)
    x = rng.normal(size=(30, 40, 120)).astype(np.float32)
    x[np.arange(40) >= valid[:, None]] = 0
    labels = np.eye(5, dtype=np.uint8)[np.arange(30) % 5]
    arrays = {"x_train": x, "y_train": labels, "num_joints": 20, "num_bodies": 2, "layout": "kinect_v1"}
    np.savez(path, **arrays, valid_frames_train=valid)
    np.savez(path.with_name("uncounted.npz"), **arrays)
    return path


@pytest.mark.parametrize("window", [8, 40])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_batch_is_its_samples(skeletons, name, window):
    feeder = Feeder(skeletons, "train", window_size=window, **OPTIONS[name])
    indices, table = np.array([7, 0, 29, 7, 12]) % len(feeder), uniforms(3, 1, 30, feeder.num_draws)
    for data in (feeder, Resident(feeder, "cpu")):
        tensors, label, rows = data.collect(indices, table[indices])
        x = data.make(*tensors)
        assert all(
            tensor.is_contiguous() for tensor in tensors
        )  # torch refuses to pin expanded ones, as the loader does for a GPU
        assert x.shape == (5, 3, window, 20, 2) and x.dtype == torch.float32
        for i, index in enumerate(indices):
            item, its_label, its_row = feeder.get(index, Draws(table[index]))
            assert torch.allclose(x[i], item, atol=1e-5) and (label[i], rows[i]) == (its_label, its_row)
    again = pickle.loads(pickle.dumps(feeder))  # for a worker process, after batches were made
    assert torch.equal(again.make(*again.collect(indices, table[indices])[0]), x) and len(pickle.dumps(feeder)) < 5000


@pytest.mark.parametrize("resident", [False, True])
def test_each_view_is_a_crop_of_its_own(invented, resident):
    """View v of sample i is what the feeder of one view makes of the sample with the v-th part of its random numbers."""
    options = dict(window_size=8, p_interval=[0.1, 1.0], min_frames=4)
    several, single = Feeder(invented, "train", views=4, **options), Feeder(invented, "train", **options)
    data = Resident(several, torch.device("cpu")) if resident else several
    indices, table = np.array([5, 0, 17]), uniforms(3, 1, len(several), several.num_draws)
    tensors, labels, rows = data.collect(indices, table[indices])
    x = data.make(*tensors)
    assert x.shape == (3, 4, 3, 8, 5, 1) and rows.tolist() == indices.tolist() and len(labels) == 3
    for n, i in enumerate(indices):
        for view in range(4):
            expected, label, row = single.get(i, Draws(table[i].reshape(4, 5)[view]))
            assert torch.allclose(x[n, view], expected, atol=1e-6) and label == labels[n] and row == i
    assert len({round(v.sum().item(), 4) for v in x[0]}) > 1


def test_each_axis_of_a_view_is_stretched_by_a_factor_of_its_own(skeletons):
    """The factors are uniform in 0.7 .. 1.3, and come before the rotation, which keeps lengths."""
    options = dict(window_size=8, random_scale=0.3, views=2)
    feeder, plain = Feeder(skeletons, "train", **options), Feeder(skeletons, "train", window_size=8)
    indices, table = np.arange(30), uniforms(0, 0, 30, feeder.num_draws)
    x, original = feeder.make(*feeder.collect(indices, table)[0]), plain.make(*plain.collect(indices, table)[0])
    factors = (x.abs().sum((3, 4, 5)) / original.abs().sum((2, 3, 4))[:, None]).flatten(0, 1)  # (60, 3)
    assert torch.allclose(x.flatten(0, 1), original.repeat_interleave(2, 0) * factors[..., None, None, None], atol=1e-5)
    assert 0.7 <= factors.min() < 0.75 and 1.25 < factors.max() <= 1.3 and abs(factors.mean() - 1) < 0.06
    assert (factors.std(0) > 0.12).all() and torch.corrcoef(factors.T).fill_diagonal_(0).abs().max() < 0.4
    assert len(factors.unique()) == factors.numel()
    turned, table = Feeder(skeletons, "train", **options, random_rot=True, rot_theta=3), table.reshape(60, -1)
    of_angles = np.random.default_rng(1).random((60, 3))  # the angles are drawn before the factors
    rotated = turned.make(*turned.collect(indices, np.hstack([of_angles, table[:, :5]]).reshape(30, -1))[0])
    assert torch.allclose(rotated.norm(dim=2), x.norm(dim=2), atol=1e-4) and not torch.allclose(rotated, x, atol=0.1)


def test_half_of_the_views_are_mirrored(skeletons):
    """Joints on the left go to the right with the opposite x; whoever is not mirrored stays as it was."""
    feeder = Feeder(skeletons, "train", window_size=8, mirror=True, views=2)
    plain = Feeder(skeletons, "train", window_size=8)
    indices, table = np.arange(30), uniforms(0, 0, 30, feeder.num_draws)
    x, original = feeder.make(*feeder.collect(indices, table)[0]), plain.make(*plain.collect(indices, table)[0])
    names = list(joint_names("kinect_v1"))
    other = [name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right") for name in names]
    image = (
        torch.stack([original[:, :, :, names.index(name)] for name in other], 3) * torch.tensor([-1.0, 1, 1])[:, None, None, None]
    )
    mirrored = torch.tensor([[torch.equal(view, image[i]) for view in x[i]] for i in indices])
    kept = torch.tensor([[torch.equal(view, original[i]) for view in x[i]] for i in indices])
    assert (mirrored ^ kept).all() and 20 < mirrored.sum() < 40 and (mirrored[:, 0] ^ mirrored[:, 1]).any()


def test_frames_without_their_count_in_the_file(skeletons):
    paths = skeletons, skeletons.with_name("uncounted.npz")
    with_count, without = (Resident(Feeder(path, "train", window_size=8), "cpu") for path in paths)
    assert np.array_equal(with_count.valid, without.valid) and torch.equal(with_count.flat, without.flat)


@pytest.mark.parametrize("valid", [300, 65, 40])
def test_crops_and_rotations_are_distributed_as_with_numpys_generator(skeletons, valid):
    """Quantiles of begin, length and angles of 4,000 draws each."""
    feeder, count = Feeder(skeletons, "train", (0.5, 1.0), min_frames=64, random_rot=True), 4000
    begin, length, rotation = feeder.plan(np.full(count, valid), uniforms(0, 0, count))
    rng, bounds, angles = np.random.RandomState(0), [], []
    for _ in range(count):
        frames = min(max(int(valid * rng.uniform(0.5, 1.0)), 64), valid)
        bounds.append((rng.randint(0, valid - frames + 1), frames))
        angles.append(rng.uniform(-0.3, 0.3, 3))
    bounds, sines, cosines = np.array(bounds), np.sin(angles), np.cos(angles)
    assert begin.min() >= 0 and (begin + length).max() <= valid
    rotation = rotation.numpy()  # Rz·Ry·Rx: entry (0, 2) is -cos z sin y cos x + sin z sin x
    entry = -cosines[:, 2] * sines[:, 1] * cosines[:, 0] + sines[:, 2] * sines[:, 0]
    quantiles = np.linspace(0.02, 0.98, 25)
    for drawn, expected, scale in ((begin, bounds[:, 0], valid), (length, bounds[:, 1], valid), (rotation[:, 0, 2], entry, 0.6)):
        assert np.abs(np.quantile(drawn, quantiles) - np.quantile(expected, quantiles)).max() < 0.03 * scale
    if length.std():
        together = np.corrcoef(np.stack([length, rotation[:, 0, 1], rotation[:, 0, 2], rotation[:, 1, 2]]))
        assert np.abs(together[0, 1:]).max() < 0.06, "length and angles are drawn independently"


def test_random_numbers_of_samples_epochs_seeds_and_views_differ():
    tables = np.stack([uniforms(seed, epoch, 50) for seed in range(3) for epoch in range(3)])
    assert tables.shape == (9, 50, 5) and 0 <= tables.min() and tables.max() < 1
    assert len(np.unique(tables)) == tables.size
    assert np.array_equal(uniforms(2, 1, 50), tables[7]) and np.array_equal(uniforms(2, 1, 20), tables[7, :20])
    views = uniforms(3, 1, 1000, num_draws=20)
    assert views.shape == (1000, 20) and abs(views.mean() - 0.5) < 0.01 and len(np.unique(views)) == views.size
