"""Draw what a distillation did to the student's decision boundary, as pictures and as a page.

``visualize_boundary.py CONFIG CHECKPOINT`` takes validation images that the teacher gets right, and
moves them to the boundaries of teacher and student with the attack of the config's
``BoundarySampleHook``, or by ``BoundarySearch``. It writes PNG files, and ``index.html``, a single
file that holds them all and says how to read them.
"""

import argparse
import sys
from pathlib import Path

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmrazor.utils import register_all_modules

from amkd_mm.algorithms.trained import load_distillation
from amkd_mm.analysis import (
    ComparedStudent,
    boundary_facts,
    boundary_notes,
    draw_validation_images,
    study_boundary,
)
from amkd_mm.cli.downloads import explain_failed_downloads
from amkd_mm.config.hook_settings import hook_settings
from amkd_mm.config.names import config_argument
from amkd_mm.config.reading import read_distillation
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.visualization import (
    check_page_folder,
    compared_name,
    draw_boundary_figures,
    save_page,
)


def study(cfg, args):
    """What is found, and the rows of the page's table."""
    generator = torch.Generator().manual_seed(args.seed)
    set_random_seed(args.seed)
    algorithm = load_distillation(cfg, 'checkpoint', args.checkpoint, args.device)
    default = BoundarySampleHook, dict(attack=dict(type='BoundarySearch'))
    hook, settings = next(hook_settings(cfg, BoundarySampleHook), default)
    images = draw_validation_images(cfg, args.num, generator, 'visualize_boundary.py')
    compared, facts = None, dict(config=args.config, checkpoint=args.checkpoint)
    if args.compare:
        other = read_distillation('--compare', args.compare[0])
        other = load_distillation(other, '--compare', args.compare[1], args.device, False)
        name = compared_name((args.config, args.checkpoint), args.compare)
        compared = ComparedStudent(name, other.student, Normalizer(other.data_preprocessor))
        facts['compared student'] = ', '.join(args.compare)
    found = study_boundary(
        algorithm,
        hook(**settings).maker,
        images,
        generator,
        compared,
        reader='visualize_boundary.py',
    )
    drawn = f'{len(images.labels)} of the validation data, drawn with seed {args.seed}'
    return found, {**facts, 'images': drawn, **boundary_facts(found, settings['attack'])}


def main():
    explain_failed_downloads()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the distillation')
    parser.add_argument('checkpoint', help='checkpoint of the distillation')
    parser.add_argument(
        '--compare',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='of another distillation, such as KD, whose student is drawn and judged beside this; '
        'also of the same at an earlier time',
    )
    parser.add_argument(
        '--out', type=Path, help='folder (default: work_dirs/NAME_OF_CONFIG/boundary_pictures)'
    )
    parser.add_argument('--num', type=int, default=200, help='validation images (default: 200)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all choices (default: 0)')
    parser.add_argument('--device', default=get_device(), help='default: %(default)s')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.num < 1:
        parser.error(f'--num: at least 1 image, not {args.num}')
    try:
        torch.empty(0, device=args.device)
    except (AssertionError, RuntimeError) as error:
        parser.error(f'--device: {error}')
    args.config = config_argument(parser, args.config)
    if args.compare:
        args.compare[0] = config_argument(parser, args.compare[0], '--compare')
    register_all_modules(False)
    # Where weights come from is not what this is about.
    MMLogger.get_instance('visualize_boundary', log_level='WARNING')
    name = Path(args.config).stem
    out = args.out or Path('work_dirs') / name / 'boundary_pictures'
    try:
        cfg = read_distillation('config', args.config, args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        # Before the work, which would be for nothing.
        check_page_folder('--out', out)
        found, facts = study(cfg, args)
    except (OSError, KeyError, TypeError, ValueError) as error:
        parser.error(str(error))

    notes, figures = boundary_notes(found), draw_boundary_figures(found)
    title = f'Decision boundaries of {name}'
    page = save_page(out, title, found.verdict, facts, notes, figures)
    for line in [*found.verdict, *(f'{key}: {value}' for key, value in facts.items()), *notes]:
        print(line)
    print(f'{len(figures)} pictures, and all of them in one file: {page}')


if __name__ == '__main__':
    main()
