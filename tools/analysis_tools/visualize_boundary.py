"""Draw what a distillation did to the student's decision boundary, as pictures and as a page.

``visualize_boundary.py CONFIG CHECKPOINT`` takes validation images that the teacher gets right, and
moves them to the boundaries of teacher and student with the attack of the config's
``BoundarySampleHook``, or by ``BoundarySearch``. It writes PNG files, and ``index.html``, a single
file that holds them all and says how to read them.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import set_random_seed
from mmrazor.utils import register_all_modules

from amkd_mm.analysis import (
    InputPlane,
    boundary_verdict,
    distances,
    embed,
    first_of_each_class,
    move_to_boundary,
    plane_regions,
    principal_components,
)
from amkd_mm.attacks import AttackResult, BoundaryAttack
from amkd_mm.attacks.targets import runner_up_target
from amkd_mm.checkpoints.files import exists, read_checkpoint
from amkd_mm.checkpoints.fit import moved, weights_in
from amkd_mm.classifiers import num_classes
from amkd_mm.classifiers.activation_checkpointing import disable_checkpointing
from amkd_mm.cli.downloads import explain_failed_downloads
from amkd_mm.config.model_settings import model_settings
from amkd_mm.config.names import config_argument
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.datasets.batches import read_batch
from amkd_mm.datasets.class_numbers import check_labels
from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.teachers.folded_teacher import FoldedTeacher
from amkd_mm.visualization import (
    EmbeddingMap,
    Picture,
    Plane,
    draw_boundary_panel,
    draw_decision_regions,
    draw_distances,
    draw_embedding_map,
    html_page,
    short_name,
    to_png,
)

# Samples in the panel, and of these with a picture of their decision regions, of so many points a
# side.
COLUMNS, PLANES, GRID = 6, 3, 81
UNIT = 'L2, pixel values 0 to 255'
TEACHER, STUDENT, COMPARED = 'teacher', 'student', 'compared student'

PANEL_TEXT = (
    "Each column is a validation image. Top: the image, with the networks' probabilities of its "
    'class, of the class that it is moved towards, and of the most probable other class. Middle: '
    'what is added, amplified, grey where nothing is. Bottom: the boundary sample. For the teacher '
    'its first two probabilities should be about equal; how far apart they are for the student '
    "says how well it knows the teacher's boundary there."
)
PLANE_TEXT = (
    'Each square is a plane through three images, the white symbols, and its colours are the '
    'classes that a network decides for. Lengths are L2 distances between images. The columns '
    "show the same plane: the more alike a student's colours and the teacher's are, the better it "
    'has learnt the boundaries there; the percentage is the share of the square that they agree '
    'on. Far from the symbols there are no valid images any more, as values leave the range of '
    'pixels. The pictures around other samples are read in the same way.'
)
MAP_TEXT = (
    'What the layer that makes the class scores gets, in two dimensions (principal components, '
    'for each network its own; the axes say how much they show of it). Dots are clean images, '
    "crosses the teacher's boundary samples, and a grey line joins an image with its own. In the "
    'map of the teacher the crosses lie between groups of dots; so they do in that of a student '
    'that knows the same boundaries.'
)
DISTANCE_TEXT = (
    "How far the attack had to move an image to the network's own boundary: images that both "
    'networks get right, with the same target classes. An attack does not find the nearest '
    'point, so that these are upper bounds. A histogram further to the right belongs to a network '
    'that takes larger changes before it changes its mind.'
)


class Images(NamedTuple):
    """Validation images that the teacher gets right.

    Attributes:
        pixels (Tensor): As the dataset gives them, (N, C, H, W).
        labels (Tensor): (N,).
        logits (dict[str, Tensor]): Name of a network to its logits, (N, K).
        targets (Tensor): Target classes, (N,).
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    logits: dict[str, torch.Tensor]
    targets: torch.Tensor


