"""The numbers of a study, computed anew from the checkpoint."""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS

from amkd_mm.algorithms.trained import load_distillation
from amkd_mm.analysis import (
    ComparedStudent,
    boundary_facts,
    boundary_notes,
    distances,
    draw_validation_images,
    move_to_boundary,
    study_boundary,
)
from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.targets import sample_target
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.samplers import BoundarySampler
from digit_distillation import CONFIG

ATTACK = dict(type='BoundarySearch')
SAMPLER = BoundarySampler(BoundarySearch(), 0.25, sample_target)


@pytest.fixture
def load(distillation):
    """The trained algorithm, with something changed."""

    def load(edit=lambda algorithm: None):
        cfg = Config.fromfile(CONFIG)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            path = str(distillation[0] / 'epoch_2.pth')
            algorithm = load_distillation(cfg, 'checkpoint', path)
        edit(algorithm)
        return algorithm

    return load


def draw(number, generator):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return draw_validation_images(Config.fromfile(CONFIG), number, generator, 'a test')


def study(algorithm, number=20, **settings):
    generator = torch.Generator().manual_seed(0)
    images = draw(number, generator)
    return study_boundary(
        algorithm, SAMPLER, images, generator, **{'planes': 1, 'grid': 11, **settings}
    )


def test_numbers_are_those_of_the_networks(load, distillation):
    """How many boundary samples the student follows, and how far they are, by plain passes."""
    found = study(load(), number=60, planes=0)
    cfg = Config.fromfile(CONFIG)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        settings = dict(teacher_ckpt=None, data_preprocessor=cfg.data_preprocessor.to_dict())
        algorithm = MODELS.build(dict(cfg.model.to_dict(), **settings))
    algorithm.load_state_dict(torch.load(distillation[0] / 'epoch_2.pth')['state_dict'])
    algorithm.eval()
    generator = torch.Generator().manual_seed(0)
    pixels, labels, names = draw(60, generator)
    assert found.class_names == names == [str(digit) for digit in range(10)]
    normalizer = Normalizer(algorithm.data_preprocessor)

    def ask(network, images):
        with torch.no_grad():
            return network(normalizer.normalize(images), mode='tensor')

    logits = ask(algorithm.teacher, pixels)
    kept = logits.argmax(1) == labels
    assert found.right['teacher'].tolist() == kept.tolist()
    pixels, labels, logits = pixels[kept], labels[kept], logits[kept]
    assert found.labels == labels.tolist()
    targets = sample_target(logits, labels, generator)
    moved = move_to_boundary(
        SAMPLER.attack,
        lambda x: algorithm.teacher(x, mode='tensor'),
        normalizer,
        pixels,
        labels,
        targets,
    )
    assert found.reached.tolist() == moved.reached.tolist()
    asked = moved.reached & (ask(algorithm.student, pixels).argmax(1) == labels)
    answers = ask(algorithm.student, moved.inputs[asked]).argmax(1)
    lengths = distances(pixels, moved.inputs)[asked]
    torch.testing.assert_close(found.distances['teacher'], lengths, rtol=1e-3, atol=0.1)
    (verdict,) = found.verdict
    number, follows = map(int, re.search(r'of (\d+) images .* takes (\d+) ', verdict).groups())
    assert number == int(asked.sum())
    assert follows == int((answers == targets[asked]).sum())
    # What is shown are the same samples, in the order of the first of each class.
    rows = [
        next(row for row, label in enumerate(found.labels) if label == shown and asked[row])
        for shown in found.samples.labels
    ]
    assert len(set(found.samples.labels)) == len(rows) == 6
    expected = normalizer.swap(pixels[rows]).permute(0, 2, 3, 1).numpy()
    assert (found.samples.images == expected).all()
    probabilities = ask(algorithm.student, moved.inputs[rows]).softmax(1).numpy()
    assert found.samples.moved_probabilities['student'] == pytest.approx(probabilities, abs=1e-3)


def test_compared_student_gets_its_own_normalisation(load):
    """The same weights are the same network by way of pixels and back, and another with others."""
    algorithm = load()
    own = Normalizer(algorithm.data_preprocessor)
    same = study(algorithm, compared=ComparedStudent('other', algorithm.student, own))
    assert same.right['other'].tolist() == same.right['student'].tolist()
    assert 'The two do not differ on any image' in same.verdict[1]
    other = Normalizer(algorithm.data_preprocessor)
    other.mean = torch.full_like(own.mean, 200.0)
    found = study(algorithm, compared=ComparedStudent('other', algorithm.student, other))
    assert found.right['other'].tolist() != found.right['student'].tolist()


def scale_scores(part, factor):
    """Changes what a network says: its scores times a factor."""

    def edit(algorithm):
        with torch.no_grad():
            for parameter in getattr(algorithm, part).head.fc.parameters():
                parameter *= factor

    return edit


def test_images_that_no_attack_can_move(load):
    """A head of zeros: always class 0, and no gradient."""
    found = study(load(scale_scores('teacher', 0)))
    facts, notes = boundary_facts(found, ATTACK), boundary_notes(found)
    assert facts['teacher: moved to the target class'].startswith('0 of ')
    assert facts["teacher's boundary samples: median |p(base) - p(target)|"] == 'none'
    assert len(notes) == 2 and 'moved no image to its target class' in notes[0]
    assert 'no picture of decision regions' in notes[1]
    assert not found.planes and not found.rows
    assert 'There is nothing to say' in found.verdict[0]


def test_networks_that_are_always_wrong(load):
    with pytest.raises(ValueError, match='its teacher gets none of the 4 images right'):
        study(load(scale_scores('teacher', -1)), number=4)
    found = study(load(scale_scores('student', -1)), number=4)
    facts, notes = boundary_facts(found, ATTACK), boundary_notes(found)
    assert facts['student: right'] == '0 of 4 (0.0%)'
    assert facts['student: moved to the target class'] == '0 of 0'
    assert 'The student gets none of these images right' in notes[0]
    assert facts['teacher: moved to the target class'].startswith(('1', '2', '3', '4'))


def test_networks_of_other_numbers_of_classes(load):
    algorithm = load()
    fewer = torch.nn.Linear(64, 5)
    other = load().student
    other.head.fc = fewer
    compared = ComparedStudent('other', other, Normalizer(algorithm.data_preprocessor))
    with pytest.raises(ValueError, match="same number of classes: {'teacher': 10"):
        study(algorithm, compared=compared)
