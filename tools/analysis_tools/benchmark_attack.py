"""Compare the registered boundary attacks with the published loop: time, closeness, success.

``python tools/analysis_tools/benchmark_attack.py CONFIG CHECKPOINT`` attacks validation images that
the classifier gets right and prints a Markdown table. CONFIG is that of the teacher alone.
"""

import argparse
import platform
import statistics
import time

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

# isort: split
import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint, set_random_seed
from mmpretrain.registry import MODELS

from amkd_mm.attacks import attack_names, build_attack
from amkd_mm.hooks.boundary_sample_hook import sample_target
from amkd_mm.hooks.pixel_space import PixelSpace

PUBLISHED = 'published BSS loop'
NEWTON = 'Newton, 2% overshoot'


def published_bss(model, inputs, labels, targets, bounds, step_size=0.3, eps=1e-4, num_steps=10):
    """The loop of Heo et al. as they published it: whole batches, and no floor under the norm.

    It runs until no sample is left in its base class, over all samples, and computes gradients of
    the parameters too.
    """
    x = inputs.clone()
    for _ in range(num_steps):
        x.requires_grad_()
        logits = model(x)
        base = logits.gather(1, labels[:, None])
        target = logits.gather(1, targets[:, None])
        (base - target).sum().backward()
        going = logits.argmax(1) == labels
        if not going.any():
            break
        norm = x.grad.flatten(1).norm(dim=1)[:, None, None, None]
        length = step_size * ((base - target).detach() + eps)[..., None, None]
        step = going[:, None, None, None] * length * x.grad / norm
        x = torch.max(torch.min(x.detach() - step, bounds[1]), bounds[0])
    return x.detach()


def newton(model, inputs, labels, targets, bounds, overshoot=0.02, num_steps=10):
    """Plain targeted Newton steps on the logit margin, over whole batches."""
    x = inputs.clone()
    for _ in range(num_steps):
        x.requires_grad_()
        logits = model(x)
        margins = (logits.gather(1, labels[:, None]) - logits.gather(1, targets[:, None]))[:, 0]
        if not (margins > 0).any():
            break
        (gradient,) = torch.autograd.grad(margins.sum(), x)
        norm = gradient.flatten(1).square().sum(1)
        length = torch.where(margins > 0, (1 + overshoot) * margins / norm, 0 * norm)
        x = (x - length[:, None, None, None] * gradient).detach()
        x = torch.max(torch.min(x, bounds[1]), bounds[0])
    return x.detach()


def registered(name):
    """A registered attack with its defaults, as a function from inputs to inputs."""
    attack = build_attack(dict(type=name))
    return lambda *arguments: attack(*arguments).inputs


def attacks():
    """All that is compared: name to function."""
    ours = {name: registered(name) for name in attack_names()}
    return {PUBLISHED: published_bss, NEWTON: newton, **ours}


class Counter:
    """A model that counts the samples it sees, and those it sees with gradients."""

    def __init__(self, model):
        self.model = model
        self.forward = self.gradient = 0

    def __call__(self, inputs):
        self.forward += len(inputs)
        self.gradient += len(inputs) * (inputs.requires_grad and torch.is_grad_enabled())
        return self.model(inputs)


def collect(classifier, dataloader, space, number, device):
    """Normalised images that the classifier gets right, at most ``number``, and their labels."""
    inputs, labels = [], []
    for batch in dataloader:
        images = batch['inputs']
        images = images if isinstance(images, torch.Tensor) else torch.stack(images)
        x = space.normalize(images.to(device))
        y = torch.cat([sample.gt_label for sample in batch['data_samples']]).to(device)
        with torch.no_grad():
            correct = classifier(x).argmax(1) == y
        inputs.append(x[correct])
        labels.append(y[correct])
        if sum(map(len, labels)) >= number:
            break
    return torch.cat(inputs)[:number], torch.cat(labels)[:number]


