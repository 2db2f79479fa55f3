"""Pictures of a study, whose numbers are found again in them."""

import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from amkd_mm.algorithms.trained import load_distillation
from amkd_mm.analysis import (
    BoundaryPlane,
    boundary_notes,
    draw_validation_images,
    study_boundary,
)
from amkd_mm.attacks import BoundarySearch
from amkd_mm.attacks.targets import sample_target
from amkd_mm.samplers import BoundarySampler
from amkd_mm.visualization import compared_name, draw_boundary_figures
from amkd_mm.visualization.boundary_figures import name_plane
from digit_distillation import CONFIG


def test_what_is_drawn(distillation):
    """The numbers in the pictures, and the coordinates of what they are about."""
    generator = torch.Generator().manual_seed(3)
    cfg = Config.fromfile(CONFIG)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = load_distillation(cfg, 'checkpoint', str(distillation[0] / 'epoch_2.pth'))
        images = draw_validation_images(cfg, 60, generator, 'a test')
        sampler = BoundarySampler(BoundarySearch(), 0.25, sample_target)
        study = study_boundary(algorithm, sampler, images, generator, planes=1, grid=21)
    assert not boundary_notes(study)
    drawn = draw_boundary_figures(study)
    figures = {one.file: one.figure for one in drawn}
    # One text for each kind of picture.
    assert all(one.text for one in drawn if not one.file.startswith('decision'))
    assert [name for name in figures if not name.startswith('decision')] == [
        'boundary_samples',
        'embeddings',
        'distances',
    ]
    # In the teacher's own plane, it decides for the base class at the base sample.
    name = next(name for name in figures if name.startswith('decision'))
    figure = figures[name]
    assert len(figure.axes) in (2, 4)
    axes = figure.axes[0]
    base, star, triangle = (line.get_xydata()[0] for line in axes.lines)
    assert base.tolist() == [0, 0] and star[1] == pytest.approx(0, abs=1e-6)
    image = axes.images[0]
    low, high = image.get_extent()[:2]
    index = int((0 - low) / (high - low) * 21), int(-image.get_extent()[2] / (high - low) * 21)
    tint = image.to_rgba(image.get_array())[index[1], index[0], :3]
    patch, *_ = figure.legends[0].get_patches()
    assert tint == pytest.approx(patch.get_facecolor()[:3])
    label = figure.legends[0].get_texts()[0].get_text()
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f'base sample, class {label}' in entries

    # The boundary sample is as far away as the panel says, and the histogram holds it.
    panel = figures['boundary_samples']
    column = int(name.rpartition('_')[2]) - 1
    columns = len(panel.axes) // 5
    length = float(re.search(r'L2 = (\d+)', panel.axes[2 * columns + column].get_xlabel())[1])
    assert star[0] == pytest.approx(length, abs=0.6)
    histogram = figures['distances']
    labels = [text.get_text() for text in histogram.axes[0].get_legend().get_texts()]
    median = np.median(study.distances['teacher'])
    assert float(labels[0].rpartition(' ')[2]) == pytest.approx(median, rel=0.01)


def test_planes_have_names():
    """Of whose boundary samples they are, and towards which classes."""
    classes = ['cat', 'dog', 'frog']
    plane = name_plane(BoundaryPlane(('student',), None, [2, 0, 1]), classes)
    assert plane.name == "plane through the\nstudent's boundary samples"
    assert plane.points == [
        'base sample, class frog',
        'boundary sample towards cat',
        'boundary sample towards dog',
    ]
    both = name_plane(BoundaryPlane(('teacher', 'student'), None, [1, 0]), classes)
    assert both.name == "plane through both\nnetworks' boundary samples"
    assert both.points[1:] == ["the teacher's boundary sample", "the student's boundary sample"]


@pytest.mark.parametrize(
    'other, name',
    [
        (('configs/kd_a_b.py', 'x/epoch_9.pth'), 'compared student (kd)'),
        (('configs/amkd_a_b.py', 'x/epoch_9.pth'), 'compared student (epoch_9)'),
        (('configs/amkd_a_b.py', 'y/epoch_2.pth'), 'compared student'),
    ],
)
def test_name_of_a_compared_student(other, name):
    assert compared_name(('configs/amkd_a_b.py', 'x/epoch_2.pth'), other) == name
