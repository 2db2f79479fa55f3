"""Plain KD by bare PyTorch and by other distillation toolboxes, an iteration at a time.

They get the networks, images and optimiser of an MMRazor config, so that what differs is the
training loop. Each of ``LOOPS`` is a generator that yields after an iteration, and never ends.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from ..classifiers import predict_logits
from ..data_preprocessors.normalizer import Normalizer

# Hinton's, and the weight of the KL divergence times TAU**2. The time does not depend on them.
TAU, WEIGHT = 4.0, 1.0


class PlainImages(Dataset):
    """A data set of MMPretrain as other toolboxes have theirs: normalised image, label, index.

    Args:
        dataset (Dataset): Gives ``inputs``, (C, H, W), and ``data_samples`` with a ``gt_label``.
        normalizer (Normalizer): Of the images, on the CPU.
    """

    def __init__(self, dataset: Dataset, normalizer: Normalizer) -> None:
        self.dataset = dataset
        self.normalizer = normalizer

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        item = self.dataset[index]
        (image,) = self.normalizer.normalize(item['inputs'][None])
        return image, int(item['data_samples'].gt_label), index


class Logits(nn.Module):
    """A classifier of MMPretrain as a plain network: images (N, C, H, W) to logits (N, K)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return predict_logits(self.classifier, images)


class KDTask(NamedTuple):
    """What there is to train.

    Attributes:
        student, teacher (nn.Module): Map normalised images to logits, on one device.
        images (Dataset): :class:`PlainImages`.
        batch_size (int): Of the batches.
        optimizer (Callable): Makes an optimiser from parameters.
    """

    student: nn.Module
    teacher: nn.Module
    images: Dataset
    batch_size: int
    optimizer: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.student.parameters()).device

    def loader(self) -> DataLoader:
        """Batches in random order, loaded in this process."""
        return DataLoader(self.images, self.batch_size, shuffle=True)


def bare_pytorch(task: KDTask) -> Iterator[None]:
    """The loop that everybody writes."""
    optimizer = task.optimizer(task.student.parameters())
    task.student.train()
    task.teacher.eval()
    while True:
        for images, labels, _ in task.loader():
            images, labels = images.to(task.device), labels.to(task.device)
            with torch.no_grad():
                answers = task.teacher(images)
            logits = task.student(images)
            divergence = F.kl_div(
                F.log_softmax(logits / TAU, dim=1),
                F.softmax(answers / TAU, dim=1),
                reduction='batchmean',
            )
            loss = F.cross_entropy(logits, labels) + WEIGHT * TAU**2 * divergence
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def mdistiller(task: KDTask) -> Iterator[None]:
    """``KD`` of mdistiller in its own trainer's iterations."""
    from mdistiller.distillers import KD
    from mdistiller.engine.trainer import BaseTrainer
    from mdistiller.engine.utils import AverageMeter

    class WithFeatures(nn.Module):
        """As networks of mdistiller, which give features, too."""

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Tensor) -> tuple[Tensor, dict]:
            return self.network(image), {}

    losses = SimpleNamespace(CE_WEIGHT=1.0, KD_WEIGHT=WEIGHT)
    cfg = SimpleNamespace(KD=SimpleNamespace(TEMPERATURE=TAU, LOSS=losses))
    distiller = KD(WithFeatures(task.student), WithFeatures(task.teacher), cfg).train()
    optimizer = task.optimizer(iter(distiller.get_learnable_parameters()))
    trainer = SimpleNamespace(distiller=distiller, optimizer=optimizer)
    names = ('training_time', 'data_time', 'losses', 'top1', 'top5')
    meters = {name: AverageMeter() for name in names}

    def stay(tensor: Tensor, **_) -> Tensor:
        """In place of ``Tensor.cuda``, which the trainer calls, on a machine without a GPU."""
        return tensor

    on_gpu = task.device.type == 'cuda'
    while True:
        for batch in task.loader():
            with nullcontext() if on_gpu else patch.object(Tensor, 'cuda', stay):
                BaseTrainer.train_iter(trainer, batch, 1, meters)
            yield


def torchdistill(task: KDTask) -> Iterator[None]:
    """``KDLoss`` in a ``DistillationBox`` of torchdistill, as its examples run it."""
    from torchdistill.core.distillation import get_distillation_box
    from torchdistill.losses.mid_level import KDLoss
    from torchdistill.optim.registry import register_optimizer

    @register_optimizer(key='of the task')
    def optimizer(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        return task.optimizer(parameters)

    logits = dict(student_module_path='.', teacher_module_path='.')
    logits.update(student_module_io='output', teacher_module_io='output')
    loss = KDLoss(temperature=TAU, alpha=1.0, beta=WEIGHT, **logits)
    terms = dict(kd=dict(criterion=loss, weight=1.0))
    loader = dict(
        dataset_id='train',
        sampler=dict(class_or_func=RandomSampler),
        kwargs=dict(batch_size=task.batch_size),
    )
    config = dict(
        num_epochs=1,
        train_data_loader=loader,
        teacher=dict(requires_grad=False, forward_proc='forward_batch_only'),
        student=dict(forward_proc='forward_batch_only'),
        optimizer=dict(key='of the task', kwargs=dict()),
        criterion=dict(key='WeightedSumLoss', kwargs=dict(sub_terms=terms)),
    )
    images = dict(train=WithoutIndex(task.images))
    # Its mode is its owner's business.
    task.teacher.eval()
    box = get_distillation_box(
        task.teacher, task.student, images, config, task.device, None, False, 1, None
    )
    while True:
        box.pre_epoch_process(epoch=0)
        for inputs, labels, supplement in box.train_data_loader:
            inputs, labels = inputs.to(task.device), labels.to(task.device)
            found = box.forward_process(inputs, labels, supplement)
            box.post_forward_process(loss=found)
            yield


class WithoutIndex(Dataset):
    """Image and label, to which torchdistill adds what it keeps of each."""

    def __init__(self, images: Dataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index][:2]


LOOPS = {'bare PyTorch': bare_pytorch, 'mdistiller': mdistiller, 'torchdistill': torchdistill}


def available() -> dict[str, Callable[[KDTask], Iterator[None]]]:
    """Those of ``LOOPS`` that can run here, by name."""
    return {name: loop for name, loop in LOOPS.items() if loop is bare_pytorch or find_spec(name)}
