"""Compare the registered boundary attacks with the published loop: time, closeness, success.

``python tools/analysis_tools/benchmark_attack.py CONFIG CHECKPOINT`` attacks validation images that
the classifier gets right and prints a Markdown table. CONFIG is that of the teacher alone. As in
training, the registered attacks ask a ``FoldedTeacher``; those marked "teacher as it is" and
the published loop ask the classifier itself. ``--curves`` also prints how time grows with samples
and with steps.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

if __name__ == '__main__':
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

# First, because it makes MMRazor importable on current PyTorch.
import amkd_mm  # noqa: F401

import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmpretrain.registry import MODELS

from amkd_mm.attacks import BoundarySearch, BSSAttack, attack_names, build_attack
from amkd_mm.attacks.targets import sample_target
from amkd_mm.checkpoints.distillation import load_all
from amkd_mm.checkpoints.files import read_checkpoint
from amkd_mm.checkpoints.fit import choose, weights_in
from amkd_mm.classifiers.activation_checkpointing import disable_checkpointing
from amkd_mm.cli.downloads import explain_failed_downloads
from amkd_mm.config.model_settings import model_settings
from amkd_mm.config.reading import read_config
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.teachers.folded_teacher import FoldedTeacher

PUBLISHED = 'published BSS loop'
NEWTON = 'Newton, 2% overshoot'
# With hardly a step no sample leaves its class; with hardly a tolerance none is close enough.
ENDLESS = dict(
    BSSAttack=lambda steps: BSSAttack(step_size=1e-9, num_steps=steps),
    BoundarySearch=lambda steps: BoundarySearch(tolerance=1e-9, max_steps=steps),
)


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


def registered(attack):
    """A registered attack as a function from inputs to inputs."""
    return lambda *arguments: attack(*arguments).inputs


def attacks(classifier, fast):
    """All that is compared: name to attack and the model that it asks."""
    found = {PUBLISHED: (published_bss, classifier), NEWTON: (newton, classifier)}
    for name in attack_names():
        attack = registered(build_attack(dict(type=name)))
        found[f'{name}, teacher as it is'] = attack, classifier
        found[name] = attack, fast
    return found


class Counter:
    """A model that counts the samples it sees, and those it sees with gradients."""

    def __init__(self, model):
        self.model = model
        self.forward = self.gradient = 0

    def __call__(self, inputs):
        self.forward += len(inputs)
        self.gradient += len(inputs) * (inputs.requires_grad and torch.is_grad_enabled())
        return self.model(inputs)


def collect(classifier, dataloader, normalizer, number, device):
    """Normalised images that the classifier gets right, at most ``number``, and their labels."""
    inputs, labels = [], []
    for batch in dataloader:
        images = batch['inputs']
        images = images if isinstance(images, torch.Tensor) else torch.stack(images)
        x = normalizer.normalize(images.to(device))
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
    """Figures of an attack's results, recomputed from the model in full precision."""
    with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
        logits = model(moved)
    probabilities = logits.softmax(1)
    gap = probabilities.gather(1, labels[:, None]) - probabilities.gather(1, targets[:, None])
    gap = gap.abs().nan_to_num(1.0).flatten()
    return dict(
        probability_gap=gap.median().item(),
        probability_gap_90=gap.quantile(0.9).item(),
        reached=(logits.argmax(1) == targets).float().mean().item(),
        l2=(moved - inputs).flatten(1).norm(dim=1).nanmean().item(),
        broken=int((~torch.isfinite(moved)).flatten(1).any(1).sum()),
    )


def measure(classifier, fast, inputs, labels, targets, bounds, batch_size, repeats):
    """Run every attack in turn, ``repeats`` times after a warm-up.

    Returns:
        dict[str, dict]: Name of an attack to its figures; ``seconds`` is a list.
    """
    columns = zip(*(t.split(batch_size) for t in (inputs, labels, targets)), strict=True)
    batches = list(columns)
    table, published = {}, None
    for name, (attack, model) in attacks(classifier, fast).items():
        counter = Counter(model)
        moved, _ = run(attack, counter, batches, bounds)  # The warm-up
        published = moved if name == PUBLISHED else published
        apart = (moved - published).abs().flatten(1).amax(1)
        table[name] = dict(
            quality(classifier, inputs, labels, targets, moved),
            same=(apart <= 1e-4).float().mean().item(),
            forward=counter.forward / len(inputs),
            gradient=counter.gradient / len(inputs),
            seconds=[],
        )
    # In turn, so that a change of the machine's speed meets all of them.
    for _ in range(repeats):
        for name, (attack, model) in attacks(classifier, fast).items():
            table[name]['seconds'].append(run(attack, model, batches, bounds)[1])
    return table