def run(attack, model, batches, bounds):
    """Attack all batches; returns the results and the seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    results = [attack(model, *batch, bounds) for batch in batches]
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return torch.cat(results), time.perf_counter() - started


def quality(model, inputs, labels, targets, moved):
    """Figures of an attack's results, recomputed from the model."""
    with torch.no_grad():
        logits = model(moved)
    probabilities = logits.softmax(1)
    gap = probabilities.gather(1, labels[:, None]) - probabilities.gather(1, targets[:, None])
    gap = gap.abs().nan_to_num(1.0).flatten()
    return dict(
        gap=gap.median().item(),
        gap90=gap.quantile(0.9).item(),
        reached=(logits.argmax(1) == targets).float().mean().item(),
        l2=(moved - inputs).flatten(1).norm(dim=1).nanmean().item(),
        broken=int((~torch.isfinite(moved)).flatten(1).any(1).sum()),
    )


def measure(model, inputs, labels, targets, bounds, batch_size, repeats):
    """Run every attack in turn, ``repeats`` times after a warm-up.

    Returns:
        dict[str, dict]: Name of an attack to its figures; ``seconds`` is a list.
    """
    columns = zip(*(t.split(batch_size) for t in (inputs, labels, targets)), strict=True)
    batches = list(columns)
    table = {}
    for name, attack in attacks().items():
        counter = Counter(model)
        moved, _ = run(attack, counter, batches, bounds)  # The warm-up
        table[name] = dict(
            quality(model, inputs, labels, targets, moved),
            forward=counter.forward / len(inputs),
            gradient=counter.gradient / len(inputs),
            seconds=[],
        )
    # In turn, so that a change of the machine's speed meets all of them.
    for _ in range(repeats):
        for name, attack in attacks().items():
            table[name]['seconds'].append(run(attack, model, batches, bounds)[1])
    return table


def markdown(table, number):
    """The table as text."""
    lines = [
        '| attack | ms a sample (min to max) | of published | forward | gradient '
        '| gap median | gap 90% | reached | L2 | not finite |',
        '| --- ' + '| ---: ' * 9 + '|',
    ]
    published = statistics.median(table[PUBLISHED]['seconds'])
    for name, row in table.items():
        median = statistics.median(row['seconds'])
        times = [1000 * s / number for s in (median, min(row['seconds']), max(row['seconds']))]
        lines.append(
            f'| {name} | {times[0]:.2f} ({times[1]:.2f} to {times[2]:.2f}) '
            f'| {median / published:.2f} | {row["forward"]:.1f} | {row["gradient"]:.1f} '
            f'| {row["gap"]:.4f} | {row["gap90"]:.4f} | {row["reached"]:.1%} '
            f'| {row["l2"]:.2f} | {row["broken"]} |'
        )
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the classifier')
    parser.add_argument('checkpoint', help='checkpoint of the classifier')
    parser.add_argument('--num-samples', type=int, default=512, help='images (default: 512)')
    parser.add_argument('--batch-size', type=int, default=64, help='default: 64, as in BSS')
    parser.add_argument('--repeats', type=int, default=5, help='counted runs (default: 5)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all choices (default: 0)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()

    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    set_random_seed(args.seed)
    device = get_device()
    preprocessor = cfg.get('data_preprocessor')
    network = MODELS.build({**cfg.model, 'data_preprocessor': preprocessor}).to(device).eval()
    load_checkpoint(network, args.checkpoint, map_location='cpu', strict=True)
    space = PixelSpace(network.data_preprocessor)

    def classifier(inputs):
        return network(space.pad(inputs), mode='tensor')

    dataloader = Runner.build_dataloader(cfg.val_dataloader)
    inputs, labels = collect(classifier, dataloader, space, args.num_samples, device)
    if not len(labels):
        parser.error('the classifier gets no validation image right: is CHECKPOINT its own?')
    with torch.no_grad():
        logits = torch.cat([classifier(x) for x in inputs.split(args.batch_size)])
    targets = sample_target(logits, labels, torch.Generator().manual_seed(args.seed))

    table = measure(
        classifier, inputs, labels, targets, space.bounds, args.batch_size, args.repeats
    )
    machine = torch.cuda.get_device_name() if device == 'cuda' else platform.machine()
    print(
        f'{len(labels)} correctly classified images in batches of {args.batch_size}, targets from '
        f'the softmax; {args.repeats} runs after a warm-up, median; {machine}, '
        f'{torch.get_num_threads()} threads, torch {torch.__version__}\n'
    )
    print(markdown(table, len(labels)))


if __name__ == '__main__':
    main()
