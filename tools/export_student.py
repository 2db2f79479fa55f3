"""Write the student of a distillation checkpoint as a plain MMPretrain config and checkpoint.

A checkpoint of MMRazor holds student, teacher and distiller together, so no other tool can load the
student from it. After ``python tools/export_student.py CONFIG CHECKPOINT student.pth``::

    from mmpretrain import get_model
    model = get_model('student.py', pretrained='student.pth')

``--network teacher`` writes a teacher that was trained, too, as in ``configs/dml``.
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable and its checkpoints loadable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import Config, DictAction
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmrazor.utils import register_all_modules

from amkd_mm.checkpoints.distillation import load_all, network_weights
from amkd_mm.checkpoints.file_hash import name_by_hash
from amkd_mm.checkpoints.files import exists, read_checkpoint
from amkd_mm.checkpoints.fit import STUDENT, TEACHER
from amkd_mm.cli.downloads import explain_failed_downloads
from amkd_mm.config.names import config_argument
from amkd_mm.config.reading import read_config
from amkd_mm.data_preprocessors import DeviceAugmentDataPreprocessor

# Where the classes that a student's config may name are registered.
REGISTRIES = (DATASETS, METRICS, MODELS, TRANSFORMS)
# The networks of a distillation: the key below `model`, and the prefix of their weights.
NETWORKS = dict(student=('architecture', STUDENT), teacher=('teacher', TEACHER))


def student_config(cfg, network='student'):
    """Derive a plain MMPretrain config of the student from a distillation config.

    Args:
        cfg (Config): A config whose ``model`` is an MMRazor algorithm.
        network (str): ``'student'``, or ``'teacher'`` for one that is trained, too.

    Returns:
        Config: ``model`` with the preprocessor the network was trained with, but for augmentation
        on the device, and ``test_*`` where the distillation config has them, without metrics that
        need both networks. It imports ``amkd_mm`` only if it names a class of it.

    Raises:
        ValueError: If ``cfg.model`` has no ``architecture``, or its teacher is not trained or gets
            images of which the config does not say all.
    """
    cfg = cfg.to_dict()
    algorithm = cfg.get('model', {})
    if not isinstance(algorithm.get('architecture'), dict):
        raise ValueError(
            'model.architecture is missing from the config; '
            'give the config of the distillation, not that of the student'
        )
    model = plain_model(algorithm['architecture'])
    # The algorithm's own preprocessor wins, then the runner's, then the architecture's.
    for source in (algorithm, cfg):
        if source.get('data_preprocessor') is not None:
            model['data_preprocessor'] = source['data_preprocessor']
            break
    if network == 'teacher':
        check_teacher(algorithm)
        # Its own wins, then what the student has.
        given = {key: model[key] for key in ('data_preprocessor',) if key in model}
        model = {**given, **plain_model(algorithm['teacher'])}
    if 'data_preprocessor' in model:
        model['data_preprocessor'] = without_device_augments(model['data_preprocessor'])

    student = dict(default_scope='mmpretrain', model=model)
    split = 'test' if cfg.get('test_dataloader') is not None else 'val'
    if cfg.get(f'{split}_dataloader') is not None and cfg.get(f'{split}_evaluator') is not None:
        student['test_dataloader'] = cfg[f'{split}_dataloader']
        student['test_evaluator'] = without_pair_metrics(cfg[f'{split}_evaluator'])
        student['test_cfg'] = dict()
    imports = cfg.get('custom_imports', {}).get('imports', [])
    imports = [imports] if isinstance(imports, str) else list(imports)
    if not _uses_amkd_mm(student):
        imports = [name for name in imports if name.partition('.')[0] != 'amkd_mm']
    if imports:
        student['custom_imports'] = dict(imports=imports, allow_failed_imports=False)
    return Config(student)


def plain_model(settings):
    """The config of a network, written out in full."""
    model = deepcopy(settings)
    if 'cfg_path' in model and 'type' not in model:
        # What `mmengine.hub.get_model` does with such an entry, but for the weights: it only fills
        # in keys that the named config lacks.
        named = get_config(model.pop('cfg_path')).to_dict()
        model.pop('pretrained', None)
        model = {**model, **named['model']}
        if 'data_preprocessor' in named:
            model['data_preprocessor'] = named['data_preprocessor']
    return model


def check_teacher(algorithm):
    """Raise ``ValueError`` unless the config of an algorithm says all of a trained teacher."""
    teacher = algorithm.get('teacher')
    if not isinstance(teacher, dict) or not algorithm.get('teacher_trainable'):
        raise ValueError(
            '--network teacher is for a teacher that the distillation trains, '
            'model.teacher_trainable=True; any other is its own checkpoint, model.teacher_ckpt'
        )
    if algorithm.get('teacher_input_size') is not None:
        raise ValueError(
            'model.teacher_input_size: the teacher gets images of another size than the data has, '
            'which a config of the teacher alone cannot say'
        )
    began = algorithm.get('teacher_ckpt') or teacher.get('pretrained')
    began = began or 'Pretrained' in str(teacher)
    if began and teacher.get('data_preprocessor') is None and 'cfg_path' not in teacher:
        raise ValueError(
            'model.teacher.data_preprocessor is missing from the config: the teacher began with '
            'weights of its own, and may get images normalised as those say; write '
            'model.teacher.data_preprocessor=dict(mean=..., std=..., to_rgb=...)'
        )


def without_device_augments(preprocessor):
    """A config of a data preprocessor, without the augmentation that only a training has."""
    if DeviceAugmentDataPreprocessor not in _classes_of(preprocessor):
        return preprocessor
    kept = {key: value for key, value in preprocessor.items() if key != 'device_augments'}
    return dict(kept, type='mmpretrain.ClsDataPreprocessor')


def without_pair_metrics(evaluator):
    """A config of metrics, without those that compare a student with its teacher."""
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    kept = [
        metric
        for metric in metrics
        if not any(hasattr(cls, 'receive_algorithm') for cls in _classes_of(metric))
    ]
    return evaluator if len(kept) == len(metrics) else kept


def _classes_of(config):
    """The classes that a config may name."""
    name = str(config.get('type')).rpartition('.')[2]
    found = (registry.module_dict.get(name) for registry in REGISTRIES)
    return [cls for cls in found if cls is not None]


def _uses_amkd_mm(node):
    """Whether a config names a class of this package, so that reading it needs the package."""
    if isinstance(node, (list, tuple)):
        return any(map(_uses_amkd_mm, node))
    if not isinstance(node, dict):
        return False
    return any(cls.__module__.partition('.')[0] == 'amkd_mm' for cls in _classes_of(node)) or any(
        map(_uses_amkd_mm, node.values())
    )


def student_checkpoint(checkpoint, config, network='student'):
    """Take the student's weights out of a distillation checkpoint.

    Args:
        checkpoint (dict): A checkpoint of the distillation.
        config (Config): What :func:`student_config` returned; it is built to check the weights.
        network (str): As for :func:`student_config`.

    Returns:
        dict: ``meta`` and ``state_dict`` as MMPretrain writes them, on the CPU.

    Raises:
        ValueError: If the checkpoint holds no such network, or not that of ``config``.
    """
    key, prefix = NETWORKS[network]
    weights = network_weights('the checkpoint', checkpoint, prefix)
    weights = {key: value.detach().cpu().clone() for key, value in weights.items()}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(deepcopy(config.model))
    load_all('the checkpoint', model, weights, f'model.{key}')

    old = checkpoint.get('meta', {})
    # Only plain types, so that the file loads with weights_only=True.
    meta = {key: int(old[key]) for key in ('epoch', 'iter') if key in old}
    meta['cfg'] = config.pretty_text
    classes = (old.get('dataset_meta') or {}).get('classes')
    if classes is not None:
        meta['dataset_meta'] = dict(classes=[str(name) for name in classes])
    return dict(meta=meta, state_dict=weights)


def main():
    explain_failed_downloads()
    parser = argparse.ArgumentParser(
        description='Write the student of a distillation checkpoint for plain MMPretrain.'
    )
    parser.add_argument('config', help='config of the distillation')
    parser.add_argument('checkpoint', help='checkpoint of the distillation')
    parser.add_argument('out', help='file to write, *.pth; the config is written beside it, *.py')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='the overrides that the distillation was started with',
    )
    parser.add_argument(
        '--network',
        choices=[*NETWORKS],
        default='student',
        help='the network to write, a teacher only if the distillation trained it (default: '
        'student)',
    )
    parser.add_argument(
        '--hash',
        action='store_true',
        help='append 8 digits of its SHA-256 to the name of the checkpoint, by which its readers '
        'notice damage',
    )
    args = parser.parse_args()
    args.config = config_argument(parser, args.config)
    if not exists(args.checkpoint):
        parser.error(f'checkpoint: no such file: {args.checkpoint}')
    out = Path(args.out)
    if out.suffix != '.pth':
        parser.error(f'out: the name must end in .pth: {out}')

    register_all_modules(False)
    try:
        cfg = read_config('config', args.config, args.cfg_options)
        config = student_config(cfg, args.network)
        checkpoint = read_checkpoint('checkpoint', args.checkpoint)
        exported = student_checkpoint(checkpoint, config, args.network)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(exported, out)
    config.dump(out.with_suffix('.py'))
    written = name_by_hash(out) if args.hash else out
    print(f'{len(exported["state_dict"])} tensors: {written}, config: {out.with_suffix(".py")}')
    if 'test_dataloader' not in config:
        print('The config has no test_dataloader, which ImageClassificationInferencer needs.')


if __name__ == '__main__':
    main()
