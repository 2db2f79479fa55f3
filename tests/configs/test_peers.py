"""Of every other method but a few: its losses are those of the papers."""

from pathlib import Path

import amkd_mm  # noqa: F401
from amkd_mm import compat

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from scipy import stats
from torch import nn

compat.apply()

ROOT = Path(__file__).resolve().parents[2]
BATCH = 4


def load(path):
    """The config, without the checkpoints that it needs."""
    cfg = Config.fromfile(path)
    init_default_scope('mmpretrain')
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    cfg.model.pop('init_cfg', None)
    if 'teacher' in cfg.model:
        cfg.model.teacher_ckpt = None
    for teacher in cfg.model.get('teachers', {}).values():
        teacher.pop('ckpt_path')
    crd = cfg.model.distiller.distill_losses.get('loss_crd')
    if crd:
        crd.update(sample_n=BATCH, neg_num=8)
    return cfg


def data_of(batch):
    """A batch of Digits as the dataloader gives it."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (batch, 3, 8, 8), generator=generator).byte()
    samples = [
        DataSample(metainfo=dict(sample_idx=index)).set_gt_label(index % 3)
        for index in range(batch)
    ]
    return dict(inputs=list(inputs), data_samples=samples)


@pytest.mark.parametrize('method', ['factor_transfer', 'abloss'])
def test_second_stage_begins_with_the_first(method, tmp_path):
    first, second = sorted((ROOT / 'configs' / method).glob('*_digits_*.py'))
    torch.manual_seed(0)
    pretrained = MODELS.build(load(first).model)
    pretrained.init_weights()
    path = tmp_path / 'first.pth'
    save_checkpoint(dict(state_dict=pretrained.state_dict()), str(path))

    cfg = Config.fromfile(second)
    folder, name = Path(cfg.model.init_cfg.checkpoint).parts[-2:]
    assert (folder, name) == (
        first.stem,
        f'epoch_{Config.fromfile(first).train_cfg.max_epochs}.pth',
    )
    cfg.model.update(teacher_ckpt=None)
    cfg.model.init_cfg.checkpoint = str(path)
    model = MODELS.build(cfg.model)
    model.init_weights()
    state = pretrained.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name], msg=name)
    assert any(name.startswith('distiller.') for name in state)


# --- The losses -----------------------------------------------------------------------------------


@pytest.fixture
def run():
    """Build the Digits pair of a method, make a step, and return it with its losses and records."""

    def step(method, stage='', **fields):
        (path,) = (ROOT / 'configs' / method).glob(f'*_digits{stage}.py')
        torch.manual_seed(0)
        model = MODELS.build(load(path).model).double()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.5)
                nn.init.normal_(module.bias, 0, 0.5)
        if method == 'ofd':
            model.distiller.init_ofd_connectors(model.teacher)
        model.train()
        data = data_of(6)
        for index, sample in enumerate(data['data_samples']):
            for name, values in fields.items():
                sample.set_field(values[index], name)
        inputs = torch.randn(6, 3, 8, 8).double()
        losses = model.loss(inputs, data['data_samples'])
        return model, losses, Records(model)

    return step


class Records:
    """What the recorders hold, and after the connector of that name."""

    def __init__(self, model):
        self.distiller = model.distiller

    def __call__(self, side, name, connector=None):
        recorders = getattr(self.distiller, f'{side}_recorders')
        record = recorders.get_recorder(name).get_record_data()
        record = record[0] if isinstance(record, tuple) else record
        if connector:
            record = self.distiller.connectors[connector](record)
        return record.detach().numpy()


def softmax(row):
    exp = np.exp(row - row.max())
    return exp / exp.sum()


def check(loss, expected, rel=1e-5):
    assert expected > 0
    assert loss.item() == pytest.approx(expected, rel=rel)


LABELS = [0, 1, 2, 0, 1, 2]


def divergence(target, source):
    return (target * np.log(target / source)).sum()


def test_dkd(run):
    _, losses, record = run('dkd')
    terms = []
    rows = zip(record('student', 'logits'), record('teacher', 'logits'), LABELS, strict=True)
    for *both, label in rows:
        student, teacher = (softmax(logits / 4) for logits in both)
        binary = [np.array([p[label], 1 - p[label]]) for p in (teacher, student)]
        others = [np.delete(p, label) / (1 - p[label]) for p in (teacher, student)]
        terms.append(4**2 * (divergence(*binary) + 2 * divergence(*others)))
    check(losses['distill.loss_dkd'], np.mean(terms))


def test_dist(run):
    _, losses, record = run('dist')
    student, teacher = (
        np.stack([softmax(row / 4) for row in record(side, 'logits')])
        for side in ('student', 'teacher')
    )

    def distance(a, b):
        return 1 - np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])

    expected = 2 * 4**2 * (distance(student, teacher) + distance(student.T, teacher.T))
    # MMRazor adds 1e-8 to products of tiny deviations.
    check(losses['distill.loss_dist'], expected, rel=1e-4)


def huber(x):
    return 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5


def test_rkd(run):
    _, losses, record = run('rkd')
    both = []
    for side in ('student', 'teacher'):
        rows = record(side, 'embedding')
        both.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    places = range(6)

    def distances(rows):
        found = np.array([[np.linalg.norm(rows[i] - rows[j]) for j in places] for i in places])
        return found / found[~np.eye(6, dtype=bool)].mean()

    terms = [huber(x) for x in (distances(both[0]) - distances(both[1])).flatten()]
    check(losses['distill.loss_distance'], 25 * np.mean(terms))

    def angle(rows, i, j, k):
        if j in (i, k) or i == k == j:
            return 0
        one, two = rows[i] - rows[j], rows[k] - rows[j]
        return one @ two / np.linalg.norm(one) / np.linalg.norm(two)

    triplets = [(i, j, k) for i in places for j in places for k in places]
    terms = [huber(angle(both[0], *t) - angle(both[1], *t)) for t in triplets]
    check(losses['distill.loss_angle'], 50 * np.mean(terms))


def test_wsld(run):
    _, losses, record = run('wsld')
    terms = []
    rows = zip(record('student', 'logits'), record('teacher', 'logits'), LABELS, strict=True)
    for student, teacher, label in rows:
        ratio = np.log(softmax(student)[label]) / np.log(softmax(teacher)[label])
        soft = -(softmax(teacher / 4) * np.log(softmax(student / 4))).sum()
        terms.append((1 - np.exp(-ratio)) * soft)
    check(losses['distill.loss_wsld'], 2.25 * 4**2 * np.mean(terms))


def rows_of_unit_length(maps):
    rows = maps.reshape(len(maps), -1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_at(run):
    _, losses, record = run('at')
    for stage in ('stage1', 'stage2', 'stage3'):
        student, teacher = (
            rows_of_unit_length((record(side, stage) ** 2).mean(1))
            for side in ('student', 'teacher')
        )
        check(losses[f'distill.loss_{stage}'], 1000 / 16 * ((student - teacher) ** 2).mean())


def test_fitnets(run):
    _, losses, record = run('fitnets')
    for hint in ('hint1', 'hint2'):
        student = rows_of_unit_length(record('student', hint, hint))
        teacher = rows_of_unit_length(record('teacher', hint))
        check(losses[f'distill.loss_{hint}'], 10 * ((student - teacher) ** 2).sum() / 6)
    terms = []
    for both in zip(record('teacher', 'logits'), record('student', 'logits'), strict=True):
        terms.append(divergence(*(softmax(logits / 4) for logits in both)))
    check(losses['distill.loss_kl'], 4**2 * np.mean(terms))


def test_factor_transfer(run):
    _, losses, record = run('factor_transfer', '_pretrain')
    original = rows_of_unit_length(record('teacher', 'last'))
    reconstruction = rows_of_unit_length(record('teacher', 'last', 'teacher'))
    expected = ((original - reconstruction) ** 2).sum() / 6
    check(losses['distill.loss_reconstruction'], expected)
    assert set(losses) == {'distill.loss_reconstruction'}

    _, losses, record = run('factor_transfer', '_train')
    factors = [rows_of_unit_length(record(s, 'last', s)) for s in ('student', 'teacher')]
    assert factors[0].shape[1] == 32 * 2 * 2
    check(losses['distill.loss_factor'], 200 * np.abs(factors[0] - factors[1]).mean())


def test_abloss(run):
    _, losses, record = run('abloss', '_pretrain')
    for place, weight in ((1, 1 / 4), (2, 1 / 2), (3, 1)):
        student = record('student', f'stage{place}', f'student{place}').flatten()
        teacher = record('teacher', f'stage{place}').flatten()
        assert (teacher < 0).any() and (teacher > 0).any()
        terms = [
            max(0, 1 - s) ** 2 if t > 0 else max(0, 1 + s) ** 2
            for s, t in zip(student, teacher, strict=True)
        ]
        check(losses[f'distill.loss_stage{place}'], weight * sum(terms) / 6 / 1000 * 3)
    assert not any(name.startswith('student.') for name in losses)


def test_ofd(run):
    model, losses, record = run('ofd')
    for place, weight in ((1, 1 / 4), (2, 1 / 2), (3, 1)):
        student = record('student', f'stage{place}', f'student{place}')
        teacher = record('teacher', f'stage{place}')
        block = getattr(model.teacher.backbone, f'layer{place}')[-1]
        total = 0
        for channel in range(teacher.shape[1]):
            mean, std = block.bn2.bias[channel].item(), abs(block.bn2.weight[channel].item())
            # The mean of what is below zero, in closed form by scipy.
            margin = -3 * std
            if stats.norm.cdf(-mean / std) > 0.001:
                margin = stats.truncnorm(-np.inf, -mean / std, mean, std).mean()
            pairs = zip(student[:, channel].flatten(), teacher[:, channel].flatten(), strict=True)
            for s, t in pairs:
                t = max(t, margin)
                total += (s - t) ** 2 if s > t or t > 0 else 0
        check(losses[f'distill.loss_stage{place}'], weight * total / 6 / 1000)


def keep_outputs(model, places, found, side=None):
    """Keep what the stages of a backbone give."""
    for place in places:

        def keep(module, inputs, output, key=(side, place)):
            found[key] = output.detach()

        getattr(model.backbone, f'layer{place}').register_forward_hook(keep)


def test_ofd_and_abloss_record_what_enters_the_last_activation(run):
    for method, stage in (('ofd', ''), ('abloss', '_pretrain')):
        model, _, record = run(method, stage)
        found = {}
        keep_outputs(model.teacher, (1, 2, 3), found)
        inputs = torch.randn(2, 3, 8, 8).double()
        with model.distiller.teacher_recorders, torch.no_grad():
            model.teacher(inputs, mode='tensor')
        for (_, place), output in found.items():
            before = record('teacher', f'stage{place}')
            assert np.allclose(before.clip(0), output.numpy())


@pytest.mark.parametrize('name', ['ofd', 'abloss_pretrain'])
def test_ofd_and_abloss_record_the_last_of_several_runs(name):
    networks = Config.fromfile(ROOT / 'configs/_base_/models/mmpretrain_resnet_in1k.py')
    path = ROOT / f'configs/_base_/distillers/{name}_resnet50_resnet18.py'
    cfg = dict(Config.fromfile(path).model)
    model = MODELS.build(dict(cfg, architecture=networks.resnet18, teacher=networks.resnet50))
    model.train()
    outputs = {}
    for side in ('student', 'teacher'):
        keep_outputs(getattr(model, side), (1, 2, 3, 4), outputs, side)
    samples = [DataSample().set_gt_label(label) for label in (0, 1)]
    model.loss(torch.randn(2, 3, 32, 32), samples)
    for (side, place), output in outputs.items():
        argument = 's_feature' if side == 'student' else 't_feature'
        record = model.distiller.loss_forward_mappings[f'loss_stage{place}'][argument]
        before = model.distiller.get_record(**dict(record, connector=None))
        torch.testing.assert_close(before.relu(), output)


def test_crd(run):
    size, negatives = 6, 5
    rng = np.random.RandomState(0)
    indices = np.hstack([np.arange(6)[:, None], rng.randint(0, size, (6, negatives))])
    method = ROOT / 'configs/crd'
    (path,) = method.glob('*_digits.py')
    cfg = load(path).model
    cfg.distiller.distill_losses.loss_crd.update(sample_n=size, neg_num=negatives)
    torch.manual_seed(0)
    model = MODELS.build(cfg).double().train()
    memory = model.distiller.distill_losses['loss_crd'].contrast
    before = memory.memory_v1.numpy().copy(), memory.memory_v2.numpy().copy()
    samples = data_of(6)['data_samples']
    for sample, found in zip(samples, indices, strict=True):
        sample.set_field(found, 'contrast_sample_idxs')
    losses = model.loss(torch.randn(6, 3, 8, 8).double(), samples)

    record = Records(model)
    embeddings = [record(side, 'embedding', side) for side in ('student', 'teacher')]
    total = 0
    # Each network's embeddings against the memory of the other, which is the second for students.
    for own, others in zip(embeddings, before[::-1], strict=True):
        scores = np.exp(
            [[e @ others[i] / 0.07 for i in row] for e, row in zip(own, indices, strict=True)]
        )
        scores /= scores.mean() * size
        noise = negatives / size
        h = scores / (scores + noise)
        total -= (np.log(h[:, 0]) + np.log(1 - h[:, 1:]).sum(1)).mean()
    check(losses['distill.loss_crd'].squeeze(), 0.8 * total)

    for old, own, new in zip(before, embeddings, (memory.memory_v1, memory.memory_v2), strict=True):
        update = (old + own) / 2
        assert np.allclose(new.numpy(), update / np.linalg.norm(update, axis=1, keepdims=True))


def test_byot_learns_from_itself_without_gradients(run):
    model, losses, record = run('byot')
    logits = record('teacher', 'logits')
    branch = model.distiller.connectors['stage1']
    stage = model.distiller.student_recorders.get_recorder('stage1').get_record_data()
    embedding, scores = (x.detach().numpy() for x in branch(stage))
    terms = [
        divergence(softmax(teacher / 3), softmax(student / 3))
        for teacher, student in zip(logits, scores, strict=True)
    ]
    check(losses['distill.loss_kl1'], 0.3 * 3**2 * np.mean(terms))
    labels = [-np.log(softmax(row)[label]) for row, label in zip(scores, LABELS, strict=True)]
    check(losses['distill.loss_label1'], 0.7 * np.mean(labels))
    distance = np.linalg.norm(embedding - record('teacher', 'embedding'))
    check(losses['distill.loss_embedding1'], 0.03 * distance)
    losses['distill.loss_kl1'].backward()
    assert model.student.head.fc.weight.grad is None
