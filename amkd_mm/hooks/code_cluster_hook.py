"""CodeClusterHook: clusters the teacher's codes of the training images before the training."""

from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmrazor.registry import HOOKS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..config.argument_checks import check_kind
from ..datasets.image_numbers import count_images, number_images
from ..losses.code_clusters import CodeClusters


@HOOKS.register_module()
class CodeClusterHook(Hook):
    """Finds the clusters that ``BRCDLoss`` needs, by k-means of the teacher's codes.

    Once, before the training; a resumed training has those of its checkpoint.

    Args:
        dataloader (dict): Dataloader of the training images in their order and without random
            changes, such as that of the database that is searched, if it has the same images.

    Raises:
        TypeError: If ``dataloader`` is no dict, or the algorithm has no teacher.
        ValueError: If it has another number of images than the training.
    """

    def __init__(self, dataloader: dict) -> None:
        check_kind(
            'CodeClusterHook: dataloader', dataloader, dict, 'dict(dataset=..., batch_size=64)'
        )
        self.dataloader = dataloader

    def before_train(self, runner: Runner) -> None:
        """Find the clusters."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        clusters = [
            module
            for module in model.modules()
            if isinstance(module, CodeClusters) and not module.is_fitted
        ]
        if not clusters:
            return
        if not isinstance(getattr(model, 'teacher', None), nn.Module):
            raise TypeError(
                f'CodeClusterHook needs an algorithm with a teacher, not {type(model).__name__}'
            )
        loader = Runner.build_dataloader(self.dataloader)
        number_images(loader.dataset)
        count = count_images(runner.train_dataloader.dataset)
        if count_images(loader.dataset) != count:
            raise ValueError(
                f'CodeClusterHook: `dataloader` has {count_images(loader.dataset)} images and the '
                f'training {count}: it must have the same, in the same order'
            )
        codes = codes_of_all(model, loader, count)
        for one in clusters:
            one.fit(codes, runner.seed)
            for buffer in one.buffers():
                broadcast(buffer)
            print_log(describe(one), logger='current')


@torch.no_grad()
def codes_of_all(model: nn.Module, loader: DataLoader, count: int) -> Tensor:
    """The teacher's codes, (M, B), of all M images by their numbers."""
    training = model.teacher.training
    model.teacher.eval()
    codes: Any = None
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        found = model.teacher(data['inputs'], data['data_samples'], mode='tensor')
        if codes is None:
            codes = found.new_zeros(count, found.size(1))
        codes[[sample.sample_idx for sample in data['data_samples']]] = found
    model.teacher.train(training)
    # Each process has seen its part, and some images may have been seen twice.
    all_reduce(codes)
    return codes.sign()


def describe(clusters: CodeClusters) -> str:
    """What was found, for the log."""
    sizes = clusters.members.bincount(minlength=clusters.num_clusters).tolist()
    kept = clusters.masks.sum(1).int().tolist()
    bits = clusters.masks.size(1)
    return f"Clusters of the teacher's codes: {sizes} images, {kept} of {bits} bits kept"
