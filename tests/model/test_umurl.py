"""UmURL against the published numbers and formulas."""

import json

import numpy as np
import pytest
import torch

from feeder.skeleton import parents
from feeder.tools import resize_time
from model import umurl
from model.umurl import MODALITIES, UmURL, UmURLClassifier, augment

PARENTS = parents("kinect_v2")
TINY = dict(num_frames=8, hidden_size=8)


def sizes(config):
    assert (config["t_input_size"], config["s_input_size"]) == (2 * 25 * 3, 64 * 3)
    return {"hidden_size": config["hidden_size"], "num_heads": config["num_head"], "depth": config["num_layer"]}


@pytest.fixture(scope="module")
def downstream(parity, part):
    published = parity("umurl_downstream")
    model = UmURLClassifier(PARENTS, num_classes=published["config"]["num_class"], **sizes(published["config"]))
    model.load_state_dict(part(published, "state/"))
    return model.eval(), published


@pytest.fixture(scope="module")
def pretraining(parity, part):
    """(model, views (N, 4, C, T, V, M), published numbers)."""
    published = parity("umurl_pretrain")
    model = UmURL(PARENTS, **sizes(published["config"]))
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in part(published, "state/").items()})
    return model.train(), torch.stack([published[f"view{i}"] for i in range(1, 5)], 1), published


def test_tokens(downstream, assert_close):
    _, published = downstream
    embedding = umurl.Embedding(150, 192, 8)
    embedding.t_embedding = embedding.s_embedding = torch.nn.Identity()
    for name in MODALITIES:
        tokens = embedding(umurl.modality(published["x"], name, torch.as_tensor(PARENTS)))
        for ours, kind in zip(tokens, "ts", strict=True):
            assert_close(ours, published[f"{name}_{kind}"])


def test_features_and_logits(downstream, assert_close):
    model, published = downstream
    with torch.no_grad():
        assert_close(model.pooled(published["x"]), published["feature"])
        assert_close(model(published["x"]), published["logits"])


def test_projections_and_loss(pretraining, assert_close):
    model, views, published = pretraining
    alone, together = model.project(views)
    for name, z, u in zip("jbm", alone, together, strict=True):
        assert_close(z[:, :256], published[f"train/z_{name}"])
        assert_close(u[:, :256], published[f"train/z_u{name}"])
    loss, terms = umurl.loss_of(alone, together)
    assert_close(loss, published["loss"])
    for name, value in terms.items():
        assert_close(value, published[name])
    model.zero_grad()
    loss.backward()
    assert_close(torch.stack([p.grad.norm() for p in model.parameters()]).norm(), published["grad_norm"])


def test_names_and_shapes_of_the_released_model(shared):
    keys = json.loads(shared("parity/umurl_checkpoint_keys.json").read_text())
    with torch.device("meta"):
        models = {"pretrain": UmURL(torch.as_tensor(PARENTS, device="meta")), "downstream": UmURLClassifier(PARENTS)}
    for name, model in models.items():
        assert {k: list(v.shape) for k, v in model.state_dict().items()} == keys[name]
    counts = [sum(p.numel() for p in part.parameters()) for part in (models["pretrain"], models["pretrain"].backbone)]
    assert counts == [72_448_000, 22_067_200]


def test_resizing_and_shear(parity, assert_close):
    published = parity("umurl_feeder")
    for i in range(4):
        assert_close(resize_time(published[f"test{i}/x"], 64), published[f"test{i}/out64"])
    x = published["shear/x"].double()
    assert_close(torch.einsum("ij,jtvm->itvm", published["shear/matrix"], x), published["shear/out"])


def test_covariance_loss_either_way():
    """The smaller product is made; here is the covariance itself."""
    for count, width in ((5, 12), (12, 5), (7, 7)):
        z = torch.randn(count, width, dtype=torch.float64)
        covariance = torch.as_tensor(np.cov(z.numpy(), rowvar=False))
        expected = (covariance.square().sum() - covariance.diagonal().square().sum()) / width
        assert torch.allclose(umurl.covariance_loss(z), expected)


def test_variance_loss():
    z = torch.randn(50, 6, dtype=torch.float64) * torch.tensor([0.0, 0.1, 0.5, 2.0, 3.0, 4.0])
    deviation = np.sqrt(z.numpy().var(0, ddof=1) + 1e-4)
    assert np.isclose(umurl.variance_loss(z).item(), np.maximum(0, 1 - deviation).mean())
    assert umurl.variance_loss(torch.zeros(4, 3)).item() == pytest.approx(0.99)


def maps_of(x, y):
    """(N, V, 3, 3): the matrix that took joint v of sample n from x to y, by least squares over frames and bodies."""
    points, images = (t.permute(0, 3, 2, 4, 1).flatten(2, 3).double() for t in (x, y))
    solved = torch.linalg.lstsq(points, images).solution.mT
    assert torch.allclose(points @ solved.mT, images, atol=1e-4), "not one linear map for all frames and bodies"
    return solved


