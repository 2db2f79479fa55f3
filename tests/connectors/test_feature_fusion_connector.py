"""FeatureFusionConnector against plain loops."""

import numpy as np
import pytest
import torch
from torch import nn

from amkd_mm.connectors import FeatureFusionConnector

WIDTHS, WIDTH = (3, 5), 4


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def dense(convolution, vector):
    """A 1x1 convolution of one pixel."""
    weight = convolution.weight.detach().numpy()[:, :, 0, 0]
    bias = 0 if convolution.bias is None else convolution.bias.detach().numpy()
    return weight @ vector + bias


def project(branch, feature):
    """1x1 convolution and batch norm of a batch, pixel by pixel."""
    rows, _, height, width = feature.shape
    out = np.zeros((rows, WIDTH, height, width))
    for n, y, x in np.ndindex(rows, height, width):
        out[n, :, y, x] = dense(branch[0], feature[n, :, y, x])
    mean, var = out.mean((0, 2, 3)), out.var((0, 2, 3))
    scale, shift = (p.detach().numpy()[:, None, None] for p in branch[1].parameters())
    out = (out - mean[:, None, None]) / np.sqrt(var + branch[1].eps)[:, None, None]
    return out * scale + shift


def attend(attention, feature):
    first, _, second = attention.channel
    out = np.empty_like(feature)
    for n, image in enumerate(feature):
        pooled = image.mean((1, 2)), image.max((1, 2))
        scores = sum(dense(second, np.maximum(dense(first, vector), 0)) for vector in pooled)
        image = image * sigmoid(scores)[:, None, None]
        maps = np.pad(np.stack([image.mean(0), image.max(0)]), ((0, 0), (3, 3), (3, 3)))
        weight = attention.spatial.weight.detach().numpy()[0]
        for y, x in np.ndindex(image.shape[1:]):
            score = (maps[:, y : y + 7, x : x + 7] * weight).sum() + attention.spatial.bias.item()
            out[n, :, y, x] = image[:, y, x] * sigmoid(score)
    return out


def test_fuses_from_deep_to_shallow():
    torch.manual_seed(0)
    connector = FeatureFusionConnector(WIDTHS, WIDTH).double()
    for branch in connector.project:
        nn.init.normal_(branch[1].weight, 1, 0.5)
        nn.init.normal_(branch[1].bias)
    shallow, deep = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 5, 2, 2).double()
    found = connector((shallow, deep))

    expected = attend(connector.attention[1], project(connector.project[1], deep.numpy()))
    np.testing.assert_allclose(found[1].detach().numpy(), expected)
    # Each pixel of the deep map is that of four of the shallow one.
    larger = expected.repeat(2, 2).repeat(2, 3)
    expected = project(connector.project[0], shallow.numpy()) + larger
    expected = attend(connector.attention[0], expected)
    np.testing.assert_allclose(found[0].detach().numpy(), expected)


def test_maps_of_other_widths():
    connector = FeatureFusionConnector(WIDTHS, WIDTH)
    maps = torch.randn(2, 3, 4, 4), torch.randn(2, 6, 2, 2)
    with pytest.raises(ValueError, match=r'in_channels must be .* \(3, 6\), not \(3, 5\)'):
        connector(maps)
    with pytest.raises(ValueError, match='in_channels must be'):
        connector(maps[:1])
    with pytest.raises(ValueError, match=r'\(N, C, H, W\)'):
        connector((maps[0], torch.randn(2, 5)))
