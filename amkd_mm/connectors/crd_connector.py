"""CRDConnector: of embeddings that may be zero."""

from mmrazor.models.architectures.connectors.crd_connector import (
    CRDConnector as MMRazorCRDConnector,
)
from mmrazor.registry import MODELS
from torch import Tensor

from ..losses.repaired.unit_vectors import unit_vectors


@MODELS.register_module(force=True)
class CRDConnector(MMRazorCRDConnector):
    """MMRazor's ``CRDConnector`` (Tian et al., ICLR 2020), with the same arguments, repaired.

    MMRazor 1.0.0 divides embeddings by their norm: one of zeros makes the loss NaN, and then all
    weights. Here zeros stay zeros.
    """

    def forward_train(self, x: Tensor) -> Tensor:
        """Features (N, ...) to embeddings (N, ``dim_out``) of length 1."""
        return unit_vectors(self.linear(x.flatten(1)))