class Mover(NamedTuple):
    """What is needed to move images to a boundary."""

    attack: BoundaryAttack
    normalizer: Normalizer
    networks: dict

    def __call__(self, name, pixels, labels, targets) -> AttackResult:
        """Move images to the boundary of a network; see ``move_to_boundary``."""
        network = self.networks[name]
        return move_to_boundary(self.attack, network, self.normalizer, pixels, labels, targets)


def read_config(name, path, options=None):
    """The config of a distillation."""
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # A config is a program.
        raise ValueError(f'{name}: {path} cannot be read: {error}') from error
    cfg.merge_from_dict(options or {})
    model = cfg.get('model') or {}
    if not (model.get('architecture') and model.get('teacher')):
        raise ValueError(
            f'{name}: it has no `model.architecture` and `model.teacher`; give that of a '
            'distillation by a teacher, which the checkpoint is of'
        )
    return cfg


def weights_of(name, path, parts):
    """The weights of the parts of an algorithm, by part.

    Raises:
        ValueError: If the checkpoint does not load, or lacks a part.
    """
    checkpoint = read_checkpoint(name, path)
    weights = weights_in(checkpoint)
    found = {}
    for part in parts:
        prefix = f'{part}.'
        found[part] = moved(weights, prefix, '')
        if not found[part]:
            raise ValueError(
                f'{name}: {path} has no key that begins with "{prefix}": give a checkpoint that '
                'the distillation wrote, not that of a student or a teacher alone'
            )
    return found


def load(name, network, weights, key):
    """Load weights into a network that they must fit."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f'{name}: the checkpoint does not fit `{key}`: {error}') from None


def build_algorithm(cfg):
    """The algorithm of a config; not with the weights of its student."""
    settings = model_settings(cfg)
    path = settings.get('teacher_ckpt')
    if path and not exists(path):
        # The checkpoint holds the teacher. Only how its images were normalised may be missing.
        settings['teacher_ckpt'] = None
    return MODELS.build(settings)


def build(cfg, args):
    """The algorithm with its trained networks."""
    parts = weights_of('checkpoint', args.checkpoint, ('teacher', 'architecture'))
    algorithm = build_algorithm(cfg)
    load('checkpoint', algorithm.teacher, parts['teacher'], 'model.teacher')
    load('checkpoint', algorithm.student, parts['architecture'], 'model.architecture')
    disable_checkpointing(algorithm)
    return algorithm.to(args.device).eval()


def build_compared(args):
    """The student of another distillation, and where its images are."""
    config, checkpoint = args.compare
    algorithm = build_algorithm(read_config('--compare', config))
    (weights,) = weights_of('--compare', checkpoint, ('architecture',)).values()
    load('--compare', algorithm.student, weights, 'model.architecture')
    disable_checkpointing(algorithm)
    algorithm.to(args.device).eval()
    return algorithm.student, Normalizer(algorithm.data_preprocessor)


def compared_name(args):
    """What tells the compared student from the other in a picture."""
    files = zip((args.config, args.checkpoint), args.compare, strict=True)
    for ours, other in files:
        ours, other = Path(ours).stem.split('_'), Path(other).stem.split('_')
        if ours != other:
            own = '_'.join(word for word in other if word not in ours)
            # The number of an epoch says nothing alone.
            own = '_'.join(other) if own.isdigit() else own or '_'.join(other)
            return f'{COMPARED} ({short_name(own, 24)})'
    return COMPARED


def boundary_sampler(cfg):
    """The sampler of the config's ``BoundarySampleHook``, or of a default one, and its attack."""
    for settings in cfg.get('custom_hooks') or []:
        settings = dict(settings)
        if str(settings.pop('type')).rpartition('.')[2] == BoundarySampleHook.__name__:
            return BoundarySampleHook(**settings).sampler, settings['attack']
    attack = dict(type='BoundarySearch')
    return BoundarySampleHook(attack).sampler, attack


