"""AMKD and its metrics on two processes against one, and the random choices of the processes.

Pytest runs this file as a script, which starts both processes of a distributed training.
"""

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import nn

from amkd_mm.algorithms import AMKD
from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.optim import SeparateMomentumOptimWrapper
from amkd_mm.optim.separate_momentum_optim_wrapper import find_used

ROOT = Path(__file__).resolve().parents[1]
NUM_CLASSES = 5
BATCH_SIZE = 8
STAY = dict(type='BSSAttack', num_steps=1, step_size=1e-6)


class SyncBatchNorm(nn.BatchNorm2d):
    """Waits for all processes in each forward pass while training, as PyTorch's does on GPUs."""

    def forward(self, inputs):
        if self.training:
            rows = torch.tensor(len(inputs))
            torch.distributed.all_reduce(rows)
        return super().forward(inputs)


class Backbone(BaseModule):
    """A network whose samples do not see each other.

    Batch norm would normalise each process's half of the batch on its own.
    """

    def __init__(self, norm):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten()
        )

    def forward(self, inputs):
        return (self.layers(inputs),)


def classifier(seed, norm=None):
    torch.manual_seed(seed)
    model = ImageClassifier(
        backbone=Backbone(norm or nn.GroupNorm(2, 8)),
        head=dict(
            _scope_='mmpretrain',
            type='LinearClsHead',
            num_classes=NUM_CLASSES,
            in_channels=32,
            init_cfg=None,
        ),
        data_preprocessor=dict(_scope_='mmpretrain', mean=[128.0] * 3, std=[64.0] * 3),
    )
    # More than noise between the classes.
    nn.init.normal_(model.head.fc.weight, std=1.0)
    # Or the Runner would draw new weights.
    model._is_init = True
    return model


def make_amkd(norm=None, connectors=None):
    """KD on clean and on boundary rows; a connector is used by the loss of the boundary rows."""

    def mapping(index):
        return dict(
            preds_S=dict(recorder='logits', from_student=True, record_idx=index),
            preds_T=dict(recorder='logits', from_student=False, record_idx=index),
        )

    logits = dict(logits=dict(type='Logits'))
    boundary = mapping(1)
    if connectors:
        boundary['preds_S']['connector'] = next(iter(connectors))
    return AMKD(
        teacher=classifier(0),
        architecture=classifier(1, norm),
        # Means over the samples of a process. A triplet loss would not do here: it compares the
        # samples of a batch, so that a half of it has other triplets.
        distiller=dict(
            _scope_='mmrazor',
            type='ConfigurableDistiller',
            student_recorders=logits,
            teacher_recorders=logits,
            distill_losses=dict(
                loss_kl=dict(type='KLDivergence', tau=3),
                loss_boundary=dict(type='KLDivergence', tau=3, loss_weight=2.0),
            ),
            connectors=connectors,
            loss_forward_mappings=dict(loss_kl=mapping(0), loss_boundary=boundary),
        ),
    )


class Images(torch.utils.data.Dataset):
    """Images that the teacher classifies correctly, because it made the labels."""

    METAINFO = dict()

    def __init__(self, teacher, repeat):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (BATCH_SIZE, 3, 6, 6), generator=generator)
        self.images = images.to(torch.uint8)
        self.repeat = repeat
        inputs = teacher.data_preprocessor(dict(inputs=self.images), False)['inputs']
        self.labels = teacher.eval()(inputs, mode='tensor').argmax(1).tolist()

    def __len__(self):
        return len(self.images) * self.repeat

    def __getitem__(self, index):
        index //= self.repeat
        sample = DataSample(metainfo=dict(sample_idx=index)).set_gt_label(self.labels[index])
        return dict(inputs=self.images[index], data_samples=sample)


