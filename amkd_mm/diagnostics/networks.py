"""The networks of a distillation: whether they can be built, and whether they go together."""

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain.registry import DATASETS
from torch import nn

from ..checkpoints.files import teacher_checkpoints
from ..classifiers import class_count_key, embedding_width, num_classes
from ..config.classes import class_name, class_of
from ..config.model_settings import model_settings
from ..teachers.keys import SINGLE, TeacherKeys
from ..teachers.settings import has_own_weights, member_settings
from .errors import advice, describe
from .images import dataset_settings
from .report import Report

# Where a config has the student.
STUDENT = 'model.architecture'


def checkpoint_line(keys: TeacherKeys = SINGLE) -> str:
    """What to write for the checkpoint of a teacher."""
    return f"{keys.checkpoint}='PATH or URL of a checkpoint of this teacher'"


def build(report: Report, cfg: Config) -> tuple[nn.Module | None, bool]:
    """The algorithm, if need be without checkpoints, or None, and if its teachers have weights."""
    settings = model_settings(cfg)
    given, paths = settings.get('teacher_ckpt'), dict(teacher_checkpoints(settings))
    members = member_settings(settings['teacher'])
    random = []
    for keys, network in ((TeacherKeys(name), network) for name, network in members.items()):
        if keys.of('teacher_ckpt') not in paths and not has_own_weights(network):
            random.append(keys)
            if settings.get('teacher_trainable'):
                continue
            text = f'{keys.title} has no checkpoint: its weights are random'
            report.problem(text, checkpoint_line(keys))
    # Of the rest, those without are told already.
    if isinstance(given, dict):
        given = {name: given.get(name) for name in {**members, **given}}
    for checkpoints in (given, None):
        try:
            algorithm = MODELS.build(dict(deepcopy(settings), teacher_ckpt=checkpoints))
            own = all(map(has_own_weights, members.values()))
            return algorithm, own or bool(checkpoints and not random)
        except Exception as error:  # Registries raise what the classes raise.
            text = describe(error, cfg)
        # AMKD names the key, MMRazor's algorithms the file.
        keys = [f'model.{key}' for key, path in paths.items() if path in text]
        about_path = checkpoints and ('model.teacher_ckpt' in text or keys)
        write = f"{keys[0]}='PATH or URL of a checkpoint of this teacher'" if keys else ''
        report.problem(text, (write or checkpoint_line()) if about_path else advice(text))
        if not about_path:
            return None, False


def width_of(network: nn.Module) -> int | None:
    """Width of a network's embedding, or None."""
    with suppress(ValueError):
        return embedding_width(network)


def report_networks(
    report: Report,
    cfg: Config,
    networks: Mapping[str, nn.Module | None],
    dataset: Any,
    places: Mapping[str, str],
) -> None:
    """Rows on the networks as they are, and on the data set; None is one that cannot be built.

    ``places`` says where the config has each network.
    """

    def row(label, function):
        report.row(label, *('' if n is None else function(n) for n in networks.values()))

    def kind_of(part):
        return type(part).__name__ if isinstance(part, nn.Module) else 'none'

    row('network', lambda n: kind_of(getattr(n, 'backbone', getattr(n, 'model', None))))
    row('head', lambda n: kind_of(getattr(n, 'head', None)))
    row('parameters', lambda n: f'{sum(p.numel() for p in n.parameters()) / 1e6:.3g} million')
    row('classes', lambda n: num_classes(n) or 'unknown')
    row('embedding', lambda n: width_of(n) or 'unknown')
    settings = dataset_settings(cfg)
    known = getattr(dataset, 'metainfo', None) or settings.get('metainfo')
    classes = (known or getattr(class_of(DATASETS, settings), 'METAINFO', {})).get('classes')
    number = len(classes) if isinstance(classes, (list, tuple)) else 0
    report.row('data set', f'{class_name(settings)}, {number or "unknown number of"} classes')
    for key, network in networks.items():
        found = network and num_classes(network)
        text = f'the data set has {number} classes and the {key} {found}'
        if found and found < number:
            report.problem(text, f'{places[key]}.{class_count_key(network)}={number}')
        elif found and 0 < number < found:
            report.note(text)


def check_widths(report: Report, networks: Mapping[str, nn.Module | None], cfg: Config) -> None:
    """Say what a connector needs where the embeddings of student and teacher differ in width."""
    widths = [network and width_of(network) for network in networks.values()]
    connectors = cfg.model.get('distiller', {}).get('connectors') or {}
    given = connectors.get('embedding', {}).get('module_args', {})
    pair = [given.get('in_features'), given.get('out_features')]
    text = f'the embeddings have {widths[0]} and {widths[1]} features'
    write = f'dict(in_features={widths[0]}, out_features={widths[1]})'
    if None not in [*pair, *widths] and pair != widths:
        text += f", the connector 'embedding' leads from {pair[0]} to {pair[1]}"
        report.problem(text, f'model.distiller.connectors.embedding.module_args={write}')
    elif None not in widths and widths[0] != widths[1] and not connectors:
        text += ': to compare them needs a connector, see '
        text += 'configs/_base_/distillers/amkd_teacher_embedding.py'
        report.note(text, f'{write} as its `module_args`')
