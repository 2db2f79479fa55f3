"""Check a student and a teacher before training: do one step, and say what to write in the config.

``python tools/analysis_tools/check_pair.py CONFIG`` takes the config of a distillation.
``check_pair.py TEACHER_CFG STUDENT_CFG`` takes two MMPretrain configs, files or names such as
``mmpretrain::resnet/resnet18_8xb32_in1k.py``, and puts the pair together with
``configs/_base_/distillers/amkd.py`` on the data of the student's config. Data is never downloaded:
where it is not on the disk the step takes random images. Checkpoints that the config names by URL
are, as in training.

The exit status is 0 if the pair can be trained, and 1 if there are problems.
"""

import argparse
import inspect
import io
import logging
import os.path as osp
import re
import textwrap
import time
import traceback
import warnings
from contextlib import contextmanager, redirect_stdout, suppress
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

# isort: split
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
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import CheckpointLoader, set_random_seed
from mmpretrain.structures import DataSample
from mmrazor.utils import register_all_modules

from amkd_mm.algorithms.pair_checks import class_count_key
from amkd_mm.algorithms.teacher_checkpoint import recorded_preprocessor
from amkd_mm.classifiers import embedding_width, num_classes, to_logits
from amkd_mm.fast_teacher import CHECKPOINTING, logits_and_gradient
from amkd_mm.hooks.sample_hook import evaluation_mode
from amkd_mm.pixel_space import PixelSpace
from amkd_mm.trial_step import try_step

WIDTH, LABEL = 96, 18
MEBIBYTE = 2**20
PACKAGE = Path(amkd_mm.__file__).parent
# Where a transform that changes the size of images says to what.
SIZE_KEYS = ('crop_size', 'scale', 'size')
RESIZING = ('Crop', 'Resize', 'Pad')
# Sizes to try on a network that refuses the images.
USUAL_SIZES = (224, 256, 384, 192, 32, 64, 448, 512)
DISTILLER = Path(__file__).resolve().parents[2] / 'configs/_base_/distillers/amkd.py'


class Finding(NamedTuple):
    """Something to know or to change.

    Attributes:
        kind (str): 'note' or 'problem'.
        text (str): What it is.
        write (str): What to write in the config.
    """

    kind: str
    text: str
    write: str = ''


def note(text, write=''):
    return Finding('note', text, write)


def problem(text, write=''):
    return Finding('problem', text, write)


# --- Configs --------------------------------------------------------------------------------------


def load_config(parser, name, path):
    """Read a config, a file or ``package::path``; exits with one line if that fails."""
    package, is_named, _ = path.partition('::')
    if is_named and find_spec(package) is None:
        parser.error(f'{name}: no such package: {package}')
    if not is_named and not osp.isfile(path):
        parser.error(f'{name}: no such file: {path}')
    try:
        return get_config(path) if is_named else Config.fromfile(path)
    except (FileNotFoundError, ValueError) as error:
        # Some names that are unknown are a ValueError on something else.
        text = f'{package} has no such config: {path}' if is_named else describe(error)
        parser.error(f'{name}: {text}')
    except Exception as error:  # A config is a program.
        parser.error(f'{name}: {path} cannot be read: {describe(error)}')


def pair_config(teacher, student, teacher_ckpt=None):
    """The distillation of two plain configs, by AMKD on the student's data."""
    distiller = Config.fromfile(DISTILLER).to_dict()
    networks = {}
    for key, cfg in (('teacher', teacher), ('architecture', student)):
        networks[key] = {'_scope_': cfg.get('default_scope', 'mmpretrain'), **cfg.model.to_dict()}
    preprocessors = [own_preprocessor(cfg) for cfg in (teacher, student)]
    if preprocessors[0] is not None:
        networks['teacher']['data_preprocessor'] = preprocessors[0]
    # Otherwise it would count as the student's word, too.
    networks['architecture'].pop('data_preprocessor', None)
    model = dict(distiller['model'], **networks, teacher_ckpt=teacher_ckpt)
    if preprocessors[1] is not None:
        model['data_preprocessor'] = preprocessors[1]
    return Config(
        dict(
            default_scope=student.get('default_scope', 'mmpretrain'),
            model=model,
            train_dataloader=student.get('train_dataloader'),
            custom_hooks=distiller['custom_hooks'],
            teacher_cfg=teacher.to_dict(),
        )
    )


def own_preprocessor(cfg):
    """The data preprocessor of a plain config; the model's own wins, as in the Runner."""
    found = cfg.model.get('data_preprocessor', cfg.get('data_preprocessor'))
    return found.to_dict() if hasattr(found, 'to_dict') else found


def name_of(settings):
    """Name of the class in a config's entry, without its scope."""
    kind = settings.get('type', '') if isinstance(settings, dict) else ''
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def entries(node):
    """All dicts in a part of a config."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from entries(value)


def network_config(settings):
    """The config of a network that is written out, or named by ``cfg_path``."""
    if 'cfg_path' in settings and 'type' not in settings:
        return get_config(settings['cfg_path']).model
    return settings


def boundary_hook(cfg):
    """The config's BoundarySampleHook, for a single step, or None."""
    for settings in cfg.get('custom_hooks') or []:
        if name_of(settings) == 'BoundarySampleHook':
            # A student that is not trained is seldom right, and then nothing would be tried.
            return dict(settings, begin=0, end=1.0, interval=1, student_correct=False)
    return None


