"""Check a student and a teacher before training: do one step, and say what to write in the config.

A teacher is asked about images from all over the data. Self distillation and data-free distillation
do a step of their own.

``check_pair.py CONFIG`` takes the config of a distillation, ``check_pair.py TEACHER_CFG
STUDENT_CFG`` two of MMPretrain, files or ``mmpretrain::resnet/resnet18_8xb32_in1k.py``, for AMKD on
the student's data. No data is downloaded: where it is missing, the images are random. The exit
status is 0 if the pair can be trained, 1 if there are problems, and 2 for wrong arguments.
"""

import argparse
import inspect
import io
import logging
import re
import sys
import textwrap
import time
import traceback
import warnings
from contextlib import redirect_stdout, suppress
from copy import deepcopy
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm
from amkd_mm import hooks

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, DefaultScope
from mmengine.runner import set_random_seed
from mmpretrain.structures import DataSample
from mmrazor.utils import register_all_modules

from amkd_mm.algorithms.pair_checks import class_count_key
from amkd_mm.checkpoints.files import exists, read_checkpoint
from amkd_mm.classifiers import embedding_width, num_classes, to_logits
from amkd_mm.classifiers.modes import evaluation_mode
from amkd_mm.cli.downloads import failed_download
from amkd_mm.config.errors import ConfigError
from amkd_mm.config.model_settings import model_settings
from amkd_mm.config.names import config_argument
from amkd_mm.config.unread_keys import unread_keys
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.datasets.batches import labels_of
from amkd_mm.datasets.class_numbers import check_class_numbers, class_numbers
from amkd_mm.diagnostics.trial_step import try_step
from amkd_mm.hooks.class_check_hook import teacher_numbers, teachers_of
from amkd_mm.hooks.sample_hook import SampleHook
from amkd_mm.teachers.chance_check import is_guessing
from amkd_mm.teachers.folded_teacher import logits_and_gradient

WIDTH, LABEL = 96, 18
# Most images that a teacher is asked about, how many at once, and for how many seconds.
JUDGED, AT_ONCE, SECONDS = 256, 32, 20
# How far below the accuracy that its own training logged a teacher may be.
TOLERANCE = 0.1
PACKAGE = Path(amkd_mm.__file__).parent
DISTILLER = Path(__file__).resolve().parents[2] / 'configs/_base_/distillers/amkd.py'
CHECKPOINT = "model.teacher_ckpt='PATH or URL of a checkpoint of this teacher'"
# Where a config has the networks.
PLACES = dict(student='architecture', teacher='teacher')
# Sizes to try on a network that refuses the images.
USUAL_SIZES = [(size, size) for size in (224, 256, 384, 192, 32, 64, 448, 512)]


class Report(logging.Handler):
    """A table, and notes and problems with what to write; logged warnings are notes, too."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.rows, self.notes, self.problems = [('', 'student', 'teacher')], {}, {}
        self.doubt = ''

    def row(self, label, *cells):
        self.rows.append((label, *map(str, cells)))

    def emit(self, record):
        # The weights are drawn here, and by the Runner once more.
        if 'has been called more than once' not in record.getMessage():
            self.notes[' '.join(record.getMessage().split())] = ''

    def __str__(self):
        label = max(LABEL, *(len(row[0]) + 2 for row in self.rows))
        cell = max((len(text) + 2 for row in self.rows if row[2:] for text in row[1:]), default=0)
        lines = []
        for name, *cells in self.rows:
            start = f'{name:{label}}'
            line = start + ''.join(text.ljust(cell) for text in cells)
            lines.append(line if cells[1:] else fill(start, *cells))
        for kind, found in (('note', self.notes), ('problem', self.problems)):
            for text, write in found.items():
                lines += ['', fill(f'{kind}: ', text)]
                lines += [f'{" " * len(kind)}  write: {write}'] if write else []
        verdict = f'{len(self.problems)} problem(s)' if self.problems else f'OK{self.doubt}'
        return '\n'.join([*map(str.rstrip, lines), '', verdict])


def fill(start, text):
    """Wrap a text, each of its lines being indented by the start of the first."""
    indents = dict(initial_indent=start, subsequent_indent=' ' * len(start))
    return textwrap.fill(text, WIDTH, **indents, break_long_words=False, break_on_hyphens=False)


def describe(error, cfg=None):
    """An error in one line: what it says and, unless this package says it, where."""
    if (text := failed_download(error)) is not None:
        return ' '.join(text.splitlines())
    if isinstance(error, ConfigError):
        error.locate(cfg)
        return ' '.join(str(error).split())
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    # A registry goes on with a link.
    text = ' '.join(str(text).split()).partition(' More details can be found')[0] or 'no message'
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename)
    if path == Path(__file__) or PACKAGE in path.parents:
        return text
    return f'{text} ({type(error).__name__}, {path.name}:{frame.lineno})'


def advice(text):
    """What to write where something fails, if it is not what the error's text ends in."""
    if 'shapes cannot be multiplied' in text or 'size of tensor' in text:
        return 'a connector whose widths fit, see configs/_base_/distillers/connector.py'
    return (re.findall(r'`([\w.]+=[^`]+)`', text) or [''])[-1]


