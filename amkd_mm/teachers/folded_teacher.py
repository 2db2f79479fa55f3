"""FoldedTeacher: the logits of a frozen teacher for less work."""

import logging
from contextlib import nullcontext
from copy import copy, deepcopy
from itertools import product
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..classifiers import TeacherEnsemble, predict_logits, to_logits
from .keys import SINGLE, TeacherKeys

# Largest deviation of a logit from the teacher's, relative to the largest logit; and of an input
# gradient, which jumps where rounding moves an activation past the kink of a ReLU.
TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-1


class FoldedTeacher:
    """A frozen classifier in evaluation mode, computed by a faster copy (ours).

    In the copy every batch norm is folded into the convolution before it (by
    :func:`mmcv.cnn.fuse_conv_bn`), memory is laid out channels-last where that pays, activations
    work in place, and no parameter asks for a gradient. Only the parts of the classifier that
    have convolutions and batch norm, usually the backbone, are copied; the others are shared, so
    that recorders on the neck or the head record what the copy computes too. Hooks within the
    copied parts are copied as they are at that time.

    The copy is made at the first call, from the images of that call, and again by :meth:`update`.
    It is used if it gives the teacher's logits within a relative 1e-4, and its gradients;
    otherwise a warning says why not, and the teacher itself computes the logits.

    Args:
        teacher (nn.Module): A classifier that gives its logits by ``mode='tensor'``.
        compile (bool | dict): Whether to compile the copied parts; a dict has arguments of
            :func:`torch.compile`. Defaults to False.
        title (str): What messages call it. Defaults to ``'the teacher'``.

    Raises:
        ValueError: If ``compile`` is set and PyTorch is older than 2.0.
    """

    def __init__(
        self, teacher: nn.Module, compile: bool | dict = False, title: str = SINGLE.title
    ) -> None:
        if compile is not False and not hasattr(torch, 'compile'):
            raise ValueError(
                f'`teacher_compile` needs PyTorch 2.0 or newer, not {torch.__version__}'
            )
        self.teacher, self.title = teacher, title
        self.compile_options = {} if compile is True else compile
        self.parts = [name for name, part in teacher.named_children() if is_foldable(part)]
        """Names of the teacher's modules that are copied, its children."""
        if compile is not False and not self.parts:
            self._warn('there is no batch norm to fold, and `teacher_compile` has no effect')
        self._folded = teacher
        # What the copy was made from
        self._tensors, self._state = [], None

    def __call__(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        """The teacher's logits.

        Args:
            inputs (Tensor): Preprocessed images, (N, C, H, W). Gradients reach them.
            data_samples (list, optional): Passed on to the teacher.

        Returns:
            Tensor: Logits, (N, K).
        """
        return to_logits(self.network(inputs)(inputs, data_samples, mode='tensor'))

    def network(self, inputs: Tensor) -> nn.Module:
        """What computes the logits: the copy, which is made from inputs, or the teacher."""
        if self._state is None:
            self.update(inputs)
        return self._folded

    def update(self, inputs: Tensor) -> None:
        """Make the copy anew if the teacher has changed: weights, statistics, device or modules.

        Call it before a step, and outside recorders, because the copy is compared with the teacher
        on the inputs. Writes through ``.data`` in place go unnoticed.
        """
        # Neither no images nor inference mode, which has no gradients, allow the comparison.
        if not self.parts or not len(inputs) or torch.is_inference_mode_enabled():
            return
        tensors = tensors_of(self.teacher)
        state = state_of(tensors)
        if state != self._state:
            # The tensors are kept, so that no new one gets the address of an old one.
            self._tensors, self._state = tensors, state
            self._folded = self._make(inputs[:2].detach())

    def parameters(self) -> list[nn.Parameter]:
        """Those of what computes the logits; no optimiser should have them."""
        return list(self._folded.parameters())

    def _make(self, images: Tensor) -> nn.Module:
        """The fastest copy that does on the images what the teacher does, or the teacher."""
        layouts = [torch.channels_last] if channels_last_pays(images.device) else []
        for layout, inplace in product((*layouts, torch.contiguous_format), (True, False)):
            try:
                folded = self._fold(layout, inplace)
                self._compare(folded, images)
            except Exception as refusal:  # The teacher's own code may do anything with a copy.
                problem = f'{type(refusal).__name__}: {refusal}'
            else:
                return self._compiled(folded)
        self._warn(f'its batch norm cannot be folded ({problem})')
        return self.teacher

    def _warn(self, problem: str) -> None:
        text = f'{capitalized(self.title)} runs as it is, not as a faster copy: {problem}'
        print_log(text, logger='current', level=logging.WARNING)

    def _fold(self, layout: torch.memory_format, inplace: bool) -> nn.Module:
        """A shallow copy of the teacher with folded copies of the parts."""
        folded = copy(self.teacher)
        folded._modules = dict(self.teacher._modules)
        for name in self.parts:
            part = fuse_conv_bn(deepcopy(self.teacher._modules[name])).requires_grad_(False)
            for module in part.modules():
                # MMRazor turns it off for the sake of recorders, of which there are none within.
                if hasattr(module, 'inplace'):
                    module.inplace = inplace
            if layout == torch.channels_last:
                part = part.to(memory_format=layout)
                part.register_forward_pre_hook(to_channels_last)
                # What comes after may need views that only the usual layout allows.
                part.register_forward_hook(to_contiguous)
            folded._modules[name] = part
        return folded

    def _compare(self, folded: nn.Module, images: Tensor) -> None:
        """Raise ``ValueError`` unless the copy has the teacher's logits and gradients."""
        # Rounding to half precision or TF32 would hide whether the copy is the same function.
        exact = nullcontext()
        if images.is_cuda:
            exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.autocast(images.device.type, enabled=False), exact:
            # The teacher last, on what the copy may have left of the images.
            found, expected = (
                logits_and_gradient(model, images) for model in (folded, self.teacher)
            )
        for what, tolerance, value, goal in zip(
            ('logits', 'gradient'), (TOLERANCE, GRADIENT_TOLERANCE), found, expected, strict=True
        ):
            error, largest = (value - goal).abs().max().item(), goal.abs().max().item()
            # Also where a value is not a number
            if not error <= tolerance * largest:
                raise ValueError(f'its {what} would be off by {error:.2g} of {largest:.2g}')

    def _compiled(self, folded: nn.Module) -> nn.Module:
        """Compile the parts, not the whole: recorders on the others must go on recording."""
        if self.compile_options is not False:
            for name in self.parts:
                part = folded._modules[name]
                folded._modules[name] = torch.compile(part, **self.compile_options)
        return folded


class FoldedEnsemble(FoldedTeacher):
    """A ``TeacherEnsemble`` whose members are each a :class:`FoldedTeacher`.

    What is not of a member, such as the head that takes their mean, is the ensemble's own.

    Args:
        ensemble (TeacherEnsemble): Of classifiers that give their logits by ``mode='tensor'``.
        compile (bool | dict): See :class:`FoldedTeacher`.

    Raises:
        ValueError: See :class:`FoldedTeacher`.
    """

    def __init__(self, ensemble: TeacherEnsemble, compile: bool | dict = False) -> None:
        self.teacher = ensemble
        self.members = {
            name: FoldedTeacher(member, compile, TeacherKeys(name).title)
            for name, member in ensemble.members.items()
        }
        """The folded members by name; each gives its own logits."""
        self.parts = [
            f'{name}.{part}' for name, member in self.members.items() for part in member.parts
        ]

    def network(self, inputs: Tensor) -> nn.Module:
        """See :class:`FoldedTeacher`."""
        folded = {name: member.network(inputs) for name, member in self.members.items()}
        ensemble = copy(self.teacher)
        ensemble._modules = {**self.teacher._modules, **folded}
        return ensemble

    def update(self, inputs: Tensor) -> None:
        """See :class:`FoldedTeacher`."""
        for member in self.members.values():
            member.update(inputs)

    def parameters(self) -> list[nn.Parameter]:
        """See :class:`FoldedTeacher`."""
        return [one for member in self.members.values() for one in member.parameters()]


def fold_teacher(teacher: nn.Module, compile: bool | dict = False) -> FoldedTeacher:
    """The folded copy of a classifier, or of several; arguments of :class:`FoldedTeacher`."""
    kind = FoldedEnsemble if isinstance(teacher, TeacherEnsemble) else FoldedTeacher
    return kind(teacher, compile)


def capitalized(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def is_foldable(part: nn.Module) -> bool:
    """Whether a module has both convolutions and batch norm."""
    modules = list(part.modules())
    return all(any(isinstance(m, kind) for m in modules) for kind in (nn.Conv2d, _BatchNorm))


def logits_and_gradient(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """A classifier's logits, and the gradient of the largest ones on its way to the images."""
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = predict_logits(model, leaf)
        (gradient,) = torch.autograd.grad(logits.amax(1).sum(), leaf)
    return logits.detach(), gradient


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers.

    A quarter of the time that ``parameters()`` and ``buffers()`` take to put names together: of
    every training step the host spends 0.2 ms here with a ResNet-50, while a GPU may wait for it.
    """
    tensors, modules = [], [module]
    while modules:
        one = modules.pop()
        tensors += [*one._parameters.values(), *one._buffers.values()]
        modules += [child for child in one._modules.values() if child is not None]
    return [tensor for tensor in tensors if tensor is not None]


def state_of(tensors: list[Tensor]) -> list[tuple[int, int]]:
    """What changes with the tensors: a version in place, an address on the way to a device."""
    return [(tensor.data_ptr(), tensor._version) for tensor in tensors]


def channels_last_pays(device: torch.device) -> bool:
    """On CPUs, and on GPUs whose tensor cores take float32 (TF32) as well as half precision."""
    if device.type == 'cuda':
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == 'cpu'


def to_channels_last(part: nn.Module, args: tuple) -> tuple:
    """Forward pre-hook: images (N, C, H, W) in channels-last layout."""
    images, *others = args
    if isinstance(images, Tensor) and images.dim() == 4:
        images = images.contiguous(memory_format=torch.channels_last)
    return (images, *others)


def to_contiguous(part: nn.Module, args: tuple, outputs: Any) -> Any:
    """Forward hook: feature maps in the usual layout."""
    if isinstance(outputs, Tensor):
        return outputs.contiguous()
    if isinstance(outputs, (tuple, list)):
        return type(outputs)(to_contiguous(part, args, output) for output in outputs)
    return outputs
