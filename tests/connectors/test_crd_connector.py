"""``CRDConnector`` as it is registered, on embeddings that MMRazor's own makes NaN."""

import torch
from mmrazor.registry import MODELS
from torch import nn


def test_embeddings_of_zero_stay_zero():
    connector = MODELS.build(dict(type='CRDConnector', dim_in=3, dim_out=2))
    nn.init.zeros_(connector.linear.bias)
    inputs = torch.tensor([[0.0, 0, 0], [1, 2, 3]], requires_grad=True)
    outputs = connector(inputs)
    outputs.sum().backward()
    for tensor in (outputs, inputs.grad, connector.linear.weight.grad):
        assert torch.isfinite(tensor).all()
    torch.testing.assert_close(outputs.norm(dim=1), torch.tensor([0.0, 1]))
