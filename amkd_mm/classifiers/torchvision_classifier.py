"""TorchVisionClassifier: torchvision's networks among MMPretrain's."""

from difflib import get_close_matches
from enum import Enum

import torchvision
from mmengine.logging import print_log
from mmpretrain.models.classifiers import TimmClassifier
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS
from torch import nn

from .outputs import last_layer


@MODELS.register_module()
class TorchVisionClassifier(TimmClassifier):
    """An image classifier of torchvision, as MMPretrain's ``TimmClassifier`` is one of timm.

    Its checkpoints have torchvision's own keys, so that torchvision's files load too. Most of those
    were trained on RGB images normalised by mean (0.485, 0.456, 0.406) and standard deviation
    (0.229, 0.224, 0.225), of images in [0, 1]: name them, times 255, in ``data_preprocessor``.
    GoogLeNet and Inception v3 expect ``transform_input=True`` besides, which undoes that for them.

    Pretrained weights for another number of classes keep all layers but the last, which is drawn
    anew as PyTorch draws a layer of its kind; the log says so.

    Args:
        model_name (str): As in :func:`torchvision.models.get_model`, such as ``'resnet50'``.
        loss (dict | nn.Module): The loss of the class scores. Defaults to cross entropy.
        train_cfg (dict, optional): ``augments`` of the batch, as in MMPretrain.
        data_preprocessor (dict, optional): As in MMPretrain.
        init_cfg (dict, optional): As in MMEngine.
        num_classes (int, optional): Number of classes. Defaults to None, that of the weights, or
            1000.
        pretrained (bool): Whether to begin with weights of torchvision, from its cache or by a
            download: ``'IMAGENET1K_V1'``, as torchvision itself reads ``pretrained=True``, or
            where there are none of that name its default ones. Defaults to False.
        weights (str | Enum, optional): Names other weights of torchvision, such as
            ``'IMAGENET1K_V2'`` or ``'DEFAULT'``. Defaults to None.
        **kwargs: For torchvision's network.

    Attributes:
        weights (Enum | None): The pretrained weights that the network began with.

    Raises:
        TypeError: If ``pretrained`` is no bool.
        ValueError: If torchvision has no such classifier, or no such weights of it.
    """

    def __init__(
        self,
        model_name: str,
        loss: dict | nn.Module = dict(type='mmpretrain.CrossEntropyLoss'),  # noqa: B006
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        num_classes: int | None = None,
        pretrained: bool = False,
        weights: str | Enum | None = None,
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
        self.weights = find_weights(model_name, pretrained, weights)
        if self.weights is not None:
            kwargs['weights'] = self.weights
        else:
            if num_classes is not None:
                kwargs['num_classes'] = num_classes
            if model_name in ('googlenet', 'inception_v3'):
                # Their auxiliary classifiers give tuples while training.
                kwargs.setdefault('aux_logits', False)
                # Or torchvision warns that it is slow.
                kwargs.setdefault('init_weights', True)
        self.model = torchvision.models.get_model(model_name, **kwargs)
        if model_name == 'inception_v3':
            # Weights of torchvision come with it.
            self.model.aux_logits, self.model.AuxLogits = False, None
        if self.weights is not None and num_classes is not None:
            self._set_num_classes(num_classes)
        self.loss_module = loss if isinstance(loss, nn.Module) else MODELS.build(loss)
        self._register_state_dict_hook(self._remove_state_dict_prefix)
        self._register_load_state_dict_pre_hook(self._add_state_dict_prefix)

    def _set_num_classes(self, num_classes: int) -> None:
        """Draw the layer of class scores anew if the pretrained one has other classes."""
        # torchvision registers it last in all of its classifiers.
        name = last_layer(self, 'model')
        layer = self.get_submodule(name)
        has_bias = layer.bias is not None
        if isinstance(layer, nn.Linear):
            known, new = layer.out_features, nn.Linear(layer.in_features, num_classes, has_bias)
        else:  # SqueezeNet
            known, size = layer.out_channels, layer.kernel_size
            new = nn.Conv2d(layer.in_channels, num_classes, size, bias=has_bias)
        if known == num_classes:
            return
        parent, _, leaf = name.rpartition('.')
        setattr(self.get_submodule(parent), leaf, new)
        print_log(
            f'TorchVisionClassifier: the weights {self.weights} are of {known} classes, so the '
            f"last layer, '{name.partition('.')[2]}', is drawn anew for {num_classes}; all others "
            'are pretrained',
            logger='current',
        )


def find_weights(model_name: str, pretrained: bool, weights: str | Enum | None) -> Enum | None:
    """What ``pretrained`` and ``weights`` of a config mean, or None for no weights."""
    if not isinstance(pretrained, bool):
        raise TypeError(
            f'TorchVisionClassifier: pretrained must be True or False, not {pretrained!r}; a file '
            "is given by init_cfg=dict(type='Pretrained', checkpoint=...)"
        )
    known = torchvision.models.get_model_weights(model_name)
    if weights is None:
        if not pretrained:
            return None
        weights = 'IMAGENET1K_V1' if 'IMAGENET1K_V1' in known.__members__ else 'DEFAULT'
    # Also written with the name of the class before it.
    name = weights.rpartition('.')[2] if isinstance(weights, str) else getattr(weights, 'name', '')
    if name not in known.__members__ or weights not in (known[name], name, f'{known[name]}'):
        raise ValueError(
            f'TorchVisionClassifier: weights {weights!r} are not of {model_name}; it has '
            f'{", ".join(known.__members__)}'
        )
    return known[name]
