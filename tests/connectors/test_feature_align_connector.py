"""FeatureAlignConnector against plain loops, and between a ViT and a CNN of MMPretrain."""

import numpy as np
import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import nn

from amkd_mm.connectors import FeatureAlignConnector

ARCH = dict(embed_dims=12, num_layers=2, num_heads=3, feedforward_channels=24)


def features(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def test_tokens_as_a_map():
    """Row by row, without the class token."""
    tokens = features(2, 1 + 9, 5)
    found = FeatureAlignConnector()(tokens)
    assert found.shape == (2, 5, 3, 3)
    for n, y, x in np.ndindex(2, 3, 3):
        assert torch.equal(found[n, :, y, x], tokens[n, 1 + 3 * y + x])
    # Of a distilled ViT, of one without extra tokens, and of an image that is no square.
    assert torch.equal(
        FeatureAlignConnector(extra_tokens=2)(features(2, 6, 5))[0, :, 0, 1],
        features(2, 6, 5)[0, 3],
    )
    oblong = FeatureAlignConnector(extra_tokens=0, grid=(2, 4))(features(2, 8, 5))
    assert torch.equal(oblong[1, :, 1, 2], features(2, 8, 5)[1, 6])


def test_a_map_as_tokens_and_back():
    feature = features(2, 5, 3, 3)
    tokens = FeatureAlignConnector(output='tokens')(feature)
    for n, y, x in np.ndindex(2, 3, 3):
        assert torch.equal(tokens[n, 3 * y + x], feature[n, :, y, x])
    assert torch.equal(FeatureAlignConnector(extra_tokens=0)(tokens), feature)
    # Tokens stay tokens, without the extra ones.
    assert torch.equal(
        FeatureAlignConnector(output='tokens')(features(2, 5, 3)), features(2, 5, 3)[:, 1:]
    )


def test_maps_are_averaged_where_they_shrink():
    """To each place the mean of what it covers, also where the edges are no multiples."""
    feature = features(2, 3, 6, 5)
    found = FeatureAlignConnector(size=(3, 2))(feature)
    for y, rows in enumerate(((0, 2), (2, 4), (4, 6))):
        for x, columns in enumerate(((0, 3), (2, 5))):
            part = feature[:, :, rows[0] : rows[1], columns[0] : columns[1]]
            torch.testing.assert_close(found[:, :, y, x], part.mean((2, 3)))


def bilinear(feature, size):
    """Between the centres of places, and beyond the outermost as they are."""
    out = torch.empty(*feature.shape[:2], *size).double()
    for y, x in np.ndindex(*size):
        place = []
        for index, new, old in zip((y, x), size, feature.shape[2:], strict=True):
            centre = min(max((index + 0.5) * old / new - 0.5, 0), old - 1)
            low = int(centre)
            place.append((low, min(low + 1, old - 1), centre - low))
        (top, bottom, down), (left, right, aside) = place
        upper = feature[:, :, top, left] * (1 - aside) + feature[:, :, top, right] * aside
        lower = feature[:, :, bottom, left] * (1 - aside) + feature[:, :, bottom, right] * aside
        out[:, :, y, x] = upper * (1 - down) + lower * down
    return out


@pytest.mark.parametrize('size', [(4, 6), (7, 3), (2, 9)])
def test_maps_are_interpolated_where_an_edge_grows(size):
    feature = features(2, 3, 3, 4)
    found = FeatureAlignConnector(size=size)(feature)
    torch.testing.assert_close(found, bilinear(feature, size))


def test_projects_what_it_resized():
    """1x1 convolution and batch norm, place by place."""
    torch.manual_seed(0)
    connector = FeatureAlignConnector(3, 5, size=2, output='tokens').double()
    convolution, norm = connector.project
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    feature = features(4, 3, 4, 4)
    small = feature.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    weight = convolution.weight.detach()[:, :, 0, 0].numpy()
    out = np.empty((4, 4, 5))
    for n, y, x in np.ndindex(4, 2, 2):
        out[n, 2 * y + x] = weight @ small[n, :, y, x].numpy()
    mean, var = out.mean((0, 1)), out.var((0, 1))
    out = (out - mean) / np.sqrt(var + norm.eps)
    out = out * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    np.testing.assert_allclose(connector(feature).detach().numpy(), out, rtol=1e-9, atol=1e-12)


def test_a_layer_of_a_vit_is_its_feature_map():
    """What MMPretrain lays out itself, but for the norm behind the last layer."""
    torch.manual_seed(0)
    vit = VisionTransformer(ARCH, img_size=8, patch_size=2, out_type='featmap', final_norm=False)
    seen = []
    vit.layers[1].register_forward_hook(lambda *call: seen.append(call[2]))
    (expected,) = vit(torch.randn(2, 3, 8, 8))
    assert seen[0].shape == (2, 1 + 16, 12)
    found = FeatureAlignConnector(in_channels=12)(seen[0])
    assert found.shape == (2, 12, 4, 4)
    torch.testing.assert_close(found, expected)


def test_zeros_and_a_batch_of_one():
    connector = FeatureAlignConnector(3, 5, size=4)
    feature = torch.zeros(1, 3, 2, 2, requires_grad=True)
    connector(feature).square().sum().backward()
    assert torch.isfinite(feature.grad).all()


@pytest.mark.parametrize(
    ('settings', 'shape', 'message'),
    [
        (dict(in_channels=4), (2, 5, 3, 3), 'in_channels must be 5, .* not 4'),
        (dict(in_channels=4, out_channels=6), (2, 10, 5), 'in_channels must be 5'),
        (dict(), (2, 9, 5), 'are 8, which fill no square: set `extra_tokens`'),
        (dict(extra_tokens=0, grid=(2, 4)), (2, 9, 5), r'grid=\(2, 4\) does not hold'),
        (dict(extra_tokens=3), (2, 3, 5), 'are 0, which fill no square'),
        (dict(), (2, 5), r'needs a feature map, .* not \(2, 5\): record a layer before'),
    ],
)
def test_what_does_not_fit_is_named(settings, shape, message):
    with pytest.raises(ValueError, match=f'FeatureAlignConnector.*{message}'):
        FeatureAlignConnector(**settings)(torch.randn(shape))
