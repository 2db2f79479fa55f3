"""The networks of a distillation: whether they can be built, and whether they go together."""

from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain.registry import DATASETS
from torch import nn

from ..algorithms.pair_checks import class_count_key
from ..classifiers import embedding_width, num_classes
from ..config.classes import class_name, class_of
from ..config.model_settings import model_settings
from .errors import advice, describe
from .images import dataset_settings
from .report import Report

CHECKPOINT = "model.teacher_ckpt='PATH or URL of a checkpoint of this teacher'"
# Where a config has the networks.
PLACES = dict(student='architecture', teacher='teacher')


def build(report: Report, cfg: Config) -> tuple[nn.Module | None, bool]:
    """The algorithm, if need be without checkpoint, or None, and if its teacher has weights."""
    settings = model_settings(cfg)
    teacher, given = settings['teacher'], settings.get('teacher_ckpt')
    own = teacher.get('pretrained') or 'Pretrained' in str(teacher.get('init_cfg'))
    if not given and not own and not settings.get('teacher_trainable'):
        report.problem('the teacher has no checkpoint: its weights are random', CHECKPOINT)
    for path in (given, None):
        try:
            return MODELS.build(dict(deepcopy(settings), teacher_ckpt=path)), bool(path or own)
        except Exception as error:  # Registries raise what the classes raise.
            text = describe(error, cfg)
        # AMKD names the key, MMRazor's algorithms the file.
        about_path = path and ('model.teacher_ckpt:' in text or path in text)
        report.problem(text, CHECKPOINT if about_path else advice(text))
        if not about_path:
            return None, False


def width_of(network: nn.Module) -> int | None:
    """Width of a network's embedding, or None."""
    with suppress(ValueError):
        return embedding_width(network)


def report_networks(
    report: Report, cfg: Config, networks: Mapping[str, nn.Module | None], dataset: Any
) -> None:
    """Rows on the networks as they are, and on the data set; None is one that cannot be built."""

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
            place = PLACES.get(key, f'teachers.{key}.build_cfg')
            report.problem(text, f'model.{place}.{class_count_key(network)}={number}')
        elif found and 0 < number < found:
            report.note(text)


def check_widths(report: Report, networks: Mapping[str, nn.Module | None], cfg: Config) -> None:
    """Say what a connector needs where the embeddings differ in width."""
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