def shown(size):
    """A size as in a text."""
    return f'{size[0]}x{size[1]}'


def written(size):
    """A size as in a config."""
    return str(size[0] if size[0] == size[1] else tuple(size))


def name_of(settings):
    """Name of the class in a config's entry, without its scope."""
    kind = settings.get('type', '')
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def pair_config(teacher, student):
    """The distillation of two plain configs, by AMKD on the student's data."""
    cfg = Config.fromfile(DISTILLER).to_dict()
    cfg.update(
        default_scope=student.get('default_scope', 'mmpretrain'),
        train_dataloader=student.get('train_dataloader'),
        teacher_cfg=teacher.to_dict(),
    )
    for key, plain in (('teacher', teacher), ('architecture', student)):
        network = {'_scope_': plain.get('default_scope', 'mmpretrain'), **plain.model.to_dict()}
        # The model's own wins, as in the Runner.
        own = network.pop('data_preprocessor', plain.to_dict().get('data_preprocessor'))
        if own is not None:
            (network if key == 'teacher' else cfg['model'])['data_preprocessor'] = own
        cfg['model'][key] = network
    return Config(cfg)


def sample_hooks(cfg):
    """The config's hooks that have samples made, for a single step."""
    found = []
    for settings in cfg.get('custom_hooks') or []:
        if issubclass(getattr(hooks, name_of(settings), Hook), SampleHook):
            found.append(dict(settings, begin=0, end=1.0, interval=1))
        if name_of(settings) == 'BoundarySampleHook':
            # A student that is not trained is seldom right, and then nothing would be tried.
            found[-1]['student_correct'] = False
    return found


def dataset_settings(cfg):
    """The config of the innermost training data set, or an empty dict."""
    settings = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(settings.get('dataset'), dict):
        settings = settings['dataset']
    return settings


def size_of(pipeline):
    """Height and width that a pipeline ends with, or None if it does not say."""
    for transform in reversed(list(pipeline or [])):
        kind = name_of(transform)
        value = next((transform[k] for k in ('crop_size', 'scale', 'size') if k in transform), None)
        if not any(word in kind for word in ('Crop', 'Resize', 'Pad')) or not value:
            continue
        if isinstance(value, int):
            return value, value
        # MMCV's `scale` is (width, height), that of a crop (height, width).
        return tuple(value)[::-1] if kind == 'Resize' else tuple(value)
    return None


def dataset_class(settings):
    """The data set class that a config's entry names, or ``object``."""
    kind = settings.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    return kind if inspect.isclass(kind) else object


def without_download(node):
    """A data set's config that does not download."""
    if isinstance(node, (list, tuple)):
        return [without_download(value) for value in node]
    if not isinstance(node, dict):
        return node
    settings = {key: without_download(value) for key, value in node.items()}
    bases = dataset_class(settings).mro()
    if any('download' in inspect.signature(base.__init__).parameters for base in bases):
        settings['download'] = False
    return settings


def items_of(report, cfg, split, number):
    """Images from all over the data of a split and the data set, or None, and why not."""
    settings = (cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}
    try:
        dataset = DATASETS.build(without_download(settings))
        rows = np.linspace(0, len(dataset) - 1, number).astype(int)
        return [dataset[int(row)] for row in rows], dataset, ''
    except Exception as error:  # Anything may fail, in a pipeline too.
        # The second is what MMPretrain's CIFAR and MNIST raise.
        if isinstance(error, FileNotFoundError) or 'Cannot find' in str(error):
            place = settings.get('data_root') or 'the data'
            return None, None, f'{name_of(settings)}: {place} is not on the disk'
        text = f'`{split}_dataloader.dataset` fails: {describe(error, cfg)}'
        report.problems[text] = advice(str(error))
        return None, None, 'the data set fails, see the problem below'