# --- Images ---------------------------------------------------------------------------------------


def size_of(pipeline):
    """Height and width that a pipeline ends with, or None if it does not say."""
    for transform in reversed(list(pipeline or [])):
        kind = name_of(transform)
        if not any(word in kind for word in RESIZING):
            continue
        value = next((transform[key] for key in SIZE_KEYS if transform.get(key)), None)
        if isinstance(value, int):
            return value, value
        if isinstance(value, (list, tuple)) and len(value) == 2:
            # MMCV's `scale` is (width, height), that of a crop (height, width).
            return tuple(value)[::-1] if kind == 'Resize' else tuple(value)
    return None


def dataset_settings(cfg):
    """The config of the innermost training data set, or an empty dict."""
    settings = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(settings.get('dataset'), dict):
        settings = settings['dataset']
    return settings


def dataset_class(settings):
    """The data set class that a config's entry names, or None."""
    kind = settings.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    return kind if inspect.isclass(kind) else None


def without_download(settings):
    """A data set's config that does not download."""
    settings = deepcopy(settings)
    for entry in entries(settings):
        bases = inspect.getmro(dataset_class(entry) or object)
        if any('download' in inspect.signature(base.__init__).parameters for base in bases):
            entry['download'] = False
    return settings


def is_missing(error):
    """Whether a data set failed because its files are not there."""
    # The second is what MMPretrain's CIFAR and MNIST raise.
    return isinstance(error, FileNotFoundError) or (
        isinstance(error, RuntimeError) and 'Cannot find' in str(error)
    )


def training_items(cfg, number):
    """Images of the training data, from all over it.

    Returns:
        tuple: Items of the data set, the data set, and what went wrong, or None for each.
    """
    settings = (cfg.get('train_dataloader') or {}).get('dataset')
    if not settings:
        return None, None, note('the config has no `train_dataloader.dataset`')
    try:
        dataset = DATASETS.build(without_download(settings))
        rows = np.linspace(0, len(dataset) - 1, number).astype(int)
        return [dataset[int(row)] for row in rows], dataset, None
    except Exception as error:  # Anything may fail, in a pipeline too.
        if is_missing(error):
            place = settings.get('data_root') or 'the data'
            return None, None, note(f'{name_of(settings)}: {place} is not on the disk')
        return None, None, problem(f'`train_dataloader.dataset` fails: {describe(error)}')


def random_items(number, channels, size):
    """Images of noise, labelled 0."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (number, channels, *size), generator=generator).byte()
    return [dict(inputs=image, data_samples=DataSample().set_gt_label(0)) for image in images]


def resized(items, size):
    """Items with images of another size."""
    return [
        dict(item, inputs=F.interpolate(item['inputs'][None].float(), size)[0].byte())
        for item in items
    ]


def labelled(items, labels):
    """Items with other labels."""
    items = [dict(item, data_samples=deepcopy(item['data_samples'])) for item in items]
    for item, label in zip(items, labels.tolist(), strict=True):
        item['data_samples'].set_gt_label(label)
    return items


def count_channels(network):
    """Of the images that a network takes."""
    layers = (m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    layer = next(layers, None)
    return layer.in_channels if layer is not None else 3


def dataset_classes(cfg, dataset):
    """How many classes the training data has, or None if that cannot be told."""
    settings = dataset_settings(cfg)
    metainfo = getattr(dataset, 'metainfo', None) or {}
    if not metainfo.get('classes'):
        metainfo = settings.get('metainfo') or {}
    if not metainfo.get('classes'):
        metainfo = getattr(dataset_class(settings), 'METAINFO', {})
    classes = metainfo.get('classes')
    return len(classes) if isinstance(classes, (list, tuple)) else None


def check_class_count(networks, count):
    """Compare class counts with the data set's."""
    keys = dict(student='model.architecture', teacher='model.teacher')
    findings = []
    for key, network in networks.items():
        found = network and num_classes(network)
        if not found or not count or found == count:
            continue
        text = f'the data set has {count} classes and the {key} {found}'
        write = f'{keys[key]}.{class_count_key(network)}={count}, or another data set'
        findings.append(problem(text, write) if found < count else note(text))
    return findings


# --- Building -------------------------------------------------------------------------------------


def describe(error):
    """An error in one line: what it says and, unless this package says it, where."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    # A registry goes on with a link.
    text = ' '.join(str(text).split()).partition(' More details can be found')[0] or 'no message'
    path, line, _ = frames_of(error)[-1]
    if PACKAGE in Path(path).parents:
        return text
    return f'{text} ({type(error).__name__}, {Path(path).name}:{line})'


def advice(text):
    """What to write where something fails, if it is not what the error's text ends in."""
    if 'shapes cannot be multiplied' in text or 'size of tensor' in text:
        return 'a connector whose widths fit, see configs/_base_/distillers/connector.py'
    if 'record_idx is illegal' in text:
        return "model.type='AMKD', or no `record_idx=1` in the `loss_forward_mappings`"
    assignments = re.findall(r'`([\w.]+=[^`]+)`', text)
    return assignments[-1] if assignments else ''


