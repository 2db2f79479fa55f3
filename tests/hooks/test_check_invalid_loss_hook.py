"""CheckInvalidLossHook in real trainings that go wrong."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

RUNTIME = Path(__file__).parents[2] / 'configs/_base_/default_runtime.py'
DEFAULT = Config.fromfile(RUNTIME).default_hooks.invalid_loss


class Samples(Dataset):
    """Eight images; one pixel of one may be something else."""

    metainfo = {}

    def __init__(self, row=None, value=float('nan')):
        self.images = torch.ones(8, 3, 2, 2)
        if row is not None:
            self.images[row, 1, 0, 0] = value

    def __len__(self):
        return 8

    def __getitem__(self, row):
        return dict(inputs=self.images[row], row=row)


class Network(BaseModel):
    """Two losses, the second of which may be infinite from some step on."""

    def __init__(self, breaks_at=None):
        super().__init__()
        self.layer, self.step, self.breaks_at = nn.Linear(12, 1), 0, breaks_at

    def forward(self, inputs, row, mode):
        value = self.layer(inputs.flatten(1)).square().mean()
        other = value.detach() * 0
        if self.step == self.breaks_at:
            other = other + float('inf')
        self.step += 1
        return dict(loss_a=value, loss_b=other, accuracy=other * float('nan'))


def train(folder, network, data, lr=1e-3):
    runner = Runner(
        network,
        str(folder),
        train_dataloader=dict(
            batch_size=2,
            dataset=data,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=lr)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1), invalid_loss=DEFAULT
        ),
        experiment_name=folder.name,
    )
    runner.train()


def test_names_the_losses_and_the_step_and_leaves_the_last_good_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError) as caught:
        train(tmp_path, Network(breaks_at=6), Samples())
    text = str(caught.value)
    # Four steps an epoch.
    assert text.startswith('epoch 2, iteration 7: ')
    assert 'loss is inf' in text and 'loss_b is inf' in text and 'loss_a' not in text
    assert 'The images of this batch are finite: lower optim_wrapper.optimizer.lr' in text
    (saved,) = tmp_path.glob('*.pth')
    assert saved.name == 'epoch_1.pth'
    weights = torch.load(saved)['state_dict']
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_says_that_the_pixels_are_at_fault(tmp_path, value):
    with pytest.raises(FloatingPointError, match=r'epoch 1, iteration 3: .*loss_a is') as caught:
        train(tmp_path, Network(), Samples(row=5, value=value))
    assert 'The pixels of image 1 of the batch are not finite.' in str(caught.value)
    assert not list(tmp_path.glob('*.pth'))


def test_finite_losses_go_on_though_something_else_is_not(tmp_path):
    """The accuracy of this network is NaN, and says nothing of the training."""
    train(tmp_path, Network(), Samples())
    assert (tmp_path / 'epoch_3.pth').exists()


def test_learning_rate_that_explodes(tmp_path):
    with pytest.raises(FloatingPointError, match=r'loss_a is (inf|nan)'):
        train(tmp_path, Network(), Samples(), lr=1e12)
    assert not list(tmp_path.glob('*.pth'))
