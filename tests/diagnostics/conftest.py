"""What the tests of a check share."""

from argparse import ArgumentParser

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import DictAction

from amkd_mm.config.reading import read_config
from amkd_mm.datasets import Digits
from amkd_mm.diagnostics import check
from digit_networks import PREPROCESSOR, RESNET, ROOT, build


@pytest.fixture
def run():
    """Checks a config with options; gives whether there are problems, as 0 or 1, and the text."""

    def run(path, *options, batch_size=8):
        parser = ArgumentParser()
        parser.add_argument('--cfg-options', nargs='*', action=DictAction)
        parsed = parser.parse_args(['--cfg-options', *options]).cfg_options
        report = check(read_config('config', str(path), parsed), batch_size)
        return int(bool(report.problems)), f'{report}\n'

    return run


@pytest.fixture
def write(tmp_path):
    """Writes the config of a pair on digits."""

    def write(architecture=RESNET, teacher=RESNET, base='amkd', **settings):
        networks = dict(architecture=architecture, teacher=teacher)
        lines = [
            '_base_ = [',
            f"    '{ROOT}/configs/_base_/datasets/digits_bs64.py',",
            f"    '{ROOT}/configs/_base_/distillers/{base}.py']",
        ]
        for key, network in networks.items():
            networks[key] = dict(network, _scope_='mmpretrain')
        lines.append(f'model = dict(**{networks}, **{settings.pop("model", {})})')
        lines += [f'{key} = {value}' for key, value in settings.items()]
        path = tmp_path / 'pair.py'
        path.write_text('\n'.join(lines))
        return path

    return write


@pytest.fixture
def save(tmp_path):
    """Saves weights of a network as they are drawn."""

    def save(network, name='teacher.pth'):
        torch.manual_seed(0)
        model = build(network)
        # No zeros, which those of some heads are at first.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.1)
        torch.save(dict(state_dict=model.state_dict()), tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """A teacher that knows the digits, a ResNet8."""
    torch.manual_seed(0)
    model = build(dict(RESNET, data_preprocessor=PREPROCESSOR)).train()
    data = Digits(pipeline=[])
    images = torch.stack([torch.from_numpy(item['img']).permute(2, 0, 1) for item in data])
    labels = torch.tensor([item['gt_label'] for item in data])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / 12)
    for _ in range(12):
        for rows in torch.randperm(len(labels)).split(64):
            # Cropped as those of the config.
            top, left = torch.randint(0, 3, (2,)).tolist()
            batch = F.pad(images[rows], (1,) * 4)[..., top : top + 8, left : left + 8]
            logits = model((batch - 78.0) / 96.0, mode='tensor')
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[rows]).backward()
            optimizer.step()
        schedule.step()
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path
