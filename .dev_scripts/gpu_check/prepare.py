"""Images, networks that know them, and configs for the measurements: a program.

The networks are trained for some steps only: boundary samples are made of images that the teacher
gets right.
"""

import argparse
import io
import json
import tarfile
import time
from pathlib import Path

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from mmrazor.utils import register_all_modules
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    '32': dict(
        amkd='amkd/amkd_resnet26_resnet8_1xb256_cifar10-folder.py',
        bss='bss/bss_resnet26_resnet8_1xb256_cifar10-folder.py',
        kd='kd/kd_logits_resnet26_resnet8_1xb256_cifar10-folder.py',
        teacher='vanilla/resnet26_1xb256_cifar10-folder.py',
        student='vanilla/resnet8_1xb256_cifar10-folder.py',
    ),
    '224': dict(
        amkd='amkd/amkd_resnet50_resnet18_8xb32_in1k.py',
        bss='bss/bss_resnet50_resnet18_8xb32_in1k.py',
        kd='kd/kd_logits_resnet50_resnet18_8xb32_in1k.py',
        teacher='vanilla/resnet50_8xb32_in1k.py',
        student='vanilla/resnet18_8xb32_in1k.py',
    ),
}
CLASSES = 10


def unpack(archive, folder, most):
    """Unpack ``{train,test}/CLASS/FILE`` of an archive, wherever they are in it.

    Args:
        archive (str): Of any format of :mod:`tarfile`.
        folder (Path): Gets ``train`` and ``test``.
        most (int): Images of a class.

    Returns:
        dict[str, int]: Number of images of each part.
    """
    found = {}
    with tarfile.open(archive) as files:
        for member in files:
            parts = Path(member.name).parts[-3:]
            if not member.isfile() or len(parts) < 3 or parts[0] not in ('train', 'test'):
                continue
            found[parts[:2]] = found.get(parts[:2], 0) + 1
            if found[parts[:2]] <= most:
                path = folder.joinpath(*(Path(part).name for part in parts))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files.extractfile(member).read())
    return count(folder)


def make(folder, number, size):
    """Noisy images whose colour tells their class, as JPEG files.

    Args:
        folder (Path): Gets ``train/CLASS/NNNN.jpg`` and, a fifth as many, ``test/...``.
        number (int): Images of a class.
        size (int): Pixels of an edge.

    Returns:
        dict[str, int]: Number of images of each part.
    """
    random = np.random.default_rng(0)
    colours = random.integers(40, 216, (CLASSES, 3))
    for part, images in (('train', number), ('test', max(2, number // 5))):
        for label, colour in enumerate(colours):
            place = folder / part / f'class{label}'
            place.mkdir(parents=True, exist_ok=True)
            for index in range(images):
                noise = random.normal(0, 40, (8, 8, 3))
                small = Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8))
                small.resize((size, size), Image.BILINEAR).save(place / f'{index:04}.jpg')
    return count(folder)


def count(folder):
    """Number of images of each part."""
    return {part: len(list((folder / part).glob('*/*.jpg'))) for part in ('train', 'test')}


def load(folder, most, size, preprocessor):
    """Normalised images (N, 3, size, size), and labels, of the training part.

    The first of each class, then the second, and so on.
    """
    classes = [sorted(place.glob('*.jpg')) for place in sorted((folder / 'train').iterdir())]
    files = [(path, label) for label, paths in enumerate(classes) for path in paths[:most]]
    mean, std = (np.array(preprocessor[key], dtype=np.float32) for key in ('mean', 'std'))
    images = []
    for path, _ in files:
        image = Image.open(io.BytesIO(path.read_bytes())).convert('RGB')
        image = image if image.size == (size, size) else image.resize((size, size))
        images.append(torch.from_numpy((np.asarray(image) - mean) / std).permute(2, 0, 1))
    return torch.stack(images).float(), torch.tensor([label for _, label in files])


def train(network, images, labels, steps, batch_size, device):
    """Train a classifier for some steps; returns its accuracy on the images."""
    network.to(device).train()
    images, labels = images.to(device), labels.to(device)
    optimizer = torch.optim.Adam(network.parameters(), 0.002)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(images), (batch_size,), generator=generator).to(device)
        optimizer.zero_grad()
        F.cross_entropy(network(images[rows], mode='tensor'), labels[rows]).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        hits = [
            network(x, mode='tensor').argmax(1) == y
            for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True)
        ]
    return torch.cat(hits).float().mean().item()