def choose_images(cfg, number, generator):
    """Validation images (N, C, H, W), drawn at random, their labels (N,), and the data set."""
    if cfg.get('val_dataloader') is None:
        raise ValueError('config: it has no `val_dataloader`, whose images are drawn')
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    rows = torch.randperm(len(dataset), generator=generator)[:number].tolist()
    if not rows:
        raise ValueError('config: the data set of `val_dataloader` is empty')
    batch = pseudo_collate([dataset[row] for row in rows])
    pipeline = 'val_dataloader.dataset.pipeline'
    return *read_batch('visualize_boundary.py', pipeline, batch), dataset


def ask(classify, normalizer, pixels, batch_size=256):
    """Logits of images in [0, 255], (N, K)."""
    with torch.no_grad():
        return torch.cat([classify(normalizer.normalize(p)) for p in pixels.split(batch_size)])


def to_arrays(normalizer, pixels):
    """Images as they are drawn, (N, H, W, C)."""
    return normalizer.swap(pixels).permute(0, 2, 3, 1).cpu().numpy()


def draw_panel(images, result, rows, normalizer, networks, names):
    """The samples, their perturbations and where they end."""
    moved, shown = result.inputs[rows], {'teacher': TEACHER, 'student': STUDENT}

    def probabilities(logits):
        return {name: found.softmax(1).cpu().numpy() for name, found in logits.items()}

    return draw_boundary_panel(
        to_arrays(normalizer, images.pixels[rows]),
        to_arrays(normalizer, moved),
        images.labels[rows].tolist(),
        images.targets[rows].tolist(),
        probabilities({k: images.logits[name][rows] for k, name in shown.items()}),
        probabilities({k: ask(networks[name], normalizer, moved) for k, name in shown.items()}),
        names,
        result.reached[rows].tolist(),
    )


def planes_of(row, images, move, names):
    """The planes of an image: through the teacher's boundary samples, and the student's.

    There is none of a student that misclassifies the image, or whose boundary is not reached, and
    none at all where the teacher's is not.
    """
    one = slice(row, row + 1)
    base, label, targets = images.pixels[one], images.labels[one], [images.targets[one]]
    if len(names) > 2:
        others = images.logits[TEACHER][one].scatter(1, targets[0][:, None], -float('inf'))
        targets.append(runner_up_target(others, label))
    corners = {}
    for name in (TEACHER, STUDENT):
        found = [move(name, base, label, target) for target in targets]
        right = images.logits[name][row].argmax() == label
        if right and all(result.reached for result in found):
            corners[name] = [result.inputs for result in found]
    if TEACHER not in corners:
        return []

    classes = [int(label), *map(int, targets)]
    points = [f'base sample, class {short_name(names[classes[0]])}']
    points += [f'boundary sample towards {short_name(names[c])}' for c in classes[1:]]
    through = {
        f"plane through the\n{owner}'s boundary samples": corners[name]
        for owner, name in (('teacher', TEACHER), ('student', STUDENT))
        if name in corners
    }
    if len(names) == 2:
        # Each network has but one boundary sample.
        if STUDENT not in corners:
            return []
        through = {"plane through both\nnetworks' boundary samples": sum(corners.values(), [])}
        points = [points[0], "the teacher's boundary sample", "the student's boundary sample"]

    networks = {
        name: (lambda pixels, network=network: network(move.normalizer.normalize(pixels)))
        for name, network in move.networks.items()
    }
    planes = []
    for name, found in through.items():
        three = torch.cat([base.float(), *found])
        try:
            plane = InputPlane.through(*three)
        except ValueError:  # They lie on a line.
            continue
        planes.append(Plane(name, plane_regions(plane, three, networks, GRID), classes, points))
    return planes