def frames_of(error):
    """File, line and function of all that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    return [(frame.filename, frame.lineno, frame.name) for frame in frames]


def build(cfg):
    """Build the algorithm as the Runner does, if need be without the teacher's checkpoint.

    Returns:
        tuple: The algorithm or None, whether its teacher has its weights, and findings.
    """
    settings = cfg.model.to_dict()
    if cfg.get('data_preprocessor') is not None:
        settings.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    checkpoint = settings.get('teacher_ckpt')
    findings = []
    if not checkpoint and not has_other_weights(settings['teacher']):
        text = 'the teacher has no checkpoint: its weights are random'
        findings += [problem(text, "model.teacher_ckpt='PATH or URL of its checkpoint'")]
    known = not findings
    while True:
        try:
            return MODELS.build(deepcopy(settings)), known, findings
        except Exception as error:  # Registries raise what the classes raise.
            text = describe(error)
            if not is_about_checkpoint(error, settings.get('teacher_ckpt')):
                return None, False, [*findings, problem(text, advice(text))]
            write = "model.teacher_ckpt='PATH or URL of a checkpoint of this teacher'"
            if 'model.teacher_ckpt' not in text:
                text = f'model.teacher_ckpt: {settings["teacher_ckpt"]} does not load: {text}'
            findings.append(problem(text, write))
            known = False
            settings['teacher_ckpt'] = None


def is_about_checkpoint(error, path):
    """Whether an error can only come from the teacher's checkpoint."""
    # A URL cannot be reached, or a file is no checkpoint.
    functions = [function for _, _, function in frames_of(error)]
    return bool(path) and bool({'check_exists', 'load_teacher'} & set(functions))


def has_other_weights(teacher):
    """Whether a teacher's config loads weights by itself."""
    network = network_config(teacher)
    inits = network.get('init_cfg') or {}
    inits = inits if isinstance(inits, (list, tuple)) else [inits]
    return bool(
        teacher.get('pretrained')
        or network.get('pretrained')
        or any(init.get('type') == 'Pretrained' for init in inits)
    )


def build_alone(settings):
    """A network of the pair, for what can be said of it without the other; None if it fails."""
    try:
        return MODELS.build(deepcopy(settings.to_dict()))
    except Exception:  # The algorithm has said so.
        return None


def initialise(algorithm):
    """Draw weights now, as the Runner would do at the start; without files that it lacks."""
    try:
        algorithm.init_weights()
        return []
    except Exception as error:  # Of the network, of files, of keys.
        for module in algorithm.modules():
            module.init_cfg = without_pretrained(getattr(module, 'init_cfg', None))
        algorithm.init_weights()
        text = f"weights of an `init_cfg` of type='Pretrained' do not load: {describe(error)}"
        return [problem(text, '`checkpoint` of that `init_cfg`, or `init_cfg=None`')]


def without_pretrained(init_cfg):
    """What is left of an ``init_cfg``."""
    inits = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return [init for init in inits if init and init.get('type') != 'Pretrained'] or None


# --- Inputs ---------------------------------------------------------------------------------------


def ask(network, images):
    """Logits in evaluation mode."""
    with evaluation_mode(network), torch.no_grad():
        return to_logits(network(images, mode='tensor'))


def declared_size(network):
    """Height and width that a network says it is made for, or None."""
    for module in network.modules():
        size = getattr(module, 'img_size', None)
        if isinstance(size, int):
            return size, size
        if isinstance(size, (list, tuple)) and len(size) == 2:
            return tuple(size)
    return None


def fitting_size(network, images, give=lambda size: None):
    """A size of images that a network takes, or None.

    Args:
        network (nn.Module): A classifier.
        images (Tensor): Images that it refuses, (N, C, H, W).
        give (Callable): Called with each size first.
    """
    own = declared_size(network)
    for size in dict.fromkeys([own] * (own is not None) + [(s, s) for s in USUAL_SIZES]):
        give(size)
        try:
            ask(network, F.interpolate(images[:1], size))
        except Exception:  # noqa: S112 (it refuses this one, too)
            continue
        return size
    return None


def written(size):
    """A size as in a config."""
    return str(size[0] if size[0] == size[1] else tuple(size))


def shown(size):
    """A size as in a text."""
    return f'{size[0]}x{size[1]}'


def preprocess(algorithm, items):
    """What the student gets of items."""
    # Without data samples, to which it would add.
    inputs = pseudo_collate([item['inputs'] for item in items])
    return algorithm.data_preprocessor(dict(inputs=inputs), False)['inputs']