def check_parts(report, cfg):
    """Report hooks and metrics that cannot be built, of which a step needs only some."""
    for key, registry in dict(hooks=HOOKS, evaluator=METRICS).items():
        for section in (name for name in cfg if name.endswith(f'_{key}')):
            entries = cfg[section] or []
            if isinstance(entries, dict):
                entries = [entries] if 'type' in entries else entries.values()
            for entry in entries:
                try:
                    registry.build(deepcopy(entry)) if isinstance(entry, dict) else None
                except ConfigError as error:
                    report.problems[describe(error, cfg)] = ''
                except Exception:  # Of what is to come, the step or the training says more.
                    continue


def data_sets(report, cfg, training):
    """The data sets that there are, that of validation first."""
    validation = items_of(report, cfg, 'val', 1)[1] if cfg.get('val_dataloader') else None
    found = dict(val=validation, train=training)
    return {split: dataset for split, dataset in found.items() if dataset is not None}


def preprocess(preprocessor, items):
    """What the student gets of items."""
    inputs = pseudo_collate([item['inputs'] for item in items])
    return preprocessor(dict(inputs=inputs), False)['inputs']


def build(report, cfg):
    """The algorithm, if need be without checkpoint, or None, and if its teacher has weights."""
    settings = model_settings(cfg)
    teacher, given = settings['teacher'], settings.get('teacher_ckpt')
    own = teacher.get('pretrained') or 'Pretrained' in str(teacher.get('init_cfg'))
    if not given and not own:
        report.problems['the teacher has no checkpoint: its weights are random'] = CHECKPOINT
    for path in (given, None):
        try:
            return MODELS.build(dict(deepcopy(settings), teacher_ckpt=path)), bool(path or own)
        except Exception as error:  # Registries raise what the classes raise.
            text = describe(error, cfg)
        # AMKD names the key, MMRazor's algorithms the file.
        about_path = path and ('model.teacher_ckpt:' in text or path in text)
        report.problems[text] = CHECKPOINT if about_path else advice(text)
        if not about_path:
            return None, False


def width_of(network):
    """Width of a network's embedding, or None."""
    with suppress(ValueError):
        return embedding_width(network)


def report_networks(report, cfg, networks, dataset):
    """Rows on the networks as they are, and on the data set; None is one that cannot be built."""

    def row(label, function):
        report.row(label, *('' if n is None else function(n) for n in networks.values()))

    def kind_of(part):
        return type(part).__name__ if isinstance(part, torch.nn.Module) else 'none'

    row('network', lambda n: kind_of(getattr(n, 'backbone', getattr(n, 'model', None))))
    row('head', lambda n: kind_of(getattr(n, 'head', None)))
    row('parameters', lambda n: f'{sum(p.numel() for p in n.parameters()) / 1e6:.3g} million')
    row('classes', lambda n: num_classes(n) or 'unknown')
    row('embedding', lambda n: width_of(n) or 'unknown')
    settings = dataset_settings(cfg)
    known = getattr(dataset, 'metainfo', None) or settings.get('metainfo')
    classes = (known or getattr(dataset_class(settings), 'METAINFO', {})).get('classes')
    number = len(classes) if isinstance(classes, (list, tuple)) else 0
    report.row('data set', f'{name_of(settings)}, {number or "unknown number of"} classes')
    for key, network in networks.items():
        found = network and num_classes(network)
        text = f'the data set has {number} classes and the {key} {found}'
        if found and found < number:
            place = PLACES.get(key, f'teachers.{key}.build_cfg')
            report.problems[text] = f'model.{place}.{class_count_key(network)}={number}'
        elif found and 0 < number < found:
            report.notes[text] = ''


