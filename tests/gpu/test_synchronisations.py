"""How often the host waits for the GPU, and how many kernels it launches."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from amkd_mm.attacks import BoundarySearch, BSSAttack
from amkd_mm.teachers.folded_teacher import FoldedTeacher

pytestmark = pytest.mark.cuda
ROOT = Path(__file__).resolve().parents[2]
# In a step besides its attack: each image batch and label that goes to the GPU, each loss that is
# logged, and the statistics of the boundary samples.
REST_OF_THE_STEP = 30


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / '.dev_scripts'))
    from gpu_check import trace

    return trace


@pytest.mark.parametrize('attack', [BoundarySearch(), BSSAttack()], ids=['search', 'bss'])
def test_attack_waits_once_a_step(attack, counting, trained, gpu, record_property):
    fast = FoldedTeacher(deepcopy(trained.teacher).to(gpu))
    inputs, labels = trained.images[:64].to(gpu), trained.labels[:64].to(gpu)
    bounds = torch.tensor(-0.9, device=gpu), torch.tensor(2.3, device=gpu)

    def choose(logits):
        return logits.scatter(1, labels[:, None], -float('inf')).argmax(1)

    attack(fast, inputs, labels, choose, bounds)
    with counting.synchronisations() as places:
        attack(fast, inputs, labels, choose, bounds)
    with counting.trace() as events:
        attack(fast, inputs, labels, choose, bounds)
    found = counting.figures(events, steps=1)
    record_property('synchronisations', places.number)
    record_property('kernels', round(found['kernels']))
    print(f'{places.number} synchronisations, {found["kernels"]:.0f} kernels')
    print('\n'.join(f'{number} {place}' for place, number in places.most_common()))
    most = getattr(attack, 'max_steps', None) or attack.num_steps
    assert places.number <= most + 3


class Counter:
    """Counts the synchronisations of a step, and the kernels of the next, all hooks included."""

    def __init__(self, counting, step):
        self.counting, self.step = counting, step
        self.open = None

    def begin(self, step):
        if step == self.step:
            self.open = self.counting.synchronisations()
            self.places = self.open.__enter__()
        elif step == self.step + 1:
            self.open = self.counting.trace()
            self.events = self.open.__enter__()

    def end(self):
        if self.open is not None:
            self.open.__exit__(None, None, None)
            self.open = None


class First(Hook):
    """Begins before all other hooks."""

    priority = 'HIGHEST'

    def __init__(self, counter):
        self.counter = counter

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.counter.begin(runner.iter)


class Last(Hook):
    """Ends after all other hooks."""

    priority = 'LOWEST'

    def __init__(self, counter):
        self.counter = counter

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.counter.end()


@pytest.mark.parametrize('method', ['amkd', 'bss', 'kd'])
def test_training_step(method, counting, digits, train, gpu, record_property):
    counter = Counter(counting, step=3)

    def prepare(runner):
        runner.register_hook(First(counter))
        runner.register_hook(Last(counter))

    run = train(digits(method), gpu, prepare)
    assert len(run.losses) == 8
    found = counting.figures(counter.events, steps=1)
    record_property('synchronisations', counter.places.number)
    record_property('kernels', round(found['kernels']))
    print(f'{counter.places.number} synchronisations, {found["kernels"]:.0f} kernels')
    print('\n'.join(f'{number} {place}' for place, number in counter.places.most_common()))
    attack = dict(amkd=BoundarySearch().max_steps + 3, bss=BSSAttack().num_steps + 3, kd=0)
    assert counter.places.number <= attack[method] + REST_OF_THE_STEP