def try_student(algorithm, items):
    """Let the student see the images, and give it others if it refuses them.

    Returns:
        tuple: Items that it takes, or None, and findings.
    """
    images = preprocess(algorithm, items)
    size = images.shape[-2:]
    own = declared_size(algorithm.student)
    try:
        ask(algorithm.student, images)
    except Exception as error:  # Networks refuse in many ways.
        text = f'the student refuses images of {shown(size)}: {describe(error)}'
        fitting = fitting_size(algorithm.student, images)
        if fitting is None:
            return None, [problem(text, '`img_size` of `model.architecture.backbone`, or others')]
        write = f"dict(type='Resize', scale={written(fitting)}) before PackInputs in the pipelines"
        if own is not None:
            write += f', or model.architecture.backbone.img_size={written(size)}'
        text += f' It takes {shown(fitting)}, which is tried here.'
        return resized(items, fitting), [problem(text, write)]
    if own is not None and own != tuple(size):
        text = f'the student is made for images of {shown(own)} (`img_size`) and gets {shown(size)}'
        return items, [note(text, f'model.architecture.backbone.img_size={written(size)}')]
    return items, []


def try_teacher(algorithm, items, trained_size):
    """Let the teacher see the images, and set the size that it takes if it refuses them.

    Args:
        algorithm (nn.Module): The pair.
        items (list): Images that the student takes.
        trained_size (tuple, optional): What the pipeline of the teacher's own config ends with.

    Returns:
        tuple: Logits (N, K), or None, and findings.
    """
    images = preprocess(algorithm, items)
    inputs = getattr(algorithm, 'teacher_inputs', None)
    size = tuple(getattr(inputs, 'size', None) or images.shape[-2:])
    own = declared_size(algorithm.teacher)
    try:
        logits = ask(algorithm.teacher, images)
    except Exception as error:  # Networks refuse in many ways.
        text = f'the teacher refuses images of {shown(size)}: {describe(error)}'
        if inputs is None:
            return None, [problem(text, "model.type='AMKD', which has `model.teacher_input_size`")]
        attached = inputs.renormalizes or inputs.size
        fitting = fitting_size(
            algorithm.teacher, images, lambda size: setattr(inputs, 'size', size)
        )
        if fitting is None:
            return None, [problem(text, '`model.teacher_input_size`, or another teacher')]
        if not attached:
            inputs.attach(algorithm.teacher)
        text += f' It takes {shown(fitting)}, which is tried here.'
        found = problem(text, f'model.teacher_input_size={written(fitting)}')
        return ask(algorithm.teacher, images), [found]
    if own is not None and own != size:
        text = (
            f'the teacher is made for images of {shown(own)} (`img_size`) and gets {shown(size)}: '
            'it takes them, but was not trained on such images'
        )
        return logits, [problem(text, f'model.teacher_input_size={written(own)}')]
    if own is None and trained_size not in (None, size):
        text = (
            f"the teacher's own config trains it on {shown(trained_size)}, and here it gets "
            f'{shown(size)}'
        )
        return logits, [note(text, f'model.teacher_input_size={written(trained_size)}')]
    return logits, []


def trained_size(cfg):
    """What the training pipeline of the teacher's own config ends with, or None."""
    path = cfg.model.teacher.get('cfg_path')
    own = get_config(path) if path else cfg.get('teacher_cfg', {})
    return size_of(dataset_settings(own).get('pipeline')) if own else None


def normalisations(algorithm):
    """Mean, standard deviation and order of channels, of the student and of the teacher."""
    space = PixelSpace(algorithm.data_preprocessor)
    mean, std = (values.detach().cpu().double().flatten() for values in (space.mean, space.std))
    student = mean.tolist(), std.tolist(), space.swaps_channels
    inputs = getattr(algorithm, 'teacher_inputs', None)
    if inputs is None or not inputs.renormalizes:
        return dict(student=student, teacher=student)
    # TeacherInputs computes (x std + mean - new_mean) / new_std as x scale + shift.
    scale, shift = (v.detach().cpu().double().flatten() for v in (inputs.scale, inputs.shift))
    new_std = std / scale
    new_mean = mean - shift * new_std
    if inputs.swaps:
        new_mean, new_std = new_mean.flip(0), new_std.flip(0)
    swaps = space.swaps_channels != inputs.swaps
    return dict(student=student, teacher=(new_mean.tolist(), new_std.tolist(), swaps))


def adaptations(algorithm, cfg):
    """What is done to the teacher's inputs, and by whose word, as text."""
    inputs = getattr(algorithm, 'teacher_inputs', None)
    done = []
    if inputs is not None and inputs.renormalizes:
        done.append(f'normalised anew, as {word_on_inputs(cfg.model)} says')
    if inputs is not None and inputs.size:
        done.append(f'resized to {shown(inputs.size)}')
    return ', '.join(done) or 'those of the student, as they are'


def word_on_inputs(model):
    """Who says how the teacher's inputs are normalised."""
    if 'cfg_path' not in model.teacher and model.teacher.get('data_preprocessor'):
        return '`model.teacher.data_preprocessor`'
    if model.get('teacher_ckpt'):
        with suppress(Exception):  # It may be what has not been loaded.
            checkpoint = CheckpointLoader.load_checkpoint(model.teacher_ckpt, map_location='cpu')
            if recorded_preprocessor(checkpoint) is not None:
                return 'its checkpoint'
    return '`model.teacher.cfg_path`'