def check_widths(report, networks, cfg):
    """Say what a connector needs where the embeddings differ in width."""
    widths = [network and width_of(network) for network in networks.values()]
    connectors = cfg.model.get('distiller', {}).get('connectors') or {}
    given = connectors.get('embedding', {}).get('module_args', {})
    pair = [given.get('in_features'), given.get('out_features')]
    text = f'the embeddings have {widths[0]} and {widths[1]} features'
    write = f'dict(in_features={widths[0]}, out_features={widths[1]})'
    if None not in [*pair, *widths] and pair != widths:
        text += f", the connector 'embedding' leads from {pair[0]} to {pair[1]}"
        report.problems[text] = f'model.distiller.connectors.embedding.module_args={write}'
    elif None not in widths and widths[0] != widths[1] and not connectors:
        text += ': to compare them needs a connector, see configs/_base_/distillers/connector.py'
        report.notes[text] = f'{write} as its `module_args`'


def ask(network, images):
    """Logits in evaluation mode."""
    with evaluation_mode(network), torch.no_grad():
        return to_logits(network(images, mode='tensor'))


def declared_size(network):
    """Height and width that a network says it is made for, or None."""
    # A network of timm with `dynamic_img_size=True` takes others just as well.
    fixed = [module for module in network.modules() if getattr(module, 'strict_img_size', True)]
    sizes = [getattr(module, 'img_size', None) for module in fixed]
    size = next(filter(None, sizes), None)
    return (size, size) if isinstance(size, int) else size and tuple(size)


def fit(report, key, images, size, resize, network, write):
    """Logits of a network, and the size it needs or None; ``resize(size)`` gives it another."""
    try:
        return ask(network, images), None
    except Exception as error:  # Networks refuse in many ways.
        text = f'the {key} refuses images of {shown(size)}: {describe(error)}'
    for other in filter(None, [declared_size(network), *USUAL_SIZES]):
        with suppress(Exception):
            logits = ask(network, resize(other))
            text += f' It takes {shown(other)}, which is tried here.'
            report.problems[text] = write.format(written(other))
            return logits, other
    raise ValueError(f'{text} It takes none of the usual sizes.')


def fit_teacher(report, algorithm, images, cfg):
    """Logits of the teacher; ``input_adapter`` gets the size that it needs."""
    teacher, inputs = algorithm.teacher, getattr(algorithm, 'input_adapter', None)

    def resize(size):
        if not inputs.renormalizes and not inputs.size:
            inputs.attach(teacher)
        inputs.size = size
        return images

    size = tuple(getattr(inputs, 'size', None) or images.shape[-2:])
    write = 'model.teacher_input_size={}'
    logits, other = fit(report, 'teacher', images, size, resize, teacher, write)
    path, own = cfg.model.teacher.get('cfg_path'), declared_size(teacher)
    plain = get_config(path) if path else cfg.get('teacher_cfg', {})
    expected = own or size_of(dataset_settings(plain).get('pipeline'))
    if other is None and expected not in (None, size):
        text = f'the teacher is made for images of {shown(expected)}, as its '
        text += f'{"`img_size`" if own else "own config"} says, and gets {shown(size)}'
        (report.problems if own else report.notes)[text] = write.format(written(expected))
    return logits


def report_inputs(report, algorithm, images):
    """Rows on what the networks get."""
    inputs = getattr(algorithm, 'input_adapter', None)
    wanted = inputs.wanted if inputs else algorithm.data_preprocessor
    spaces = [Normalizer(algorithm.data_preprocessor), Normalizer(wanted)]
    sizes = images.shape[-2:], (inputs and inputs.size) or images.shape[-2:]
    report.row('input', f'{shown(sizes[0])}, {images.shape[1]} channels', shown(sizes[1]))
    for key in ('mean', 'std'):
        values = [getattr(normalizer, key).flatten().tolist() for normalizer in spaces]
        report.row(key, *(', '.join(f'{value:.6g}' for value in found) for found in values))
    if images.shape[1] == 3:
        swaps = (normalizer.swaps_channels for normalizer in spaces)
        report.row('channel order', *('reversed' if swap else 'as loaded' for swap in swaps))
    done = [inputs and inputs.renormalizes and f'normalised anew, as its {inputs.source} says']
    done.append(inputs and inputs.size and f'resized to {shown(inputs.size)}')
    done = ', '.join(filter(None, done))
    report.row('teacher inputs', done or 'those of the student, as they are')


