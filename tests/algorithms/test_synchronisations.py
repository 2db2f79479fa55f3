"""How often a step of AMKD lets the host wait for a GPU, by the operators that run."""

from collections import Counter
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.targets import sample_target
from amkd_mm.samplers import BoundarySampler, SampleRequest
from amkd_mm.teachers.chance_check import BATCHES
from synchronisations import counted_synchronisations

CONFIG = Path(__file__).parents[2] / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'


def test_once_a_look_of_the_search_and_twice_a_step():
    """Once for how many samples there are, once for the labels of the student's loss."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.teacher_ckpt = None
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    search = BoundarySearch()
    sampler = BoundarySampler(search, 0.25, sample_target)
    model.samplers = [sampler]
    images = torch.randn(32, 3, 8, 8)
    labels = model.teacher(images, mode='tensor').argmax(1).tolist()
    samples = [DataSample().set_gt_label(label) for label in labels]

    def places(with_samples):
        if with_samples:
            model.request_samples(sampler, SampleRequest(0, (8, 8)))
        with counted_synchronisations() as found:
            losses = model.loss(images, samples)
            sum(value for name, value in losses.items() if 'loss' in name).backward()
        assert ('distill.loss_triplet' in losses) == with_samples
        counts = Counter()
        for place, number in found.where.items():
            counts[place.split(', ')[1].partition(':')[0]] += number
        return counts

    # The first batches tell whether the teacher guesses.
    for _ in range(BATCHES):
        model.loss(images, samples)
    assert not places(with_samples=False)
    places(with_samples=True)  # The bounds of valid inputs are checked once.
    found = places(with_samples=True)
    assert 2 <= found.pop('attacks/working_rows.py') < search.max_steps
    assert found == {'samplers/boundary_sampler.py': 1, 'algorithms/amkd.py': 1}