# --- The step -------------------------------------------------------------------------------------


class Listener(logging.Handler):
    """Keeps warnings as notes."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.findings = []

    def emit(self, record):
        text = ' '.join(record.getMessage().split())
        # `initialise` is why the Runner says this.
        if 'has been called more than once' not in text:
            self.findings.append(note(text))


class StepMeter(Hook):
    """Measures time and memory of the step, and lets a handler hear what is logged.

    Args:
        handler (logging.Handler): The handler.
    """

    priority = 'HIGHEST'

    def __init__(self, handler):
        self.handler = handler

    def before_train(self, runner):
        runner.logger.addHandler(self.handler)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = start_memory()
        self.started = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.started
        self.memory = peak_memory(self.before)


def resident(key):
    """Bytes of this process's memory by a key of Linux's status file, or None elsewhere."""
    with suppress(OSError):
        found = re.search(rf'{key}:\s+(\d+) kB', Path('/proc/self/status').read_text())
        return int(found.group(1)) * 1024 if found else None


def start_memory():
    """Begin to watch the memory; returns what :func:`peak_memory` takes."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return None
    try:
        Path('/proc/self/clear_refs').write_text('5')  # The peak is now what there is.
    except OSError:
        return None
    return resident('VmRSS')


def peak_memory(before):
    """The most memory since :func:`start_memory`, as text."""
    if torch.cuda.is_available():
        return f'{torch.cuda.max_memory_allocated() / MEBIBYTE:.0f} MiB (peak of tensors, CUDA)'
    after = resident('VmHWM')
    if before is None or after is None:
        return 'not measured (needs CUDA, or Linux)'
    return f'{(after - before) / MEBIBYTE:.0f} MiB (growth of the peak resident memory, CPU)'


def run_step(algorithm, items, hook, meter):
    """Do a step; without Mixup and CutMix if BoundarySampleHook refuses them.

    Returns:
        tuple: The TrialStep, or None, and findings.
    """
    hooks = [meter] if hook is None else [hook, meter]
    findings = []
    while True:
        try:
            return try_step(algorithm, items, hooks), findings
        except Exception as error:  # Networks, losses and hooks may fail in many ways.
            mixes = getattr(algorithm.data_preprocessor, 'batch_augments', None) is not None
            if not mixes or 'batch_augments' not in str(error):
                text = f'the step fails: {describe(error)}'
                return None, [*findings, problem(text, advice(text))]
            findings.append(problem(describe(error), 'data_preprocessor.batch_augments=None'))
            algorithm.data_preprocessor.batch_augments = None
            algorithm.data_preprocessor.to_onehot = False


def check_step(step, algorithm, cfg):
    """Findings on losses and gradients of a step."""
    findings = []
    broken = [name for name, value in step.losses.items() if not np.isfinite(value)]
    if broken:
        names = ', '.join(broken)
        keys = [
            name.replace('distill.', 'model.distiller.distill_losses.').replace(
                'student.', 'model.architecture.head.'
            )
            for name in broken
            if name != 'loss'
        ]
        write = f'other settings of {" or ".join(keys[:2])}, or of `data_preprocessor`'
        findings.append(problem(f'the losses are not finite: {names}', write))
    if step.teacher_gradients and not getattr(algorithm, 'teacher_trainable', False):
        text = f'{some(step.teacher_gradients)} of the teacher get a gradient, though it is frozen'
        findings.append(problem(text, "model.type='AMKD', or a loss that does not reach it"))
    if step.without_gradient and not finds_unused(cfg):
        key = 'model_wrapper_cfg.' if cfg.get('model_wrapper_cfg') else ''
        text = f'{some(step.without_gradient)} of the student get no gradient: on several GPUs the'
        text += ' training stops unless it looks for them'
        findings.append(note(text, f'{key}find_unused_parameters=True'))
    return findings


def finds_unused(cfg):
    """Whether a training on several GPUs copes with parameters without gradient."""
    wrapper = cfg.get('model_wrapper_cfg') or cfg
    return bool(wrapper.get('find_unused_parameters'))


def some(names):
    """How many parameters, and the first ones."""
    shown_names = ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
    return f'{len(names)} parameters ({shown_names})'


def boundary_text(step, hook):
    """How many boundary samples were found."""
    if hook is None:
        return 'none asked for: no BoundarySampleHook in `custom_hooks`'
    found, reached = int(step.boundary.get('samples', 0)), step.boundary.get('reached')
    if reached is None:
        return 'none: no image was attacked'
    if not found:
        return 'none: no attack reached another class'
    attacked = found if hook.get('keep_unreached') else round(found / reached)
    text = f'{found} of {attacked} attacked; gap {step.boundary["gap"]:.3g}, '
    return text + f'L2 {step.boundary["l2"]:.3g}'