def mode_of(algorithm):
    """How the teacher runs, after a step."""
    if getattr(algorithm, 'teacher_trainable', False):
        return 'trained'
    text = 'evaluation mode' if getattr(algorithm, 'teacher_eval', False) else 'frozen'
    fast = getattr(algorithm, 'folded_teacher', None)
    if not fast or set(fast.parameters()) <= set(algorithm.teacher.parameters()):
        return f'{text}; as it is, without a folded copy'
    where = (
        '(FoldedTeacher)' if algorithm.teacher_is_folded else 'in the attack only, for a recorder'
    )
    return f'{text}; folded copy {where}'


def check_step(report, step, algorithm, cfg):
    """Look at the losses and gradients of a step."""
    broken = [name for name, value in step.losses.items() if not np.isfinite(value)]
    if broken:
        text = ' or '.join(name for name in broken if name != 'loss')
        text = text.replace('distill.', 'model.distiller.distill_losses.')
        write = f'other settings of {text.replace("student.", "model.architecture.head.")}'
        report.problems[f'the losses are not finite: {", ".join(broken)}'] = write
    unused, wrapper = step.without_gradient, cfg.get('model_wrapper_cfg')
    if unused and not (wrapper or cfg).get('find_unused_parameters'):
        text = f'{len(unused)} parameters of the student get no gradient, {", ".join(unused[:3])}: '
        text += 'on several GPUs the training stops unless it looks for them'
        report.notes[text] = f'{"model_wrapper_cfg." if wrapper else ""}find_unused_parameters=True'
    if step.teacher_gradients and not getattr(algorithm, 'teacher_trainable', False):
        text = f'the frozen teacher gets a gradient, {", ".join(step.teacher_gradients[:3])}'
        report.problems[text] = "model.type='AMKD', or a loss that does not reach them"


def report_boundary(report, found, algorithm, images, right):
    """How many boundary samples the hook logged, and why there are none."""
    if not found:
        text = 'none asked for: no BoundarySampleHook in `custom_hooks`'
    elif 'attacked' not in found:
        text = 'none made: no loss reads them by `record_idx`'
    elif found['samples']:
        text = f'{found["samples"]:.0f} of {found["attacked"]:.0f} attacked; '
        text += f'gap {found["gap"]:.3g}, L2 {found["l2"]:.3g}'
    else:
        text = f'none of {found["attacked"]:.0f} attacked'
        with evaluation_mode(algorithm.teacher):
            _, gradient = logits_and_gradient(algorithm.teacher, images)
        why = f'no boundary samples: the teacher is right on {right} of {len(images)} images, and '
        why += f'{text} reached another class; the largest input gradient of the teacher is '
        why += f'{gradient.abs().max():.1e}'
        report.notes[why] = 'a trained teacher, or another `attack` of BoundarySampleHook'
    report.row('boundary samples', text)


def judge(teacher, preprocessor, dataset, size=None):
    """How many images the teacher gets right of how many, drawn from all of a data set."""
    rows = np.random.default_rng(0).permutation(len(dataset))[:JUDGED].tolist()
    right, total, end = 0, 0, time.perf_counter() + SECONDS
    while total < len(rows) and time.perf_counter() < end:
        items = [dataset[row] for row in rows[total : total + AT_ONCE]]
        labels = labels_of([item['data_samples'] for item in items])
        if labels is None:
            break
        images = preprocess(preprocessor, items)
        images = F.interpolate(images, size) if size else images
        right += int((ask(teacher, images).argmax(1).cpu() == labels.cpu()).sum())
        total += len(items)
    return right, total


def logged_accuracy(path):
    """The accuracy, from 0 to 1, that the training of a checkpoint logged last, or None."""
    with suppress(Exception):  # A checkpoint may hold anything.
        logs = read_checkpoint('teacher', path)['message_hub']
        return logs['log_scalars']['val/accuracy/top1'].current() / 100
    return None


