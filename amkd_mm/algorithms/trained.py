"""Distillations with the networks of a checkpoint."""

from mmengine.config import Config
from mmrazor.registry import MODELS
from torch import nn

from ..checkpoints.distillation import existing_teacher_files, load_all, network_weights
from ..checkpoints.files import read_checkpoint
from ..checkpoints.fit import STUDENT, TEACHER
from ..classifiers.activation_checkpointing import disable_checkpointing
from ..config.model_settings import model_settings


def load_distillation(
    cfg: Config, key: str, path: str, device: str = 'cpu', needs_teacher: bool = True
) -> nn.Module:
    """Build a distillation by a teacher, with its trained networks.

    Args:
        cfg (Config): Of the distillation.
        key (str): The argument that names the checkpoint, for messages.
        path (str): The checkpoint that the distillation wrote.
        device (str): Where the networks shall be. Defaults to ``'cpu'``.
        needs_teacher (bool): Whether to take the teacher from the checkpoint, too. Otherwise it
            is as the config says. Defaults to True.

    Returns:
        nn.Module: The algorithm, in evaluation mode and without activation checkpointing, with
        which no attack could take gradients of the inputs.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not load, lacks a network, or does not fit.
    """
    checkpoint = read_checkpoint(key, path)
    places = {STUDENT: 'model.architecture'}
    if needs_teacher:
        places = {TEACHER: 'model.teacher', **places}
    weights = {prefix: network_weights(f'{key}: {path}', checkpoint, prefix) for prefix in places}
    settings = model_settings(cfg)
    if 'teacher_ckpt' in settings:
        settings['teacher_ckpt'] = existing_teacher_files(settings)
    algorithm = MODELS.build(settings)
    networks = {TEACHER: getattr(algorithm, 'teacher', None), STUDENT: algorithm.architecture}
    for prefix, place in places.items():
        load_all(f'{key}: the checkpoint', networks[prefix], weights[prefix], place)
    disable_checkpointing(algorithm)
    return algorithm.to(device).eval()