def check_boundary(step, hook, algorithm, images, right, knows):
    """Why there are no boundary samples.

    Args:
        step (TrialStep): The step.
        hook (dict, optional): The hook's config.
        algorithm (nn.Module): The pair.
        images (Tensor): What the student gets, (N, C, H, W).
        right (int): On how many of them the teacher is right.
        knows (bool): Whether the teacher has its weights.
    """
    if hook is None or step.boundary.get('samples'):
        return []
    with evaluation_mode(algorithm.teacher):
        _, gradient = logits_and_gradient(algorithm.teacher, images)
    largest = gradient.abs().max().item()
    if not largest > 0:
        text = (
            "no boundary samples: the gradient of the teacher's logits is zero, as that of a head "
            'that is initialised with zeros'
        )
        return [problem(text, 'model.teacher_ckpt: a trained one')] if knows else [note(text)]
    if step.boundary.get('reached') is None:
        text = (
            f'no boundary samples: the teacher is right on {right} of {len(images)} images, and '
            'only those that it gets right are attacked'
        )
        return [note(text)]
    text = (
        'no boundary samples: no attack reached another class '
        f'(largest input gradient of the teacher {largest:.1e})'
    )
    write = 'another `attack` of BoundarySampleHook, or more steps of it'
    return [note(text, write if knows else '')]


# --- What was set ---------------------------------------------------------------------------------


def has_sync_batch_norm(network):
    return any(type(module).__name__ == 'SyncBatchNorm' for module in network.modules())


def revert_student(algorithm):
    """Take SyncBN out of a student on a CPU, which cannot run it."""
    if get_device() != 'cpu' or not has_sync_batch_norm(algorithm.student):
        return []
    algorithm.architecture = revert_sync_batchnorm(algorithm.architecture)
    return [note("the student's SyncBN needs a GPU: plain batch norm took its place in this step")]


def check_settings(algorithm, cfg):
    """Notes on what the algorithm has set by itself."""
    findings = []
    if not getattr(algorithm, 'teacher_trainable', False):
        findings += teacher_settings(network_config(cfg.model.teacher))
    given = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    mixes = getattr(algorithm.data_preprocessor, 'batch_augments', None) is not None
    if mixes and 'batch_augments' not in given:
        findings.append(note("Mixup or CutMix are taken over from the student's `train_cfg`"))
    return findings


def teacher_settings(settings):
    """Notes on what is turned off in a teacher that is not trained, by its config."""
    findings = []
    if any(entry.get('type') == 'SyncBN' for entry in entries(settings)):
        findings.append(note("the teacher's SyncBN runs as plain batch norm, which is the same"))
    if any(entry.get(key) is True for entry in entries(settings) for key in CHECKPOINTING):
        findings.append(note("the teacher's activation checkpointing is turned off"))
    return findings


def count_dropout(network):
    """How many layers of a network drop something while it is trained."""
    names = ('drop_prob', 'p')
    return sum(
        'Drop' in type(module).__name__ and any(getattr(module, name, 0) for name in names)
        for module in network.modules()
    )


def mode_text(algorithm):
    """How the teacher runs, after a step."""
    fast = getattr(algorithm, 'fast_teacher', None)
    if getattr(algorithm, 'teacher_trainable', False):
        return 'trained'
    text = 'evaluation mode' if getattr(algorithm, 'teacher_eval', False) else 'frozen'
    dropout = count_dropout(algorithm.teacher)
    if dropout and text == 'evaluation mode':
        text += f' ({dropout} dropout layers off)'
    if fast is None:
        return text
    if not fast.parts:
        return f'{text}; as it is, without batch norm to fold'
    own = {id(parameter) for parameter in algorithm.teacher.parameters()}
    if all(id(parameter) in own for parameter in fast.parameters()):
        return f'{text}; as it is, not as a folded copy'
    if not algorithm.teacher_is_fast:
        return f'{text}; folded copy in the attack only, for the sake of a recorder'
    return f'{text}; folded copy (FastTeacher)'


def check_widths(algorithm, cfg):
    """What to do where the embeddings differ in width."""
    widths = [width_of(network) for network in (algorithm.student, algorithm.teacher)]
    linear = [
        (name, connector.get('module_args') or {})
        for name, connector in (cfg.model.get('distiller', {}).get('connectors') or {}).items()
        if connector.get('module_name') == 'Linear'
    ]
    for name, given in linear:
        pair = given.get('in_features'), given.get('out_features')
        if name == 'embedding' and None not in widths and pair != tuple(widths):
            write = f'model.distiller.connectors.{name}.module_args='
            write += f'dict(in_features={widths[0]}, out_features={widths[1]})'
            text = f'the connector {name!r} leads from {pair[0]} to {pair[1]} features, the '
            text += f'embeddings have {widths[0]} and {widths[1]}'
            return [problem(text, write)]
    if linear or None in widths or widths[0] == widths[1]:
        return []
    text = (
        f'the embeddings have {widths[0]} and {widths[1]} features: a loss that compares them '
        'needs a connector, as in configs/_base_/distillers/connector.py'
    )
    write = f'dict(in_features={widths[0]}, out_features={widths[1]}) as its `module_args`'
    return [note(text, write)]


