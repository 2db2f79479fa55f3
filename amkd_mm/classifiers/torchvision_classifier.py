"""TorchVisionClassifier: torchvision's networks among MMPretrain's."""

from difflib import get_close_matches

import torchvision
from mmpretrain.models.classifiers import TimmClassifier
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS
from torch import nn


@MODELS.register_module()
class TorchVisionClassifier(TimmClassifier):
    """An image classifier of torchvision, as MMPretrain's ``TimmClassifier`` is one of timm.

    Its checkpoints have torchvision's own keys, so that torchvision's files load too. Those were
    trained on RGB images normalised by mean (0.485, 0.456, 0.406) and standard deviation (0.229,
    0.224, 0.225), of images in [0, 1]: name them, times 255, in ``data_preprocessor``. GoogLeNet
    and Inception v3 expect ``transform_input=True`` besides, which undoes that for them.

    Args:
        model_name (str): As in :func:`torchvision.models.get_model`, such as ``'resnet50'``.
        loss (dict | nn.Module): The loss of the class scores. Defaults to cross entropy.
        train_cfg (dict, optional): ``augments`` of the batch, as in MMPretrain.
        data_preprocessor (dict, optional): As in MMPretrain.
        init_cfg (dict, optional): As in MMEngine.
        **kwargs: For torchvision's network, such as ``num_classes``, or ``weights`` for the name
            of weights to download.

    Raises:
        ValueError: If torchvision has no such classifier.
    """

    def __init__(
        self,
        model_name: str,
        loss: dict | nn.Module = dict(type='mmpretrain.CrossEntropyLoss'),  # noqa: B006
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        names = torchvision.models.list_models(module=torchvision.models)
        if model_name not in names:
            raise ValueError(
                f'TorchVisionClassifier: model_name {model_name!r} is not a classifier of '
                f'torchvision; did you mean one of {get_close_matches(model_name, names) or names}?'
            )
        preprocessor = dict(data_preprocessor or {})
        preprocessor.setdefault('type', 'mmpretrain.ClsDataPreprocessor')
        if train_cfg is not None and 'augments' in train_cfg:
            preprocessor['batch_augments'] = train_cfg
        # Not TimmClassifier's own, which builds a network of timm.
        BaseClassifier.__init__(self, init_cfg=init_cfg, data_preprocessor=preprocessor)
        if model_name in ('googlenet', 'inception_v3') and kwargs.get('weights') is None:
            # Their auxiliary classifiers give tuples while training.
            kwargs.setdefault('aux_logits', False)
            # Or torchvision warns that it is slow.
            kwargs.setdefault('init_weights', True)
        self.model = torchvision.models.get_model(model_name, **kwargs)
        if model_name == 'inception_v3':
            # Weights of torchvision come with it.
            self.model.aux_logits, self.model.AuxLogits = False, None
        self.loss_module = loss if isinstance(loss, nn.Module) else MODELS.build(loss)
        self._register_state_dict_hook(self._remove_state_dict_prefix)
        self._register_load_state_dict_pre_hook(self._add_state_dict_prefix)
