"""Recording several passes of one step, and what is left behind."""

import pytest
import torch
import torch.nn.functional as F
from mmrazor.models.task_modules.delivery import DistillDeliveryManager
from mmrazor.models.task_modules.recorder import RecorderManager
from torch import nn

from amkd_mm.recorders import record_known, record_nothing, recording
from amkd_mm.samplers import Samples

RELU = 'torch.nn.functional.relu'


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, inputs):
        return F.relu(self.layer(inputs))


def samples(count=2, logits=None):
    images, rows = torch.rand(count, 3), torch.arange(count)
    return Samples(images, images, rows, rows + 5, rows + 7, logits, {})


def initialized(network, **recorders):
    manager = RecorderManager(recorders)
    manager.initialize(network)
    return manager


def buffers(manager):
    return {name: recorder.data_buffer for name, recorder in manager.recorders.items()}


def test_records_of_passes_stand_one_behind_the_other():
    network = Network()
    manager = initialized(
        network,
        module=dict(type='ModuleOutputs', source='layer'),
        function=dict(type='FunctionOutputs', source=RELU),
        inputs=dict(type='FunctionInputs', source=RELU),
        weight=dict(type='Parameter', source='layer.weight'),
    )
    images = [torch.rand(rows, 3) for rows in (4, 2, 3)]
    for _ in range(2):
        with recording(manager):
            network(images[0])
        # Between the passes nothing is recorded.
        network(images[2])
        with recording(manager, samples()):
            network(images[1])
        network(images[2])
        record_nothing(manager, 2)
        with recording(manager, samples()):
            network(images[2])
        found = buffers(manager)
        assert len(found.pop('weight')) == 1
        for records in found.values():
            assert len(records) == 4 and records.pop(2) is None
        for row, inputs in enumerate(images):
            expected = network.layer(inputs)
            torch.testing.assert_close(found['module'][row], expected)
            torch.testing.assert_close(found['function'][row], expected.relu())
            torch.testing.assert_close(found['inputs'][row][0], expected)


@pytest.mark.parametrize('manager', [RecorderManager, DistillDeliveryManager])
def test_what_two_look_at_is_as_before_afterwards(manager):
    """MMRazor's managers leave the wrapper of the first one behind."""
    key = 'source' if manager is RecorderManager else 'func_path'
    settings = {'type': 'FunctionOutputs', key: RELU}
    if manager is DistillDeliveryManager:
        settings['max_keep_data'] = 4
    parts = manager({name: dict(settings) for name in ('first', 'second')})
    if manager is RecorderManager:
        parts.initialize(Network())
    before = F.relu
    with parts:
        assert F.relu is not before
    assert F.relu is before


def test_known_records():
    """Logits, labels and targets are known without a pass; the embedding is not."""
    known = {name: dict(type=name) for name in ('Logits', 'Labels', 'TargetClasses')}
    found = samples(logits=torch.rand(2, 4))
    manager = RecorderManager(known)
    assert record_known(manager, found)
    assert {name: buffer[0] is not None for name, buffer in buffers(manager).items()} == dict(
        Logits=True, Labels=True, TargetClasses=True
    )
    assert buffers(manager)['Logits'][0] is found.teacher_logits
    assert buffers(manager)['Labels'][0] is found.labels
    assert buffers(manager)['TargetClasses'][0] is found.targets

    for other, given in ((known, samples()), (dict(known, e=dict(type='Embedding')), found)):
        manager = RecorderManager(other)
        assert not record_known(manager, given)
        assert not any(buffers(manager).values())