def width_of(network):
    """Width of a network's embedding, or None."""
    with suppress(ValueError):
        return embedding_width(network)


# --- The verdict ----------------------------------------------------------------------------------


@contextmanager
def listening():
    """Hide what is printed meanwhile, and give a Listener to this package's warnings."""
    listener = Listener()
    with redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        logger = MMLogger.get_instance('check_pair', log_level='WARNING')
        logger.addHandler(listener)
        try:
            yield listener
        finally:
            logger.removeHandler(listener)
    for warning in caught:
        text = ' '.join(str(warning.message).split())
        # Those of PyTorch are not for the user of a config.
        if PACKAGE in Path(warning.filename).parents and 'Triggered internally' not in text:
            listener.findings.append(note(text))


def numbers(values):
    return ', '.join(f'{value:.6g}' for value in values)


def describe_networks(networks):
    """Rows of the table on networks as they are."""

    def row(label, function):
        return [label, *('' if n is None else str(function(n)) for n in networks.values())]

    def kind_of(*parts):
        return lambda n: next(
            (type(getattr(n, part)).__name__ for part in parts if getattr(n, part, None)), 'none'
        )

    def millions(network):
        return f'{sum(p.numel() for p in network.parameters()) / 1e6:.3g} million'

    return [
        row('network', kind_of('backbone', 'model')),
        row('head', kind_of('head')),
        row('parameters', millions),
        row('classes', lambda n: num_classes(n) or 'unknown'),
        row('embedding', lambda n: width_of(n) or 'unknown'),
    ]


def describe_inputs(algorithm, images, logits):
    """Rows of the table on what the networks get and give."""
    size = tuple(images.shape[-2:])
    inputs = getattr(algorithm, 'teacher_inputs', None)
    found = list(normalisations(algorithm).values())
    channels = f'{images.shape[1]} channels'
    return [
        ['input', f'{shown(size)}, {channels}', shown(getattr(inputs, 'size', None) or size)],
        ['mean', *(numbers(mean) for mean, _, _ in found)],
        ['std', *(numbers(std) for _, std, _ in found)],
        ['channel order', *('reversed' if swaps else 'as loaded' for _, _, swaps in found)],
        ['logits', *('' if value is None else shown(value.shape) for value in logits)],
    ]


def check(cfg, batch_size=8):
    """Build the pair of a config, and do a step.

    Returns:
        tuple: Rows of a table, each a label and one or two cells, and findings.
    """
    set_random_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')), listening() as listener:
        rows, findings = check_quietly(cfg, batch_size, listener)
    return rows, list(dict.fromkeys([*findings, *listener.findings]))


def check_quietly(cfg, batch_size, listener):
    """See :func:`check`."""
    items, dataset, failure = training_items(cfg, batch_size)
    algorithm, knows, findings = build(cfg)
    settings = dict(student=cfg.model.architecture, teacher=cfg.model.teacher)
    if algorithm is None:
        networks = {key: build_alone(value) for key, value in settings.items()}
    else:
        networks = {key: getattr(algorithm, key) for key in settings}
    count = dataset_classes(cfg, dataset)
    findings += check_class_count(networks, count)
    rows = [['', 'student', 'teacher'], *describe_networks(networks)]
    name = name_of(dataset_settings(cfg)) or 'none'
    rows.append(['data set', f'{name}, {count or "unknown number of"} classes'])
    if failure is not None and failure.kind == 'problem':
        findings.append(failure)
    if algorithm is None:
        return rows, findings

    found = initialise(algorithm)
    # A teacher with a checkpoint is not initialised.
    knows = knows and (not found or bool(cfg.model.get('teacher_ckpt')))
    findings += found + revert_student(algorithm)
    findings += check_settings(algorithm, cfg) + check_widths(algorithm, cfg)
    algorithm.to(get_device())
    source = f'{batch_size} of the training data'
    if items is None:
        found = size_of(dataset_settings(cfg).get('pipeline'))
        size = found or declared_size(algorithm.student) or (224, 224)
        items = random_items(batch_size, count_channels(algorithm.student), size)
        whence = 'of the training pipeline' if found else 'guessed: the pipeline names no size'
        why = (
            failure.text if failure.kind == 'note' else 'the data set fails, see the problem below'
        )
        source = f'{batch_size} random ones, {shown(size)} ({whence}); {why}'
    try:
        step_rows, found = check_items(algorithm, cfg, items, listener, knows, dataset is not None)
    except Exception as error:  # Of the data preprocessor, for one.
        return rows, [*findings, problem(describe(error), advice(describe(error)))]
    return [*rows, ['images', source], *step_rows], findings + found


