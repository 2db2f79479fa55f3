"""Check a student and a teacher before training: do one step, and say what to write in the config.

A teacher is asked about images from all over the data. Self distillation and data-free distillation
do a step of their own.

``check_pair.py CONFIG`` takes the config of a distillation, ``check_pair.py TEACHER_CFG
STUDENT_CFG`` two of MMPretrain, files or ``mmpretrain::resnet/resnet18_8xb32_in1k.py``, for AMKD on
the student's data. No data is downloaded: where it is missing, the images are random. The exit
status is 0 if the pair can be trained, 1 if there are problems, and 2 for wrong arguments.
"""

import argparse
import sys
from pathlib import Path

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

from mmengine.config import Config, DictAction
from mmrazor.utils import register_all_modules

from amkd_mm.config.reading import merge_options, read_config
from amkd_mm.diagnostics import check, pair_config

DISTILLER = Path(__file__).resolve().parents[2] / 'configs/_base_/distillers/amkd.py'


def read_network(key, name):
    """The config of a network alone."""
    cfg = read_config(key, name)
    model = cfg.get('model') or {}
    if is_algorithm(model) or 'type' not in model:
        raise ValueError(f'{key}: it must be that of a network alone, with `model.type`')
    return cfg


def read_distillation(name):
    """The config of a distillation."""
    cfg = read_config('config', name)
    model = cfg.get('model') or {}
    if not (model.get('architecture') and is_algorithm(model)):
        hint = 'of two networks give TEACHER_CFG and STUDENT_CFG'
        raise ValueError(f'config: it lacks `model.architecture`; {hint}')
    return cfg


def is_algorithm(model):
    """Whether the config of a model is that of an algorithm of MMRazor."""
    return 'architecture' in model or 'distiller' in model


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
    try:
        if args.student:
            teacher = read_network('TEACHER_CFG', args.config)
            student = read_network('STUDENT_CFG', args.student)
            cfg = pair_config(Config.fromfile(DISTILLER), teacher, student)
        else:
            cfg = read_distillation(args.config)
        if args.teacher_ckpt:
            cfg.model.teacher_ckpt = args.teacher_ckpt
        merge_options(cfg, args.cfg_options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    report = check(cfg, args.batch_size)
    print(report)
    raise SystemExit(int(bool(report.problems)))


if __name__ == '__main__':
    main()