def test_augmentation():
    """Half of the samples are sheared, half corrupted: 15 of 25 joints all zero or all through one matrix."""
    torch.manual_seed(0)
    x = torch.randn(600, 3, 6, 25, 2)
    maps = maps_of(x, augment(x))
    touched = ~torch.isclose(maps, torch.eye(3, dtype=maps.dtype), atol=1e-4).all(-1).all(-1)
    sheared = touched.all(1)
    assert 0.4 < sheared.double().mean() < 0.6
    assert (touched[~sheared].sum(1) == 15).all() and len(touched[~sheared].unique(dim=0)) > 250
    for n in range(600):
        assert torch.allclose(maps[n, touched[n]], maps[n, touched[n]][:1], atol=1e-4)
    first = torch.stack([maps[n, touched[n]][0] for n in range(600)])
    shears, others = first[sheared], first[~sheared]
    assert torch.allclose(shears.diagonal(dim1=1, dim2=2), torch.ones(1, dtype=maps.dtype), atol=1e-4)
    off = shears[:, ~torch.eye(3, dtype=bool)]
    assert off.abs().max() <= 1.001 and off.abs().mean().item() == pytest.approx(0.5, abs=0.03) and abs(off.mean()) < 0.05
    zero = (others.abs() < 1e-4).all(-1).all(-1)
    assert 0.4 < zero.double().mean() < 0.6
    drawn = others[~zero]
    assert drawn.abs().max() <= 1.001 and drawn.abs().mean().item() == pytest.approx(0.5, abs=0.03)


def test_neither_16_bits_nor_tf32_touch_the_augmentation(products):
    """Frame differences of somebody who moves a millimetre at a time, three metres from the origin."""
    x = 3 + 1e-3 * torch.arange(6.0).view(1, 1, 6, 1, 1).expand(40, 3, 6, 25, 2)
    torch.manual_seed(0)
    expected = augment(x.double()).diff(dim=2)
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            moved = augment(x)
        assert moved.dtype == torch.float32 and torch.allclose(moved.diff(dim=2).double(), expected, atol=2e-6)
    assert not products(lambda: augment(x)), "TF32 rounds what goes into a product"


def test_views_are_augmented_in_training_only():
    model, views = UmURL(PARENTS, **TINY, projector_dim=16), torch.randn(6, 4, 3, 8, 25, 2)

    def losses(*seeds):
        return [model(views)[0].item() for seed in seeds if torch.manual_seed(seed)]

    one, other, again = losses(1, 2, 1)
    assert one == again != other
    model.eval()
    assert len(set(losses(1, 2))) == 1


@pytest.mark.parametrize("features", umurl.FEATURES)
def test_features_of_a_modality(features):
    torch.manual_seed(0)
    model = UmURLClassifier(PARENTS, features=features, **TINY)
    x = torch.randn(3, 3, 8, 25, 2)
    model(x).square().sum().backward()
    # several processes would wait for gradients that do not come, and AdamW would let unused weights decay
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    with torch.no_grad():
        pooled, (logits, inputs) = model.pooled(x), model.eval().logits_and_features(x)
        shifted = model.pooled(x + torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1, 1))
    assert pooled.shape == (3, 16) and torch.equal(logits, model.fc(inputs)) and torch.allclose(pooled, inputs, atol=1e-6)
    moves = features in ("joint", "multi")  # bones and motions do not depend on where the skeleton stands
    assert torch.allclose(pooled, shifted, atol=1e-4) != moves


def test_only_the_head_learns_when_frozen():
    model = UmURLClassifier(PARENTS, **TINY).freeze_encoder().train()
    model(torch.randn(2, 3, 8, 25, 2)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["fc.weight", "fc.bias"]
    assert not model.backbone.training and model.fc.training


def test_covariance_is_float32_under_autocast():
    z = [torch.randn(6, 40) for _ in range(6)]
    expected, _ = umurl.loss_of(z[:3], z[3:])
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = umurl.loss_of(z[:3], z[3:])
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


def test_gathering_sends_and_fills_contiguous_memory_alone(monkeypatch):
    """As NCCL wants it, with a stand-in for two processes of which this is the second."""
    other = torch.randn(4, 3, 5)

    def all_gather(parts, own):
        assert own.is_contiguous() and all(part.is_contiguous() for part in parts)
        for part, rows in zip(parts, (other, own), strict=True):
            part.copy_(rows)

    for name, function in (("is_initialized", lambda: True), ("get_world_size", lambda: 2), ("get_rank", lambda: 1)):
        monkeypatch.setattr(umurl.dist, name, function)
    monkeypatch.setattr(umurl.dist, "all_gather", all_gather)
    features = torch.randn(3, 4, 5, requires_grad=True)
    rows = umurl.all_gather_with_gradient(features.transpose(0, 1))
    assert torch.equal(rows, torch.cat([other, features.detach().transpose(0, 1)]))
    rows.sum().backward()
    assert torch.equal(features.grad, torch.full((3, 4, 5), 2.0))  # DistributedDataParallel halves it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 9}, "width 9: has to be even"),
        ({"hidden_size": 10, "num_heads": 4}, "width 10: has to be even, and a multiple of num_heads 4"),
        ({"num_frames": 300}, "num_frames 300: UmURL's positions end at 200"),
        ({"features": "colour"}, "features 'colour': use one of multi, joint, bone, motion"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        UmURLClassifier(PARENTS, **TINY | changes)


def test_input_of_another_shape():
    model = UmURLClassifier(PARENTS, **TINY)
    with pytest.raises(ValueError, match="input has C=3, T=9, V=25, M=2; the model was built for dim_in=3, num_frames=8, 25"):
        model(torch.randn(1, 3, 9, 25, 2))