def markdown(table, number):
    """The table as text."""
    lines = [
        '| attack | ms a sample (min to max) | relative to published | forward | gradient '
        '| probability gap, median | 90% of gaps below | reached | L2 | as published '
        '| not finite |',
        '| --- ' + '| ---: ' * 10 + '|',
    ]
    published = statistics.median(table[PUBLISHED]['seconds'])
    for name, row in table.items():
        median = statistics.median(row['seconds'])
        times = [1000 * s / number for s in (median, min(row['seconds']), max(row['seconds']))]
        lines.append(
            f'| {name} | {times[0]:.2f} ({times[1]:.2f} to {times[2]:.2f}) '
            f'| {median / published:.2f} | {row["forward"]:.1f} | {row["gradient"]:.1f} '
            f'| {row["probability_gap"]:.4f} | {row["probability_gap_90"]:.4f} '
            f'| {row["reached"]:.1%} | {row["l2"]:.2f} | {row["same"]:.1%} | {row["broken"]} |'
        )
    return '\n'.join(lines)


def curves(fast, inputs, labels, targets, bounds, repeats):
    """Time over the number of samples, and over the number of steps where none ends early.

    Returns:
        tuple[str, str]: Two Markdown tables.
    """
    by_samples, by_steps = {}, {}
    most = len(inputs)
    for name, build in ENDLESS.items():
        for number in sorted({max(1, most // part) for part in (16, 8, 4, 2, 1)}):
            batch = inputs[:number], labels[:number], targets[:number]
            by_samples[name, number] = registered(build_attack(dict(type=name))), batch
        for steps in (1, 2, 4, 8, 16):
            batch = inputs[:64], labels[:64], targets[:64]
            by_steps[name, steps] = registered(build(steps)), batch
    texts = []
    for unit, cases in (('samples', by_samples), ('steps', by_steps)):
        seconds = {case: [] for case in cases}
        for _ in range(repeats + 1):
            for case, (attack, batch) in cases.items():
                seconds[case].append(run(attack, fast, [batch], bounds)[1])
        lines = [f'| attack | {unit} | ms | ms / {unit} |', '| --- | ---: | ---: | ---: |']
        for (name, number), values in seconds.items():
            median = 1000 * statistics.median(values[1:])  # The first is the warm-up.
            lines.append(f'| {name} | {number} | {median:.1f} | {median / number:.2f} |')
        texts.append('\n'.join(lines))
    return tuple(texts)


def main():
    explain_failed_downloads()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the classifier')
    parser.add_argument('checkpoint', help='checkpoint of the classifier')
    parser.add_argument('--num-samples', type=int, default=512, help='images (default: 512)')
    parser.add_argument('--batch-size', type=int, default=64, help='default: 64, as in BSS')
    parser.add_argument('--repeats', type=int, default=5, help='counted runs (default: 5)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all choices (default: 0)')
    parser.add_argument('--amp', action='store_true', help='attack in mixed precision')
    parser.add_argument('--curves', action='store_true', help='time over samples and over steps')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the table there, too')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()

    try:
        cfg = read_config('config', args.config, args.cfg_options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    set_random_seed(args.seed)
    device = get_device()
    network = MODELS.build(model_settings(cfg)).to(device).eval()
    try:
        checkpoint = read_checkpoint('checkpoint', args.checkpoint)
        weights = choose(weights_in(checkpoint), network).weights
        load_all('checkpoint: it', network, weights, 'model')
    except (OSError, ValueError) as error:
        parser.error(str(error))
    disable_checkpointing(network)
    normalizer = Normalizer(network.data_preprocessor)

    folded_teacher = FoldedTeacher(network)

    def classifier(inputs):
        return network(normalizer.pad(inputs), mode='tensor')

    def fast(inputs):
        return folded_teacher(normalizer.pad(inputs))

    dataloader = Runner.build_dataloader(cfg.val_dataloader)
    inputs, labels = collect(classifier, dataloader, normalizer, args.num_samples, device)
    if not len(labels):
        parser.error('the classifier gets no validation image right: is CHECKPOINT its own?')
    with torch.no_grad():
        logits = torch.cat([classifier(x) for x in inputs.split(args.batch_size)])
    targets = sample_target(logits, labels, torch.Generator().manual_seed(args.seed))

    task = inputs, labels, targets, normalizer.bounds
    # float16 on GPUs, as MMEngine's AmpOptimWrapper; bfloat16 on CPUs.
    with torch.autocast(device, enabled=args.amp):
        table = measure(classifier, fast, *task, args.batch_size, args.repeats)
        growth = curves(fast, *task, args.repeats) if args.curves else ()
    machine = torch.cuda.get_device_name() if device == 'cuda' else platform.machine()
    print(
        f'{len(labels)} correctly classified images in batches of {args.batch_size}, targets from '
        f'the softmax; {args.repeats} runs after a warm-up, median; '
        f'{"mixed" if args.amp else "full"} precision, {machine}, {torch.get_num_threads()} '
        f'threads, torch {torch.__version__}\n'
    )
    print('\n\n'.join([markdown(table, len(labels)), *growth]))
    if args.json:
        figures = dict(attacks=table, samples=len(labels), batch_size=args.batch_size)
        args.json.write_text(json.dumps(figures), encoding='utf-8')


if __name__ == '__main__':
    main()
