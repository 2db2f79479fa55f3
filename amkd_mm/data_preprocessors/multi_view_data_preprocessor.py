"""MultiViewDataPreprocessor: the views of a batch's images, one behind the other."""

import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class MultiViewDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's ``ClsDataPreprocessor`` for the several views that ``MultiView`` makes (ours).

    MMPretrain's ``SelfSupDataPreprocessor`` gives a list of V batches. Here they are one, so that a
    network sees all views in one pass, and whatever works on batches of images works on these:
    images (V N, C, H, W), the first view of all N images and then the second, with N data samples.
    A batch of one view is what ``ClsDataPreprocessor`` makes of it.

    Args:
        **kwargs: As ``ClsDataPreprocessor``.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch.

        Args:
            data (dict): ``inputs``, images (N, C, H, W) or a list of V such tensors, and
                ``data_samples``, as ``default_collate`` gives them.
            training (bool): As ``ClsDataPreprocessor``. Defaults to False.

        Returns:
            dict: ``inputs``, (V N, C, H, W), and ``data_samples``.
        """
        inputs = data['inputs']
        if not isinstance(inputs, Tensor) and all(view.dim() == 4 for view in inputs):
            data = {**data, 'inputs': torch.cat(list(inputs))}
        return super().forward(data, training)