def check_items(algorithm, cfg, items, listener, knows, are_real):
    """Let both networks see the images, and do a step with them.

    Args:
        algorithm (nn.Module): The pair.
        cfg (Config): Its config.
        items (list): Images.
        listener (logging.Handler): Hears what the step logs.
        knows (bool): Whether the teacher has its weights.
        are_real (bool): Whether the images are training images.

    Returns:
        tuple: Rows of a table and findings.
    """
    items, findings = try_student(algorithm, items)
    if items is None:
        return [], findings
    logits, found = try_teacher(algorithm, items, trained_size(cfg))
    findings += found
    images = preprocess(algorithm, items)
    rows = describe_inputs(algorithm, images, [ask(algorithm.student, images), logits])
    rows.append(['teacher inputs', adaptations(algorithm, cfg)])
    if logits is None:
        return rows, findings
    if not logits.isfinite().all():
        write = 'model.teacher_ckpt: one whose weights are numbers'
        findings.append(problem("the teacher's logits are not finite", write))
    # A teacher that knows nothing would get too few right to be attacked.
    if not are_real or not knows:
        items = labelled(items, logits.argmax(1))
    labels = torch.tensor([int(item['data_samples'].gt_label) for item in items])
    right = int((logits.argmax(1).cpu() == labels).sum())
    if are_real and knows:
        rows.append(['labels', f"the data set's; the teacher is right on {right} of {len(items)}"])
    else:
        rows.append(['labels', "the teacher's own answers"])

    hook, meter = boundary_hook(cfg), StepMeter(listener)
    step, found = run_step(algorithm, items, hook, meter)
    findings += found
    if step is None:
        return rows, findings
    findings += check_step(step, algorithm, cfg)
    findings += check_boundary(step, hook, algorithm, images, right, knows)
    rows.append(['teacher runs in', mode_text(algorithm)])
    rows.append(['boundary samples', boundary_text(step, hook)])
    rows += [[name, f'{value:.4g}'] for name, value in step.losses.items()]
    rows.append(['seconds', f'{meter.seconds:.2f} (first step, {get_device()})'])
    rows.append(['memory', meter.memory])
    return rows, findings


def render(rows, findings):
    """The verdict as text."""
    label = max(LABEL, *(len(row[0]) + 2 for row in rows))
    cell = max([len(row[1]) + 2 for row in rows if len(row) == 3])
    lines = []
    for name, *cells in rows:
        text = cells[0].ljust(cell) + cells[1] if len(cells) == 2 else cells[0]
        if len(cells) == 1:
            text = fill(text, WIDTH - label, ' ' * label)
        lines.append(f'{name:{label}}{text}'.rstrip())
    for kind in ('note', 'problem'):
        for _, text, write in (finding for finding in findings if finding.kind == kind):
            indent = ' ' * (len(kind) + 2)
            lines += ['', f'{kind}: {fill(text, WIDTH - len(indent), indent)}']
            if write:
                lines.append(f'{indent}write: {write}')
    count = sum(finding.kind == 'problem' for finding in findings)
    return '\n'.join([*lines, '', f'{count} problem(s)' if count else 'OK'])


def fill(text, width, indent):
    """Wrap a text; all lines but the first are indented."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return f'\n{indent}'.join(lines)


def read_arguments():
    """The config of a pair and the batch size; exits where the arguments are wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='config of a distillation, or TEACHER_CFG STUDENT_CFG of two MMPretrain networks',
    )
    parser.add_argument('--teacher-ckpt', help='checkpoint of the teacher, with two configs')
    parser.add_argument('--batch-size', type=int, default=8, help='images (default: 8)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if len(args.configs) > 2:
        parser.error('give the config of a distillation, or TEACHER_CFG and STUDENT_CFG')
    if len(args.configs) == 1 and args.teacher_ckpt:
        parser.error('--teacher-ckpt: with one config, use --cfg-options model.teacher_ckpt=...')
    if args.batch_size < 2:
        parser.error('--batch-size: batch norm needs at least 2 images')

    register_all_modules(False)
    names = ['config'] if len(args.configs) == 1 else ['TEACHER_CFG', 'STUDENT_CFG']
    pairs = zip(names, args.configs, strict=True)
    configs = [load_config(parser, name, path) for name, path in pairs]
    for name, cfg in zip(names, configs, strict=True):
        model = cfg.get('model') or {}
        is_pair = isinstance(model.get('architecture'), dict) and 'teacher' in model
        if len(configs) == 1 and not is_pair:
            parser.error(
                'config: it has no `model.architecture` and `model.teacher`; of two networks give '
                'both configs, TEACHER_CFG STUDENT_CFG'
            )
        if len(configs) == 2 and ('type' not in model or is_pair):
            parser.error(f'{name}: it must be that of a network alone, with `model.type`')
    cfg = configs[0] if len(configs) == 1 else pair_config(*configs, args.teacher_ckpt)
    if args.cfg_options is not None:
        try:
            cfg.merge_from_dict(args.cfg_options)
        except (KeyError, TypeError) as error:
            parser.error(f'--cfg-options: {textwrap.shorten(describe(error), 300)}')
    return cfg, args.batch_size


def main():
    cfg, batch_size = read_arguments()
    rows, findings = check(cfg, batch_size)
    print(render(rows, findings))
    raise SystemExit(int(any(finding.kind == 'problem' for finding in findings)))


if __name__ == '__main__':
    main()
