"""ReviewKDConnector against plain loops."""

import numpy as np
import pytest
import torch
from torch import nn

from amkd_mm.connectors import ReviewKDConnector

IN, OUT, MID = (3, 5, 5), (2, 4, 6), 4


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def convolve(layer, feature):
    """Place by place, with zeros around."""
    weight = layer.weight.detach().numpy()
    bias = 0 if layer.bias is None else layer.bias.detach().numpy()
    rows, _, height, width = feature.shape
    around = weight.shape[2] // 2
    padded = np.pad(feature, ((0, 0), (0, 0), (around, around), (around, around)))
    out = np.empty((rows, len(weight), height, width))
    for n, y, x in np.ndindex(rows, height, width):
        window = padded[n, :, y : y + weight.shape[2], x : x + weight.shape[3]]
        out[n, :, y, x] = (weight * window).sum((1, 2, 3)) + bias
    return out


def normalise(norm, feature):
    scale, shift = (p.detach().numpy()[:, None, None] for p in norm.parameters())
    mean, var = feature.mean((0, 2, 3)), feature.var((0, 2, 3))
    return (feature - mean[:, None, None]) / np.sqrt(var + norm.eps)[:, None, None] * scale + shift


def nearest(feature, size):
    rows = np.arange(size[0]) * feature.shape[2] // size[0]
    columns = np.arange(size[1]) * feature.shape[3] // size[1]
    return feature[:, :, rows][..., columns]


def review(connector, maps, sizes):
    """From deep to shallow, as the paper draws it."""
    found, fused = [], None
    for stage, feature, size in list(zip(connector.stages, maps, sizes, strict=True))[::-1]:
        current = normalise(stage.reduce[1], convolve(stage.reduce[0], feature))
        if fused is not None:
            deeper = nearest(fused, current.shape[2:])
            share = sigmoid(convolve(stage.attention, np.concatenate([current, deeper], 1)))
            current = current * share[:, :1] + deeper * share[:, 1:]
        fused = nearest(current, size)
        found.insert(0, normalise(stage.expand[1], convolve(stage.expand[0], fused)))
    return found


def build(**settings):
    torch.manual_seed(0)
    connector = ReviewKDConnector(IN, OUT, mid_channels=MID, **settings).double()
    for module in connector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.5)
            nn.init.normal_(module.bias)
    return connector


def maps():
    torch.manual_seed(1)
    return torch.randn(3, 3, 4, 4).double(), torch.randn(3, 5, 2, 2).double()


@pytest.mark.parametrize('sizes', [None, ([6, 2], 4, 1)])
def test_reviews_from_deep_to_shallow(sizes):
    """The last stage is an embedding; the maps have the student's size, or the teacher's."""
    connector = build(out_sizes=sizes)
    embedding = torch.randn(3, 5).double()
    found = connector((*maps(), embedding))
    expected = review(
        connector,
        [*(each.numpy() for each in maps()), embedding.numpy()[:, :, None, None]],
        [(4, 4), (2, 2), (1, 1)] if sizes is None else [(6, 2), (4, 4), (1, 1)],
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-9, atol=1e-9)


def test_width_of_what_is_fused():
    """That of the last stage, at most 512, and the same in all stages."""
    for last, width in ((64, 64), (2048, 512)):
        connector = ReviewKDConnector([16, last], [16, last])
        assert {stage.reduce[0].out_channels for stage in connector.stages} == {width}


def test_maps_of_other_widths():
    first, second = maps()
    with pytest.raises(ValueError, match=r'in_channels must be .* \(3, 5, 4\), not \(3, 5, 5\)'):
        build()((first, second, torch.randn(3, 4)))
    with pytest.raises(ValueError, match=r'here \(3, 5\), not'):
        build()((first, second))