class Spy(Hook):
    """Which images became boundary samples, and towards which class."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.drawn = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        (found,) = [h.samples for h in runner.hooks if isinstance(h, BoundarySampleHook)]
        if found is None:
            self.drawn.append([])
            return
        images = [data_batch['data_samples'][row].sample_idx for row in found.rows]
        self.drawn.append(list(zip(images, found.targets.tolist(), strict=True)))


class GradientKeeper(OptimWrapper):
    """Keeps the gradients of the step, which the Runner removes at once."""

    def __init__(self, model):
        super().__init__(torch.optim.SGD(model.student.parameters(), lr=1e-3))
        self.student = model.student

    def step(self, **kwargs):
        parameters = self.student.named_parameters()
        self.gradients = {name: parameter.grad.clone() for name, parameter in parameters}
        super().step(**kwargs)


def separate(model):
    """Each distillation loss has its own momentum."""
    groups = dict(
        clean=dict(losses=['distill.loss_kl'], momentum=0.8),
        boundary=dict(losses=['distill.loss_boundary'], momentum=0.5),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.3, weight_decay=1e-2)
    return SeparateMomentumOptimWrapper(optimizer, groups)


def make_runner(folder, name, distributed, **settings):
    """A Runner of one process, or of one of two."""
    return Runner(
        work_dir=str(folder / name),
        default_hooks=dict(checkpoint=None, logger=None, timer=None),
        default_scope='mmpretrain',
        launcher='pytorch' if distributed else 'none',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        cfg=dict(
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False
            )
        ),
        randomness=dict(seed=0),
        log_level='ERROR',
        experiment_name=name,
        **settings,
    )


def train(
    folder,
    name,
    distributed,
    batch_size,
    hook,
    epochs=1,
    repeat=1,
    make_wrapper=GradientKeeper,
    **model,
):
    """Train in a Runner: gradients of the last step, choices of all, mean losses of the last."""
    model = make_amkd(**model)
    wrapper, spy = make_wrapper(model), Spy()
    runner = make_runner(
        folder,
        name,
        distributed,
        model=model,
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            dataset=Images(model.teacher, repeat),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=wrapper,
        custom_hooks=[{'type': 'mmrazor.BoundarySampleHook', **hook}, spy],
    )
    runner.train()
    assert hasattr(runner.model, 'module') == distributed
    scalars = runner.message_hub.log_scalars
    losses = {key: float(scalars[key].current()) for key in scalars if 'loss' in key}
    weights = {key: value.detach().clone() for key, value in model.named_parameters()}
    gradients = getattr(wrapper, 'gradients', None)
    return dict(gradients=gradients, drawn=spy.drawn, losses=losses, weights=weights)


class Evaluations(Hook):
    """Keeps the metrics of a validation, which MMRazor's loop does not return."""

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


