"""Maps of coordinates: a convolution's numbers, and nothing lost of a millimetre in 16 bits or TF32."""

import pytest
import torch
import torch.nn.functional as F

from model.coordinates import Linear, SkeleEmbed
from model.mamp import MAMP
from model.umurl import UmURL

SIZE = dict(dim_feat=16, depth=1, num_heads=2, mlp_ratio=2, num_frames=12, num_joints=5)
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
    assert {k: tuple(v.shape) for k, v in embed.state_dict().items()} == {"proj.weight": (16, 3, 4, 1), "proj.bias": (16,)}
    assert torch.allclose(embed(x).double(), convolution(embed, x), atol=1e-6)
    patches = MAMP(**SIZE).patchify(x)
    assert torch.equal(embed.embed_patches(patches), embed(x).flatten(1, 2))
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


def test_what_umurl_makes_of_coordinates_survives_16_bits_and_tf32(monkeypatch):
    """With a stand-in for a card whose products round what goes into them to TF32: the weights' rounding is the same in all
    frames, so they are rounded here beforehand."""
    torch.manual_seed(0)
    layer, linear = Linear(15, 8), F.linear
    layer.weight.data = tf32(layer.weight)
    frames = FAR.flatten(2).clone().requires_grad_()
    expected = linear(frames.double(), layer.weight.double(), layer.bias.double()).diff(dim=1)
    monkeypatch.setattr(F, "linear", lambda x, w, b=None: linear(x + (tf32(x) - x).detach(), w, b))
    assert not torch.allclose(F.linear(frames, layer.weight, layer.bias).diff(dim=1).double(), expected, atol=2e-4)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = layer(frames)
    assert tokens.dtype == torch.float32 and torch.allclose(tokens.diff(dim=1).double(), expected, atol=1e-5)
    tokens.sum().backward()
    assert torch.allclose(frames.grad, layer.weight.sum(0).expand_as(frames)), "saliency looks at this"
    embeddings = [m for m in UmURL(parents=[0, 0, 1], hidden_size=8).modules() if isinstance(m, Linear)]
    assert sorted(m.in_features for m in embeddings) == [18] * 3 + [192] * 3


@pytest.mark.parametrize("target", ["motion", "joint"])
def test_predictions_are_not_rounded_to_16_bits(target):
    """They are metres, too."""
    torch.manual_seed(0)
    model, inputs = MAMP(**SIZE, decoder_dim_feat=8, decoder_depth=1, target=target), []
    model.decoder_pred.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        _, pred, _ = model(torch.randn(2, 3, 12, 5, 2))
    assert torch.equal(pred, F.linear(inputs[0].float(), model.decoder_pred.weight, model.decoder_pred.bias))