def draw_map(images, result, algorithm, normalizer, names):
    """What teacher and student make of clean and boundary samples."""
    rows = result.reached.nonzero().flatten()
    both = torch.cat([images.pixels.float(), result.inputs[rows]])
    inputs = normalizer.pad(normalizer.normalize(both))
    maps = {}
    for name, network in ((TEACHER, algorithm.teacher), ('student', algorithm.student)):
        found, shares = principal_components(embed(network, inputs).double().numpy())
        count = len(images.labels)
        maps[name] = EmbeddingMap(found[:count], found[count:], shares)
    return draw_embedding_map(maps, images.labels.tolist(), rows.tolist(), names)


def share(flags):
    """Some of all, as a text."""
    text = f'{int(flags.sum())} of {len(flags)}'
    return f'{text} ({flags.float().mean():.1%})' if len(flags) else text


def median(values):
    """The median as a text, which of an even number is the mean of the two in the middle."""
    return f'{values.quantile(0.5):.4g}' if len(values) else 'none'


def study(cfg, args):
    """The page's verdict, facts, notes, and figures by file name with title and text."""
    generator = torch.Generator().manual_seed(args.seed)
    set_random_seed(args.seed)
    algorithm = build(cfg, args)
    sampler, attack = boundary_sampler(cfg)
    pixels, labels, dataset = choose_images(cfg, args.num, generator)
    pixels, labels = pixels.to(args.device), labels.to(args.device)
    normalizer = Normalizer(algorithm.data_preprocessor)
    normalizer.check(pixels)
    classes = num_classes(algorithm.teacher)
    if classes:
        check_labels(labels, classes, 'visualize_boundary.py')

    def classifier(network, own=normalizer):
        fast = FoldedTeacher(network)
        if own is normalizer:
            return lambda inputs: fast(normalizer.pad(inputs))
        return lambda inputs: fast(own.pad(own.normalize(normalizer.denormalize(inputs))))

    networks = {TEACHER: classifier(algorithm.teacher), STUDENT: classifier(algorithm.student)}
    if args.compare:
        compared = compared_name(args)
        networks[compared] = classifier(*build_compared(args))
    move = Mover(sampler.attack, normalizer, networks)

    logits = {name: ask(network, normalizer, pixels) for name, network in networks.items()}
    widths = {name: found.size(1) for name, found in logits.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f'the networks do not have the same number of classes: {widths}')
    right = {name: found.argmax(1) == labels for name, found in logits.items()}
    if not right[TEACHER].any():
        raise ValueError(
            f'checkpoint: its teacher gets none of the {len(labels)} images right, so that there '
            'is no boundary to show: is it of this config, and the data that of the training?'
        )
    kept = right[TEACHER]
    logits = {name: found[kept] for name, found in logits.items()}
    pixels, labels = pixels[kept], labels[kept]
    targets = sampler.choose_targets(logits[TEACHER], labels, generator)
    images = Images(pixels, labels, logits, targets)
    count = max(num_classes(algorithm.teacher) or 0, logits[TEACHER].size(1))
    known = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    names = [str(known[c]) if c < len(known) else str(c) for c in range(count)]

    result = move(TEACHER, pixels, labels, targets)
    # Those that the student gets right too, so that both are asked the same.
    both = right[STUDENT][kept]
    own = move(STUDENT, pixels[both], labels[both], targets[both])
    lengths = distances(pixels, result.inputs).cpu()
    far = {
        TEACHER: lengths[(both & result.reached).cpu()],
        STUDENT: distances(pixels[both], own.inputs)[own.reached].cpu(),
    }
    probabilities = result.logits[result.reached].softmax(1)
    base, target = (
        probabilities.gather(1, classes[result.reached][:, None])[:, 0]
        for classes in (labels, targets)
    )
    # Boundary samples of images that all networks get right, and whether a student takes them for
    # the class across the boundary.
    asked = result.reached & torch.stack([found[kept] for found in right.values()]).all(0)

    def follows(name):
        if not asked.any():  # Not every network takes an empty batch.
            return asked[asked].cpu().numpy()
        found = ask(networks[name], normalizer, result.inputs[asked]).argmax(1) == targets[asked]
        return found.cpu().numpy()

    known_both = len(far[TEACHER]) and len(far[STUDENT])
    verdict = boundary_verdict(
        follows(STUDENT),
        float(far[STUDENT].quantile(0.5) / far[TEACHER].quantile(0.5)) if known_both else None,
        *((follows(compared), f'the {compared}') if args.compare else ()),
    )
    facts = {
        'config': args.config,
        'checkpoint': args.checkpoint,
        **({COMPARED: ', '.join(args.compare)} if args.compare else {}),
        'images': f'{len(kept)} of the validation data, drawn with seed {args.seed}',
        **{f'{name}: right': share(found) for name, found in right.items()},
        'attack': f'{dict(attack)}, on images that the teacher gets right',
        'teacher: moved to the target class': share(result.reached),
        f'{STUDENT}: moved to the target class': share(own.reached),
        "teacher's boundary samples: median |p(base) - p(target)|": median((base - target).abs()),
        **{f'{name}: median distance ({UNIT})': median(found) for name, found in far.items()},
    }
    notes = []
    if not result.reached.any():
        notes.append(
            'The attack moved no image to its target class: there are no boundary samples to '
            'show. A teacher whose logits do not change with the image has no boundary.'
        )
    if not both.any():
        notes.append('The student gets none of these images right: it has no distances.')

    suitable = next(
        rows for rows in (both & result.reached, result.reached, kept[kept]) if rows.any()
    )
    shown = first_of_each_class(labels, suitable, COLUMNS)
    figures = {}
    panel = draw_panel(images, result, shown, normalizer, networks, names)
    figures['boundary_samples'] = 'Boundary samples', panel, PANEL_TEXT
    for number, row in enumerate(shown, 1):
        if len(figures) > PLANES:
            break
        planes = planes_of(row, images, move, names)
        if planes:
            title = f'Decision regions around sample {number}'
            figure = draw_decision_regions(planes, names, UNIT, title)
            # One says how all are read.
            text = PLANE_TEXT if len(figures) == 1 else ''
            figures[f'decision_regions_{number}'] = title, figure, text
    if len(figures) == 1:
        notes.append(
            'There is no picture of decision regions: none of the samples could be moved to the '
            'boundaries with two classes, which, with the sample, make a plane.'
        )
    figures['embeddings'] = (
        'Embeddings',
        draw_map(images, result, algorithm, normalizer, names),
        MAP_TEXT,
    )
    drawn = {name: found.numpy() for name, found in far.items()}
    figures['distances'] = 'Distances', draw_distances(drawn, UNIT), DISTANCE_TEXT
    return verdict, facts, notes, figures


def check_folder(out):
    """Raise ``OSError`` if the pictures could not be written into a folder, which may not exist."""
    found = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not (found.is_dir() and os.access(found, os.W_OK)):
        raise OSError(
            f'--out: no pictures can be written to {out}: {found} is no folder to write to'
        )


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
    try:
        cfg = read_config('config', args.config, args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmpretrain'))
        name = Path(args.config).stem
        out = args.out or Path('work_dirs') / name / 'boundary_pictures'
        # Before the work, which would be for nothing.
        check_folder(out)
        verdict, facts, notes, figures = study(cfg, args)
    except (OSError, KeyError, TypeError, ValueError) as error:
        parser.error(str(error))

    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for file, (title, figure, text) in figures.items():
        pictures.append(Picture(title, to_png(figure), text))
        (out / f'{file}.png').write_bytes(pictures[-1].png)
    page = html_page(f'Decision boundaries of {name}', verdict, facts, notes, pictures)
    (out / 'index.html').write_text(page, encoding='utf-8')
    for line in [*verdict, *(f'{key}: {value}' for key, value in facts.items()), *notes]:
        print(line)
    print(f'{len(pictures)} pictures, and all of them in one file: {out / "index.html"}')


if __name__ == '__main__':
    main()