def validate(folder, name, distributed):
    """Validate on an odd number of images: one process gets one of them again."""
    model, evaluations = make_amkd(), Evaluations()
    images = Images(model.teacher, 1)
    images.images = images.images[:7]
    runner = make_runner(
        folder,
        name,
        distributed,
        model=model,
        val_dataloader=dict(
            batch_size=3,
            num_workers=0,
            dataset=images,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
        val_evaluator=[
            dict(type='ExpectedCalibrationError', collect_dir=str(folder / f'{name}-ece')),
            *(
                dict(type=kind, num_samples=5, collect_dir=str(folder / f'{name}-{kind}'))
                for kind in ('BoundarySimilarity', 'Agreement')
            ),
        ],
        custom_hooks=[dict(type='mmrazor.MetricAlgorithmHook'), evaluations],
    )
    runner.val()
    return evaluations.metrics


def work(rank, folder):
    """One process of two."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    # All rows are attacked and reached, so that both processes have as many boundary samples.
    everything = dict(
        attack=dict(type='BoundarySearch'),
        num_samples=1.0,
        target='runner_up',
        student_correct=False,
    )
    apart = dict(epochs=3, make_wrapper=separate)
    found = dict()
    if rank == 0:
        found['single'] = train(folder, 'single', False, BATCH_SIZE, everything)
        found['metrics of one'] = validate(folder, 'one', False)
        found['plain'] = train(folder, 'plain', False, BATCH_SIZE, dict(attack=STAY, end=0))
        found['separate_single'] = train(
            folder, 'separate_single', False, BATCH_SIZE, everything, **apart
        )

    # A process whose peer failed gives up.
    torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=120))
    found['half'] = train(folder, 'half', True, BATCH_SIZE // 2, everything)
    found['separate_half'] = train(
        folder, 'separate_half', True, BATCH_SIZE // 2, everything, **apart
    )
    # A parameter that one process uses, as where AMKD does not touch all, and one that none uses.
    gradients = [[None, torch.ones(1) if rank else None, None], [torch.ones(1), None, None]]
    found['used'] = find_used(gradients, torch.device('cpu'))
    found['metrics of two'] = validate(folder, 'two', True)
    # Every image comes twice in a row, so both processes have the same ones.
    choices = dict(
        attack=STAY, num_samples=3, target='random', student_correct=False, keep_unreached=True
    )
    for name in ('first', 'second'):
        found[name] = train(folder, name, True, BATCH_SIZE, choices, epochs=4, repeat=2)
    # Only the first process has boundary samples.
    one_sided = dict(attack=STAY, num_samples=3, student_correct=False, keep_unreached=rank == 0)
    projection = dict(
        type='TorchNNConnector',
        module_name='Linear',
        module_args=dict(in_features=NUM_CLASSES, out_features=NUM_CLASSES),
    )
    uneven = dict(epochs=3, connectors=dict(projection=projection))
    found['uneven'] = train(folder, 'uneven', True, BATCH_SIZE, one_sided, **uneven)
    found['separate_uneven'] = train(
        folder, 'separate_uneven', True, BATCH_SIZE, one_sided, make_wrapper=separate, **uneven
    )
    uneven['norm'] = SyncBatchNorm(8)
    found['synchronised'] = train(folder, 'synchronised', True, BATCH_SIZE, one_sided, **uneven)
    one_and_three = dict(one_sided, num_samples=1 + 2 * rank, keep_unreached=True)
    found['one_and_three'] = train(
        folder, 'one_and_three', True, BATCH_SIZE, one_and_three, **uneven
    )
    torch.save(found, folder / f'rank{rank}.pt')


def main(folder):
    """Start both processes; where possible without importing everything again."""
    torch.set_num_threads(1)
    method = 'fork' if sys.platform == 'linux' else 'spawn'
    torch.multiprocessing.start_processes(work, args=(folder,), nprocs=2, start_method=method)


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """What the two processes found."""
    folder = tmp_path_factory.mktemp('ddp')
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    environment = dict(
        os.environ,
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
        # Gloo works on CPUs.
        CUDA_VISIBLE_DEVICES='',
        PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
    )
    process = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return [torch.load(folder / f'rank{rank}.pt') for rank in range(2)]


def test_gradients_of_two_processes_are_those_of_one(results):
    single = results[0]['single']
    halves = [result['half'] for result in results]
    # Every image became a boundary sample, on one process or the other, with the same target.
    drawn = [sorted(half['drawn'][0]) for half in halves]
    assert len(drawn[0]) == len(drawn[1]) == BATCH_SIZE // 2
    assert sorted(drawn[0] + drawn[1]) == sorted(single['drawn'][0])
    assert len(single['drawn'][0]) == BATCH_SIZE

    for name, gradient in single['gradients'].items():
        scale = gradient.abs().max()
        assert scale > 0
        for half in halves:
            torch.testing.assert_close(
                half['gradients'][name], gradient, rtol=0, atol=1e-4 * scale.item()
            )
    for key, loss in single['losses'].items():
        # MMEngine logs the losses of each process.
        mean = sum(half['losses'][key] for half in halves) / 2
        assert mean == pytest.approx(loss, rel=1e-4)
        # The halves have other losses: a process that saw all images would be found out.
        assert halves[0]['losses'][key] != pytest.approx(loss, rel=1e-3)


def test_boundary_samples_contribute_to_those_gradients(results):
    """Or the other test would pass without them."""
    single, plain = results[0]['single'], results[0]['plain']
    assert single['losses']['train/distill.loss_boundary'] > 0
    assert 'train/distill.loss_boundary' not in plain['losses']
    for name, gradient in single['gradients'].items():
        difference = (plain['gradients'][name] - gradient).norm()
        assert difference > 0.01 * gradient.norm()


def test_processes_choose_differently_and_a_rerun_the_same(results):
    first = [result['first']['drawn'] for result in results]
    second = [result['second']['drawn'] for result in results]
    assert first == second
    assert all(len(drawn) == 3 for choices in first for drawn in choices)
    # The same images in the same order, so that equal generators would make equal choices.
    assert len(first[0]) == len(first[1]) == 4
    assert all(here != there for here, there in zip(*first, strict=True))


def test_boundary_samples_in_one_process_only(results):
    """The other does not use the connector, and the processes wait for its gradient."""
    losses = [result['uneven']['losses'] for result in results]
    assert 'train/distill.loss_boundary' in losses[0]
    assert 'train/distill.loss_boundary' not in losses[1]
    drawn = [result['uneven']['drawn'] for result in results]
    assert all(drawn[0]) and not any(drawn[1])


def test_momenta_of_two_processes_are_those_of_one(results):
    single = results[0]['separate_single']['weights']
    before = dict(make_amkd().named_parameters())
    moved = 0
    for name, weight in single.items():
        change = (weight - before[name]).abs().max().item()
        moved += change > 0
        for result in results:
            half = result['separate_half']['weights'][name]
            torch.testing.assert_close(half, weight, rtol=0, atol=1e-7 + 1e-3 * change)
    assert moved == len(dict(classifier(0).named_parameters()))


def test_momenta_where_only_one_process_uses_a_connector(results):
    first, second = (result['separate_uneven'] for result in results)
    assert all(first['drawn']) and not any(second['drawn'])
    assert any('connectors.projection' in name for name in first['weights'])
    for name, weight in first['weights'].items():
        assert torch.equal(weight, second['weights'][name]), name
    assert [result['used'] for result in results] == [[True, True, False]] * 2


def test_synchronised_batch_norm_gets_boundary_samples_in_all_processes_or_in_none(results):
    first, second = (result['synchronised'] for result in results)
    assert all(first['drawn']) and not any(second['drawn'])
    assert 'train/distill.loss_boundary' not in first['losses']
    for name, gradient in first['gradients'].items():
        assert torch.equal(gradient, second['gradients'][name])


def test_a_single_boundary_sample_and_synchronised_batch_norm(results):
    """It must not leave the other process waiting."""
    for rank, result in enumerate(results):
        drawn = result['one_and_three']['drawn']
        assert [len(each) for each in drawn] == [1 + 2 * rank] * len(drawn)
    first, second = (result['one_and_three']['gradients'] for result in results)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_metrics_of_two_processes_are_those_of_one(results):
    one = results[0]['metrics of one']
    assert one['agreement/boundary_images'] == 5
    assert 0 < one['boundary_similarity/images'] < 5
    assert 0 < one['agreement/clean'] < 100
    for result in results:
        assert result['metrics of two'] == pytest.approx(one, rel=1e-4)


if __name__ == '__main__':
    main(Path(sys.argv[1]))