def report_accuracy(report, network, preprocessor, datasets, path, write, size=None):
    """Say whether a teacher knows the data, guesses, or is far below its usual."""
    right = total = 0
    for split, dataset in datasets.items():
        with suppress(Exception):  # Anything may fail in a pipeline; the other may do.
            right, total = judge(network, preprocessor, dataset, size)
        if total:
            place = f'{split}_dataloader'
            break
    if not total:
        return
    accuracy, classes = right / total, num_classes(network) or 2
    found = f'right on {right} of {total} images, {accuracy:.0%}'
    report.row('teacher accuracy', f'{found} ({place}); chance is {1 / classes:.2g}')
    usual = path and logged_accuracy(path)
    look = 'check its normalisation, the size of its images and the order of the classes'
    if is_guessing(right, total, classes):
        text = f'the teacher is {found}, which is guessing among {classes} classes: {look}'
        report.problems[text] = write
    elif usual and accuracy < usual - TOLERANCE:
        text = f'the teacher is weak: {found}, but its training logged {usual:.0%}: {look}'
        report.problems[text] = ''
    elif accuracy < 0.5:
        report.doubt = f', but the teacher is weak: {found}'


def report_names(report, datasets, algorithm, knows):
    """Compare the classes of the data sets with each other and with those of the teacher."""
    found = []
    for split, dataset in datasets.items():
        found += class_numbers(dataset, f'{split}_dataloader.dataset')
    found += teacher_numbers(algorithm) if knows and algorithm is not None else []
    try:
        report.notes.update(dict.fromkeys(check_class_numbers(found), ''))
    except ValueError as error:
        text = str(error)
        report.problems[text] = advice(text)


