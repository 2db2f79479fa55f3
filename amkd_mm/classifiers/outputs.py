"""What the logits and the embedding of an MMPretrain classifier are: the one definition of them.

Logits are the (N, K) scores whose softmax the classifier predicts. The embedding is what the
layer that makes them gets, one vector per image.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from mmpretrain.models.classifiers import HuggingFaceClassifier, TimmClassifier
from mmpretrain.models.heads import (
    ArcFaceClsHead,
    ConformerHead,
    DeiTClsHead,
    EfficientFormerClsHead,
    LeViTClsHead,
)
from mmpretrain.models.retrievers import BaseRetriever
from torch import Tensor, nn

# Layers that can make class scores: a convolution in SqueezeNet and some networks of timm.
LAYERS = (nn.Linear, nn.Conv2d)

# Heads that are not ended by their last linear layer alone. Several layers get different features,
# which make one embedding.
BRANCHES = {
    ConformerHead: ('conv_cls_head', 'trans_cls_head'),
    DeiTClsHead: ('layers.head', 'layers.head_dist'),
    # Their two layers get the same features.
    EfficientFormerClsHead: ('head',),
    LeViTClsHead: ('head',),
}


class Outputs(NamedTuple):
    """Where a classifier's logits and embedding can be recorded.

    Attributes:
        scores (str): Name of the module whose output has the logits, in every mode.
        to_logits (Callable): Maps that output to the logits, (N, K).
        layers (tuple[str]): Names of the modules whose inputs are the embedding.
    """

    scores: str
    to_logits: Callable[[Any], Tensor]
    layers: tuple[str, ...]


def find_outputs(model: nn.Module) -> Outputs:
    """Find a classifier's logits and embedding.

    Args:
        model (nn.Module): ``ImageClassifier``, ``TimmClassifier``, ``HuggingFaceClassifier``,
            ``TorchVisionClassifier``, or another one with a ``head``, or one that says it itself by
            a method of this name.

    Raises:
        ValueError: If it has no layer of class scores.
    """
    if hasattr(model, 'find_outputs'):
        return model.find_outputs()
    if isinstance(model, BaseRetriever):
        raise ValueError(f'{type(model).__name__} finds images and has no class scores')
    head = getattr(model, 'head', None)
    if isinstance(head, nn.Module):
        if isinstance(head, ArcFaceClsHead):
            # While training, the head adds a margin to the score of the label.
            return Outputs(
                'head.norm_product', lambda cosine: head.scale * cosine, ('head.norm_product',)
            )
        for kind, names in BRANCHES.items():
            if isinstance(head, kind):
                return Outputs('head', to_logits, tuple(f'head.{name}' for name in names))
        # VGG and others make the scores in the backbone, and their head only computes the loss.
        parts = [name for name in ('head', 'backbone') if last_layer(model, name)]
        if parts:
            return Outputs('head', to_logits, (last_layer(model, parts[0]),))
    if isinstance(model, (TimmClassifier, HuggingFaceClassifier)):
        layers = own_layers(model) or (last_layer(model, 'model'),)
        if layers[0]:
            return Outputs('model', to_logits, layers)
    raise ValueError(
        f'{type(model).__name__} has no layer that makes class scores: give it a head, such as '
        "head=dict(type='LinearClsHead', num_classes=..., in_channels=...)"
    )


def last_layer(model: nn.Module, part: str) -> str:
    """Name of the last layer of a child that could make class scores, or ''.

    A class layer is registered last in all of MMPretrain's heads and backbones.
    """
    modules = getattr(model, part, nn.Identity()).named_modules(prefix=part)
    return ([''] + [name for name, module in modules if isinstance(module, LAYERS)])[-1]


def own_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of what a network of timm calls its classifier: one layer, or one per token."""
    if not hasattr(model.model, 'get_classifier'):
        return ()
    classifier = model.model.get_classifier()
    layers = classifier if isinstance(classifier, Sequence) else [classifier]
    return tuple(
        name
        for name, module in model.named_modules()
        if any(module is layer for layer in layers) and not isinstance(module, nn.Identity)
    )


def to_logits(outputs: Any) -> Tensor:
    """The logits in what a classifier gives by ``mode='tensor'``, or the module of its scores.

    Args:
        outputs: A tensor (N, K); the scores of ConformerHead's two branches, by the sum of which
            it predicts; or an output of a Hugging Face model.

    Raises:
        TypeError: If it is something else.
    """
    if hasattr(outputs, 'logits'):
        outputs = outputs.logits
    if isinstance(outputs, (tuple, list)) and len(outputs):
        shapes = {getattr(branch, 'shape', None) for branch in outputs}
        outputs = sum(outputs) if len(shapes) == 1 and None not in shapes else outputs
    if not isinstance(outputs, Tensor) or outputs.dim() != 2:
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(
            f'a classifier must give one row of class scores per image, (N, K), not {found}'
        )
    return outputs


def to_embedding(inputs: Sequence[Tensor]) -> Tensor:
    """One embedding per image of what the class layers get.

    Args:
        inputs (Sequence[Tensor]): For each layer (N, D), or (N, D, H, W), which is averaged over
            the positions.

    Returns:
        Tensor: (N, D), D the sum over the layers.
    """
    pooled = [value.mean((2, 3)) if value.dim() == 4 else value for value in inputs]
    return pooled[0] if len(pooled) == 1 else torch.cat(pooled, 1)


def class_layers(model: nn.Module) -> list[nn.Module]:
    """The modules whose inputs are the embedding."""
    modules = dict(model.named_modules())
    return [modules[name] for name in find_outputs(model).layers]


def num_classes(model: nn.Module) -> int | None:
    """The number of classes, K, or None if the model is not known to be a classifier."""
    declared = getattr(getattr(model, 'head', None), 'num_classes', None)
    try:
        return declared or width(class_layers(model)[0], 'out')
    except ValueError:
        return None


def class_count_key(model: nn.Module) -> str:
    """Where in its config a model says how many classes it has."""
    if isinstance(model, HuggingFaceClassifier):
        # What a Transformers config calls it.
        return 'num_labels'
    try:
        part = find_outputs(model).layers[0].partition('.')[0]
    except ValueError:
        part = 'head'
    return 'num_classes' if part == 'model' else f'{part}.num_classes'


def embedding_width(model: nn.Module) -> int:
    """The width of the embedding, D."""
    return sum(width(layer, 'in') for layer in class_layers(model))


def width(module: nn.Module, side: str) -> int:
    """``'in'`` or ``'out'`` width of a layer, or of the first or last layer in a module."""
    layers = [layer for layer in module.modules() if isinstance(layer, LAYERS)]
    layer = layers[0] if side == 'in' else layers[-1]
    kind = 'features' if isinstance(layer, nn.Linear) else 'channels'
    return getattr(layer, f'{side}_{kind}')


def predict_logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """A classifier's logits (N, K) of preprocessed images (N, C, H, W), in its present mode."""
    return to_logits(model(inputs, mode='tensor'))