def classifier(size, name):
    """A network's settings in full, with ten classes; those for ImageNet name a config instead."""
    settings = Config.fromfile(ROOT / 'configs' / CONFIGS[size][name]).model.to_dict()
    settings['head']['num_classes'] = CLASSES
    return dict(_delete_=True, _scope_='mmpretrain') | settings


def config_text(name, size, args):
    """The text of a config for the images made here."""
    data, network = args.folder / f'data{size}', CONFIGS[size][name]
    lines = [f"_base_ = ['{ROOT / 'configs' / network}']", '']
    if name in ('teacher', 'student'):
        model = f'model = {classifier(size, name)}'
    else:
        model = (
            f'model = dict(architecture={classifier(size, "student")}, '
            f'teacher={classifier(size, "teacher")}, '
            f"teacher_ckpt='{args.folder / f'teacher{size}.pth'}')\n"
            f"load_from = '{args.folder / f'student{size}.pth'}'"
        )
    lines += [
        'data_preprocessor = dict(num_classes=10)',
        model,
        'train_pipeline = _base_.train_pipeline',
        'test_pipeline = _base_.test_pipeline',
    ]
    if size == '224':
        pixels = args.large_size
        lines += [
            f'train_pipeline[1].update(scale={pixels})',
            f'test_pipeline[1].update(scale={pixels * 8 // 7})',
            f'test_pipeline[2].update(crop_size={pixels})',
        ]
    for use, part in (('train', 'train'), ('val', 'test')):
        lines += [
            f'{use}_dataloader = dict(',
            f'    batch_size={args.batch_size},',
            f'    num_workers={args.workers},',
            f'    persistent_workers={args.workers > 0},',
            "    collate_fn=dict(type='default_collate'),",
            '    dataset=dict(',
            "        _delete_=True, type='CustomDataset', with_label=True,",
            f"        data_root='{data}', data_prefix='{part}', pipeline={part}_pipeline,",
            '    ),',
            ')',
        ]
    return '\n'.join([*lines, 'test_dataloader = val_dataloader', ''])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--json', type=Path, required=True)
    parser.add_argument('--archive')
    parser.add_argument('--images', type=int, required=True, help='of a class')
    parser.add_argument('--large-images', type=int, required=True, help='of a class')
    parser.add_argument('--large-size', type=int, required=True)
    parser.add_argument('--batch-size', type=int, required=True)
    parser.add_argument('--steps', type=int, required=True)
    parser.add_argument('--large-steps', type=int, required=True)
    parser.add_argument('--large-batch-size', type=int, required=True)
    parser.add_argument('--workers', type=int, required=True)
    args = parser.parse_args()

    register_all_modules(False)
    # Not a line for each weight
    MMLogger.get_instance('gpu_check', log_level='ERROR')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    data = args.folder / 'data32'
    found = dict(data='made here', **{'images 32': None, 'images 224': None})
    if args.archive:
        found['data'] = Path(args.archive).name
        found['images 32'] = unpack(args.archive, data, args.images)
    else:
        found['images 32'] = make(data, args.images, 32)
    large = args.folder / 'data224'
    found['images 224'] = make(large, args.large_images, args.large_size * 8 // 7)
    tasks = (
        ('32', data, 1000, 32, args.steps, args.batch_size),
        ('224', large, 64, args.large_size, args.large_steps, args.large_batch_size),
    )
    for size, folder, most, pixels, steps, batch in tasks:
        for name in CONFIGS[size]:
            (args.folder / f'{name}{size}.py').write_text(config_text(name, size, args))
        images = None
        for name in ('teacher', 'student'):
            cfg = Config.fromfile(args.folder / f'{name}{size}.py')
            torch.manual_seed(0)
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                network = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
                network.init_weights()
            if images is None:
                images, labels = load(folder, most, pixels, cfg.data_preprocessor)
            began = time.monotonic()
            accuracy = train(network, images, labels, steps, batch, device)
            found[f'{name} {size} accuracy'] = round(accuracy, 3)
            print(
                f'{name} {size}: {accuracy:.1%} after {time.monotonic() - began:.1f} s', flush=True
            )
            prefix = '' if name == 'teacher' else 'architecture.'
            weights = {prefix + key: value.cpu() for key, value in network.state_dict().items()}
            torch.save(dict(state_dict=weights), args.folder / f'{name}{size}.pth')
        args.json.write_text(json.dumps(found))
    for name in ('teacher 32 accuracy', 'teacher 224 accuracy'):
        if found[name] < 0.15:
            raise SystemExit(f'{name} is {found[name]:.1%}: too low to make boundary samples')


if __name__ == '__main__':
    main()