def check(cfg, batch_size=8):
    """The Report on the pair of a config."""
    set_random_seed(0)
    report = Report()
    for key, place in unread_keys(cfg).items():
        report.notes[f'nothing reads `{key}` at the top of the config'] = place
    with (
        DefaultScope.overwrite_default_scope(cfg.get('default_scope')),
        redirect_stdout(io.StringIO()),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter('always')
        MMLogger.get_instance(f'check_pair_{id(report)}', log_level='WARNING').addHandler(report)
        try:
            check_parts(report, cfg)
            (check_pair if cfg.model.get('teacher') else check_single)(report, cfg, batch_size)
        except Exception as error:  # Networks, losses and hooks may fail in many ways.
            text = describe(error, cfg)
            if text not in report.problems:
                report.problems[f'the step fails: {text}'] = advice(text)
    for warning in caught:
        if PACKAGE in Path(warning.filename).parents:
            report.notes[' '.join(str(warning.message).split())] = ''
    return report


def check_pair(report, cfg, batch_size):
    """Build the pair, let both networks see images, and do a step with them."""
    items, dataset, why = items_of(report, cfg, 'train', batch_size)
    datasets = data_sets(report, cfg, dataset)
    algorithm, knows = build(report, cfg)
    networks = {key: getattr(algorithm, key, None) for key in ('student', 'teacher')}
    for key, settings in zip(networks, (cfg.model.architecture, cfg.model.teacher), strict=True):
        with suppress(Exception):  # One of them may be why there is no algorithm.
            networks[key] = networks[key] or MODELS.build(settings.to_dict())
    report_networks(report, cfg, networks, dataset)
    report_names(report, datasets, algorithm, knows)
    check_widths(report, networks, cfg)
    if algorithm is None:
        return
    report.notes.update(dict.fromkeys(getattr(algorithm, 'adaptations', []), ''))
    found_hooks = sample_hooks(cfg)
    algorithm.init_weights()
    # The same in one process, and not every PyTorch has the other on a CPU.
    algorithm.architecture = revert_sync_batchnorm(algorithm.architecture)
    algorithm.to(get_device())
    preprocessor, student = algorithm.data_preprocessor, algorithm.student
    if found_hooks and getattr(preprocessor, 'batch_augments', None) is not None:
        text = "Mixup or CutMix, of `data_preprocessor` or of the student's `train_cfg`, do not go "
        text += f'with {name_of(found_hooks[0])}; the step is tried without'
        report.problems[text] = 'data_preprocessor.batch_augments=None'
        preprocessor.batch_augments, preprocessor.to_onehot = None, False
    source, relabels = f'{batch_size} of the training data', items is None or not knows
    if items is None:
        items, size = random_items(cfg, student, batch_size)
        source = f'{batch_size} random ones, {shown(size)}; {why}'
    report.row('images', source)
    images = preprocess(preprocessor, items)
    write = "dict(type='Resize', scale={}) before PackInputs in the pipelines"
    size = images.shape[-2:]
    student_logits, size = fit(
        report, 'student', images, size, lambda size: F.interpolate(images, size), student, write
    )
    for item in items if size else ():
        item['inputs'] = F.interpolate(item['inputs'][None].float(), size)[0].byte()
    images = preprocess(preprocessor, items)
    logits = fit_teacher(report, algorithm, images, cfg)
    report_inputs(report, algorithm, images)
    report.row('logits', shown(student_logits.shape), shown(logits.shape))
    if not logits.isfinite().all():
        report.problems["the teacher's logits are not finite"] = CHECKPOINT
    samples, answers = [item['data_samples'] for item in items], logits.argmax(1).tolist()
    # Of what it does not know, a teacher would get too little right to be attacked.
    for sample, answer in zip(samples, answers if relabels else (), strict=relabels):
        sample.set_gt_label(answer)
    right = sum(int(x.gt_label) == answer for x, answer in zip(samples, answers, strict=True))
    real = f"the data set's; the teacher is right on {right} of {len(items)}"
    report.row('labels', "the teacher's own answers" if relabels else real)
    if knows:
        path = cfg.model.get('teacher_ckpt')
        report_accuracy(report, algorithm.teacher, preprocessor, datasets, path, CHECKPOINT, size)
    step = report_step(report, algorithm, items, cfg, found_hooks)
    report.row('teacher runs in', mode_of(algorithm))
    report_boundary(report, step.boundary, algorithm, images, right)
    report_losses(report, step)


def random_items(cfg, student, number):
    """Images of noise, all of class 0, of the size that the pipeline or the student says."""
    size = size_of(dataset_settings(cfg).get('pipeline'))
    size = size or declared_size(student) or (224, 224)
    widths = [m.in_channels for m in student.modules() if isinstance(m, torch.nn.Conv2d)]
    noise = torch.randint(0, 256, (number, (widths or [3])[0], *size)).byte()
    items = [
        # Some losses look the images up by their index.
        dict(inputs=image, data_samples=DataSample(metainfo=dict(sample_idx=index)))
        for index, image in enumerate(noise)
    ]
    for item in items:
        item['data_samples'].set_gt_label(0)
    return items, size


def report_step(report, algorithm, items, cfg, hooks=(), optim_wrapper=None):
    """Do a step, with rows on its cost; gives what it did."""
    ears = Hook()
    ears.before_train = lambda runner: runner.logger.addHandler(report)
    started, resident = time.perf_counter(), getrusage(RUSAGE_SELF).ru_maxrss
    step = try_step(algorithm, items, [*hooks, ears], optim_wrapper)
    report.row('seconds', f'{time.perf_counter() - started:.2f} (first step, {get_device()})')
    if torch.cuda.is_available():
        peak, what = torch.cuda.max_memory_allocated(), 'peak of tensors on the GPU'
    else:
        peak = (getrusage(RUSAGE_SELF).ru_maxrss - resident) * 1024
        what = 'growth of the resident memory, CPU'
    report.row('memory', f'{peak / 2**20:.0f} MiB ({what})')
    check_step(report, step, algorithm, cfg)
    return step


def report_losses(report, step):
    """A row for each loss."""
    for name, value in step.losses.items():
        report.row(name, f'{value:.4g}')


def check_single(report, cfg, batch_size):
    """Check a distillation without `model.teacher`: of itself, or data-free by `model.teachers`."""
    items, dataset, why = items_of(report, cfg, 'train', batch_size)
    datasets = data_sets(report, cfg, dataset)
    settings, paths, writes = model_settings(cfg), {}, {}
    for name, teacher in (settings.get('teachers') or {}).items():
        key = f'model.teachers.{name}.ckpt_path'
        paths[name] = teacher.get('ckpt_path')
        writes[name] = f"{key}='PATH or URL of a checkpoint of this teacher'"
        if not paths[name]:
            text = f'the teacher {name!r} has no checkpoint: its weights are random'
            report.problems[text] = writes[name]
        elif not exists(paths[name]):
            report.problems[f'{key}: {paths[name]!r} does not exist'] = writes[name]
            paths[name] = None
        if not paths[name]:
            teacher.pop('ckpt_path', None)
    algorithm = MODELS.build(settings)
    teachers = {key.rpartition('.')[2]: network for key, network in teachers_of(algorithm).items()}
    networks = dict(student=algorithm.student, **teachers)
    report.rows[0] = ('', *networks)
    report_networks(report, cfg, networks, dataset)
    report_names(report, datasets, algorithm, any(paths.values()))
    for name, teacher in teachers.items():
        counts = num_classes(algorithm.student), num_classes(teacher)
        if None not in counts and counts[0] != counts[1]:
            text = f'the student has {counts[0]} classes and the teacher {name!r} {counts[1]}'
            key = class_count_key(algorithm.student)
            report.problems[text] = f'model.architecture.{key}={counts[1]}'
    algorithm.init_weights()
    algorithm = revert_sync_batchnorm(algorithm).to(get_device())
    source = f'{batch_size} of the training data'
    if items is None:
        items, size = random_items(cfg, algorithm.student, batch_size)
        source = f'{batch_size} random ones, {shown(size)}; {why}'
    report.row('images', source)
    images = preprocess(algorithm.data_preprocessor, items)
    report.row('input', f'{shown(images.shape[-2:])}, {images.shape[1]} channels')
    report_generator(report, algorithm, images)
    for name, teacher in teachers.items():
        if paths[name]:
            preprocessor = algorithm.data_preprocessor
            report_accuracy(report, teacher, preprocessor, datasets, paths[name], writes[name])
    # A generator has an optimiser of its own.
    wrapper = cfg.get('optim_wrapper') if hasattr(algorithm, 'generator') else None
    step = report_step(report, algorithm, items, cfg, (), wrapper and wrapper.to_dict())
    report_losses(report, step)


def report_generator(report, algorithm, images):
    """What a generator makes, and whether it is like the data."""
    generator = getattr(algorithm, 'generator', None)
    if generator is None:
        return
    with torch.no_grad(), evaluation_mode(generator):
        noise = torch.randn(len(images), generator.latent_dim, device=images.device)
        made = generator(noise, len(images))
    text = f'{shown(made.shape[-2:])}, {made.shape[1]} channels; '
    text += f'mean {made.mean():.2g}, deviation {made.std():.2g}'
    report.row('generator', text)
    if not made.isfinite().all():
        report.problems["the generator's images are not finite"] = ''
    if made.shape[1:] != images.shape[1:]:
        text = f'the generator makes images of {shown(made.shape[-2:])} and {made.shape[1]} '
        text += f'channels, and the data has {shown(images.shape[-2:])} and {images.shape[1]}'
        report.problems[text] = f'model.generator.img_size={images.shape[-1]}'


def read_config(parser, name, path, is_alone):
    """Read a config, a file or ``package::path``; exits unless it is a pair, or a network alone."""
    try:
        cfg = Config.fromfile(config_argument(parser, path, name))
    except Exception as error:  # A config is a program.
        parser.error(f'{name}: {path} cannot be read: {describe(error)}')
    model = cfg.get('model') or {}
    is_algorithm = 'architecture' in model or 'distiller' in model
    if is_alone and (is_algorithm or 'type' not in model):
        parser.error(f'{name}: it must be that of a network alone, with `model.type`')
    if not is_alone and not (model.get('architecture') and is_algorithm):
        hint = 'of two networks give TEACHER_CFG and STUDENT_CFG'
        parser.error(f'{name}: it lacks `model.architecture`; {hint}')
    return cfg


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='of a distillation, or of a teacher alone, TEACHER_CFG')
    parser.add_argument('student', nargs='?', metavar='STUDENT_CFG', help='config of its student')
    parser.add_argument('--teacher-ckpt', help='checkpoint of the teacher')
    parser.add_argument('--batch-size', type=int, default=8, help='images (default: 8)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.batch_size < 2:
        parser.error('--batch-size: batch norm needs at least 2 images')
    register_all_modules(False)
    if args.student:
        teacher = read_config(parser, 'TEACHER_CFG', args.config, True)
        cfg = pair_config(teacher, read_config(parser, 'STUDENT_CFG', args.student, True))
    else:
        cfg = read_config(parser, 'config', args.config, False)
    if args.teacher_ckpt:
        cfg.model.teacher_ckpt = args.teacher_ckpt
    try:
        cfg.merge_from_dict(args.cfg_options or {})
    except (KeyError, TypeError) as error:
        parser.error(f'--cfg-options: {textwrap.shorten(describe(error), 300)}')
    report = check(cfg, args.batch_size)
    print(report)
    raise SystemExit(int(bool(report.problems)))


if __name__ == '__main__':
    main()
