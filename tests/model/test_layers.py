"""Maps of coordinates: a convolution's numbers, no millimetre lost in 16 bits or TF32; transformer blocks by their formulas."""

import pytest
import torch
import torch.nn.functional as F

from model.layers import CrossAttention, ExactLinear, SkeleEmbed
from model.umurl import UmURL
from tests.model.helpers import classifier, predictor, sequences

FAR = 3 + 1e-3 * torch.arange(12.0)[None, :, None, None].expand(2, 12, 5, 3)  # 3 metres away, a millimetre a frame


def tf32(x):
    """x (float32) rounded to the 11 significant bits of TF32."""
    return ((x.detach().view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)


@pytest.fixture
def embed():
    torch.manual_seed(0)
    return SkeleEmbed(3, 16, 4)


def convolution(embed, x):
    weight, bias = embed.proj.weight.detach().double(), embed.proj.bias.detach().double()
    return F.conv2d(x.double().permute(0, 3, 1, 2), weight, bias, stride=(4, 1)).permute(0, 2, 3, 1)


def test_the_embedding_is_the_convolution_whose_parameters_it_holds(embed):
    x = torch.randn(2, 12, 5, 3)
    assert torch.allclose(embed(x).double(), convolution(embed, x), atol=1e-6)
    assert torch.equal(embed.embed_patches(predictor().patchify(x)), embed(x).flatten(1, 2))
    embed.exact = False
    assert torch.allclose(embed(x).double(), convolution(embed, x), atol=1e-6)


def test_neither_16_bits_nor_tf32_touch_the_embedding(embed, products):
    assert {kind for _, kinds in products(lambda: embed(FAR).sum().backward()) for kind in kinds} == {torch.float64}
    exact = embed.proj.weight.grad.clone()
    embed.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        tokens = embed(FAR)
        tokens.sum().backward()
    assert tokens.dtype == torch.float32 and torch.equal(embed.proj.weight.grad, exact)
    moved = tokens.diff(dim=1).double()
    assert torch.allclose(moved, convolution(embed, FAR).diff(dim=1), atol=2e-6) and moved.abs().max() > 1e-3


def test_umurls_maps_of_coordinates_survive_16_bits_and_tf32(monkeypatch):
    """With a stand-in for a card whose products round to TF32 what goes into them. The weights are rounded beforehand, since
    their rounding is the same in all frames."""
    torch.manual_seed(0)
    layer, linear = ExactLinear(15, 8), F.linear
    layer.weight.data = tf32(layer.weight)
    frames = FAR.flatten(2).clone().requires_grad_()
    expected = linear(frames.double(), layer.weight.double(), layer.bias.double()).diff(dim=1)
    monkeypatch.setattr(F, "linear", lambda x, w, b=None: linear(x + (tf32(x) - x).detach(), w, b))
    assert not torch.allclose(F.linear(frames, layer.weight, layer.bias).diff(dim=1).double(), expected, atol=2e-4)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = layer(frames)
    assert tokens.dtype == torch.float32 and torch.allclose(tokens.diff(dim=1).double(), expected, atol=1e-5)
    tokens.sum().backward()
    assert torch.allclose(frames.grad, layer.weight.sum(0).expand_as(frames)), "saliency needs this gradient"
    maps = [m.in_features for m in UmURL(parents=[0, 0, 1], hidden_size=8).modules() if isinstance(m, ExactLinear)]
    assert sorted(maps) == [18] * 3 + [192] * 3


def test_predictions_are_metres_and_not_rounded_to_16_bits():
    model, inputs = predictor(), []
    model.decoder_pred.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        _, pred, _ = model(sequences())
    assert torch.equal(pred, F.linear(inputs[0].float(), model.decoder_pred.weight, model.decoder_pred.bias))


@pytest.mark.parametrize("scale", [0.5, 0.3])
def test_cross_attention_by_its_formula(scale):
    torch.manual_seed(0)
    layer, queries, tokens = CrossAttention(8, 2, True, 0.0, 0.0), torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    assert layer.scale == 0.5
    layer.scale = scale
    q, k, v = layer.q(queries), layer.kv(tokens)[..., :8], layer.kv(tokens)[..., 8:]
    heads = [(q[..., h] @ k[..., h].mT * scale).softmax(-1) @ v[..., h] for h in (slice(0, 4), slice(4, 8))]
    assert torch.allclose(layer(queries, tokens), layer.proj(torch.cat(heads, -1)), atol=1e-6)


def test_attention_scale_and_stochastic_depth():
    x = sequences()
    default, same, other = (classifier(qk_scale=scale).eval()(x) for scale in (None, 8**-0.5, 1.0))
    assert torch.allclose(default, same, atol=1e-6) and not torch.allclose(default, other, atol=1e-4)
    blocks = classifier(depth=3, drop_path_rate=0.3).blocks
    assert [getattr(block.drop_path1, "drop_prob", 0.0) for block in blocks] == pytest.approx([0, 0.15, 0.3])
