"""Batches made at once against the same samples made one by one, and their distribution against numpy's generator."""

import pickle

import numpy as np
import pytest
import torch

from feeder import tools
from feeder.batch import Draws, Resident, uniforms
from feeder.feeder_ntu import Feeder

OPTIONS = {
    "plain": {},
    "random": dict(p_interval=(0.5, 1.0), min_frames=4, random_rot=True),
    "crop": dict(p_interval=(0.3, 0.6), min_frames=2),
    "rotation": dict(random_rot=True, rot_theta=(0.1, 0.5, 1.0)),
    "bone": dict(p_interval=(0.5, 1.0), min_frames=4, random_rot=True, bone=True),
    "velocity": dict(p_interval=(0.5, 1.0), min_frames=4, random_rot=True, vel=True),
}


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory):
    """npz of 30 samples with 20 joints (Kinect v1) and two bodies, 3 to 40 valid frames."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("skeletons") / "data.npz"
    valid = rng.integers(3, 41, 30).astype(np.int32)
    x = rng.normal(size=(30, 40, 120)).astype(np.float32)
    x[np.arange(40) >= valid[:, None]] = 0
    np.savez(
        path,
        x_train=x,
        y_train=np.eye(5, dtype=np.uint8)[np.arange(30) % 5],
        valid_frames_train=valid,
        num_joints=20,
        num_bodies=2,
        layout="kinect_v1",
    )
    return path


@pytest.mark.parametrize("window", [8, 40, 64])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_batch_is_its_samples(skeletons, name, window):
    feeder = Feeder(skeletons, "train", window_size=window, **OPTIONS[name])
    indices, table = np.array([7, 0, 29, 7, 12]), uniforms(3, 1, 30)
    for data in (feeder, Resident(feeder, "cpu")):
        tensors, label, rows = data.collect(indices, table[indices])
        x = data.make(*tensors)
        assert x.shape == (5, 3, window, 20, 2) and x.dtype == torch.float32
        for i, index in enumerate(indices):
            item, its_label, its_row = feeder.get(index, Draws(table[index]))
            assert torch.allclose(x[i], item, atol=1e-5)
            assert (label[i], rows[i]) == (its_label, its_row)


@pytest.mark.parametrize("resident", [False, True])
def test_bones_are_made_without_a_copy_to_the_device_in_every_step(skeletons, resident, monkeypatch):
    """`meta` takes a GPU's place; an index that is not there already would be copied, and the host would wait for it."""
    feeder, table, seen, bone = Feeder(skeletons, "train", window_size=8, bone=True), uniforms(3, 1, 30), [], tools.bone
    data = Resident(feeder, "cpu") if resident else feeder
    tensors = [t.to("meta") for t in data.collect(np.array([7, 0, 29]), table[:3])[0]]
    if resident:
        data.flat = data.flat.to("meta")
    monkeypatch.setattr(tools, "bone", lambda x, above: seen.append((x.device, above)) or bone(x, above))
    assert [tuple(data.make(*tensors).shape) for _ in range(2)] == [(3, 3, 8, 20, 2)] * 2
    (device, above), (_, again) = seen
    assert device.type == "meta" and isinstance(above, torch.Tensor) and above.device == device and above is again
    copy = pickle.loads(pickle.dumps(feeder))  # for a worker process
    assert copy.parents().tolist() == feeder.parents().tolist()


def test_a_subset_keeps_its_rows(skeletons):
    feeder = Feeder(skeletons, "train", window_size=8, data_ratio=0.4, subset_seed=1)
    indices, table = np.arange(len(feeder)), uniforms(0, 0, len(feeder))
    for data in (feeder, Resident(feeder, "cpu")):
        tensors, label, rows = data.collect(indices, table)
        assert rows.tolist() == feeder.indices.tolist() and torch.equal(label, torch.from_numpy(feeder.label[feeder.indices]))
        expected = torch.stack([feeder[i][0] for i in indices])
        assert torch.allclose(data.make(*tensors), expected, atol=1e-6)


def test_frames_without_their_count_in_the_file(skeletons, tmp_path):
    with np.load(skeletons) as file:
        arrays = {k: v for k, v in file.items() if k != "valid_frames_train"}
    np.savez(tmp_path / "plain.npz", **arrays)
    with_count, without = (Resident(Feeder(p, "train", window_size=8), "cpu") for p in (skeletons, tmp_path / "plain.npz"))
    assert np.array_equal(with_count.valid, without.valid) and torch.equal(with_count.flat, without.flat)


@pytest.mark.parametrize("valid", [300, 100, 65, 40])
def test_crops_and_rotations_are_distributed_as_with_numpys_generator(skeletons, valid):
    """Quantiles of begin, length and angles of 4,000 draws each."""
    feeder = Feeder(skeletons, "train", (0.5, 1.0), min_frames=64, random_rot=True)
    count = 4000
    ours = feeder.plan(np.full(count, valid), uniforms(0, 0, count))
    rng = np.random.RandomState(0)
    bounds, angles = [], []
    for _ in range(count):
        p = rng.uniform(0.5, 1.0)
        length = min(max(int(valid * p), 64), valid)
        begin = rng.randint(0, valid - length + 1)
        bounds.append((begin, length))
        angles.append(rng.uniform(-0.3, 0.3, 3))
    bounds, sines = np.array(bounds), np.sin(angles)
    begin, length, rotation = ours
    assert begin.min() >= 0 and (begin + length).max() <= valid
    rotation = rotation.numpy()  # Rz·Ry·Rx: entry (0, 2) is -cos z sin y cos x + sin z sin x
    y = -(np.cos(angles)[:, 2] * sines[:, 1] * np.cos(angles)[:, 0]) + sines[:, 2] * sines[:, 0]
    quantiles = np.linspace(0.02, 0.98, 25)
    for drawn, expected, scale in ((begin, bounds[:, 0], valid), (length, bounds[:, 1], valid), (rotation[:, 0, 2], y, 0.6)):
        gap = np.abs(np.quantile(drawn, quantiles) - np.quantile(expected, quantiles))
        assert gap.max() < 0.03 * scale, gap
    if length.std():
        together = np.corrcoef(np.stack([length, rotation[:, 0, 1], rotation[:, 0, 2], rotation[:, 1, 2]]))
        assert np.abs(together[0, 1:]).max() < 0.06, "length and angles are drawn independently"


def test_random_numbers_of_samples_epochs_and_seeds_differ():
    tables = np.stack([uniforms(seed, epoch, 50) for seed in range(3) for epoch in range(3)])
    assert tables.shape == (9, 50, 5) and 0 <= tables.min() and tables.max() < 1
    assert len(np.unique(tables)) == tables.size
    assert np.array_equal(uniforms(2, 1, 50), tables[7]) and np.array_equal(uniforms(2, 1, 20), tables[7, :20])


def test_draws_stay_within_their_bounds():
    extreme = np.array([[0.0] * 5, [1 - 1e-16] * 5])
    for high in (1, 2, 300):
        assert Draws(extreme).randint(0, high).tolist() == [0, high - 1]
    assert Draws(extreme).uniform(-1, 1, 3).shape == (3, 2)
    assert Draws(np.linspace(0, 0.8, 5)).rand(2) == pytest.approx([0, 0.2])


def test_unusable_samples_are_refused_when_the_data_are_loaded(npz, arrays):
    arrays["x_train"][5, 1, 2] = np.inf
    with pytest.raises(ValueError, match=r"train sample 5 \(train005\) holds values that are not finite"):
        Resident(Feeder(npz(arrays), "train", window_size=8), "cpu")
