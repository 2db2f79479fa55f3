"""The same networks trained in bare PyTorch, for the time it takes: a program.

Distillation (cross entropy and the divergence of the logits) or the student alone, on a folder of
images by torchvision's loader and transforms, with as many workers.
"""

import argparse
import json
import time
from pathlib import Path

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from mmrazor.utils import register_all_modules
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder


def network(path, device):
    """The classifier of a config."""
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    return model.to(device)


def epoch(loader, student, teacher, optimizer, device):
    """Train for an epoch; returns the number of images."""
    images = 0
    for inputs, labels in loader:
        inputs, labels = (t.to(device, non_blocking=True) for t in (inputs, labels))
        optimizer.zero_grad()
        logits = student(inputs, mode='tensor')
        loss = F.cross_entropy(logits, labels)
        if teacher is not None:
            with torch.no_grad():
                goals = teacher(inputs, mode='tensor')
            loss = loss + 16 * F.kl_div(
                (logits / 4).log_softmax(1), (goals / 4).softmax(1), reduction='batchmean'
            )
        loss.backward()
        optimizer.step()
        images += len(labels)
    return images


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='of prepare.py')
    parser.add_argument('--json', type=Path, required=True)
    parser.add_argument('--alone', action='store_true', help='without a teacher')
    parser.add_argument('--epochs', type=int, required=True)
    parser.add_argument('--batch-size', type=int, required=True)
    parser.add_argument('--workers', type=int, required=True)
    args = parser.parse_args()

    register_all_modules(False)
    # Not a line for each weight
    MMLogger.get_instance('gpu_check', log_level='ERROR')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    student = network(args.folder / 'student32.py', device).train()
    teacher = None if args.alone else network(args.folder / 'teacher32.py', device).eval()
    cfg = Config.fromfile(args.folder / 'student32.py')
    mean, std = ([value / 255 for value in cfg.data_preprocessor[k]] for k in ('mean', 'std'))
    steps = [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    loader = DataLoader(
        ImageFolder(str(args.folder / 'data32/train'), transforms.Compose(steps)),
        args.batch_size,
        shuffle=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        pin_memory=device == 'cuda',
    )
    optimizer = torch.optim.SGD(student.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    rates = []
    for _ in range(args.epochs):
        began = time.perf_counter()
        images = epoch(loader, student, teacher, optimizer, device)
        if device == 'cuda':
            torch.cuda.synchronize()
        rates.append(round(images / (time.perf_counter() - began), 1))
        args.json.write_text(json.dumps(dict(rates=rates)))
        print(f'{rates[-1]} images a second', flush=True)


if __name__ == '__main__':
    main()
