"""`tools/analysis_tools/visualize_boundary.py` on a real run, and what it says of bad input."""

import os
import re
import subprocess
import sys
from base64 import b64decode
from html import unescape
from pathlib import Path

import amkd_mm  # noqa: F401

# isort: split
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import ClsDataPreprocessor
from mmrazor.registry import MODELS

from amkd_mm.attacks import BoundarySearch
from amkd_mm.data_preprocessors.normalizer import Normalizer

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py'
TOOL = ROOT / 'tools/analysis_tools/visualize_boundary.py'
TEACHER, STUDENT = 'teacher', 'student'
METRICS = ('accuracy/top1', 'teacher.accuracy/top1')
FILES = ['boundary_samples', 'decision_regions_1', 'embeddings', 'distances']


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The checkpoints of a short distillation, and its last validation."""
    folder = tmp_path_factory.mktemp('trained')
    teacher = Config.fromfile(ROOT / 'configs/vanilla/resnet26_1xb64_digits.py')
    student = Config.fromfile(CONFIG)
    student.model.teacher_ckpt = str(folder / 'teacher/epoch_4.pth')
    for name, cfg, epochs in (('teacher', teacher, 4), ('student', student, 2)):
        cfg.merge_from_dict(
            dict(
                work_dir=str(folder / name),
                train_cfg=dict(max_epochs=epochs, val_interval=epochs),
                param_scheduler=None,
                randomness=dict(seed=0),
            )
        )
        runner = Runner.from_cfg(cfg)
        runner.train()
    metrics = {name: runner.message_hub.get_scalar(f'val/{name}').current() for name in METRICS}
    return folder / 'student', metrics


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis_tools/visualize_boundary.py')


@pytest.fixture
def run(tool, trained, monkeypatch, capsys, tmp_path):
    """Runs the script on the trained checkpoint; gives its exit status and what it prints."""
    monkeypatch.setattr(tool, 'PLANES', 1)
    monkeypatch.setattr(tool, 'GRID', 11)

    def run(*arguments, config=CONFIG, checkpoint=None, number=20):
        arguments = [config, checkpoint or trained[0] / 'epoch_2.pth', *arguments]
        arguments += ['--out', tmp_path / 'out', '--num', number]
        monkeypatch.setattr(sys, 'argv', [TOOL.name, *map(str, arguments)])
        try:
            tool.main()
            status = 0
        except SystemExit as end:
            status = end.code
        output = capsys.readouterr()
        return status, ' '.join((output.out + output.err).split())

    return run


@pytest.fixture
def change(trained, tmp_path):
    """Saves the trained checkpoint with something changed."""

    def change(edit):
        checkpoint = torch.load(trained[0] / 'epoch_2.pth')
        edit(checkpoint['state_dict'])
        torch.save(dict(state_dict=checkpoint['state_dict']), tmp_path / 'changed.pth')
        return tmp_path / 'changed.pth'

    return change


def facts_of(folder):
    page = (folder / 'index.html').read_text(encoding='utf-8')
    rows = re.findall('<tr><th>(.*?)</th><td>(.*?)</td></tr>', page)
    return page, {unescape(name): unescape(value) for name, value in rows}


def test_without_a_screen(trained, tmp_path):
    """The whole script, where a backend with windows is asked for and there is no screen."""
    environment = {k: v for k, v in os.environ.items() if k not in ('DISPLAY', 'WAYLAND_DISPLAY')}
    environment.update(MPLBACKEND='TkAgg', PYTHONPATH=str(ROOT))
    checkpoint = trained[0] / 'epoch_2.pth'
    done = subprocess.run(
        [sys.executable, TOOL, CONFIG, checkpoint, '--num', '8'],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # Where it says.
    folder = tmp_path / 'work_dirs' / CONFIG.stem / 'boundary_pictures'
    assert str(folder.relative_to(tmp_path) / 'index.html') in done.stdout

    page, facts = facts_of(folder)
    files = sorted(folder.glob('*.png'))
    assert {f'{name}.png' for name in FILES} <= {path.name for path in files}
    inlined = re.findall('src="data:image/png;base64,(.*?)"', page)
    assert sorted(map(b64decode, inlined)) == sorted(path.read_bytes() for path in files)
    # One for each kind of picture, none twice.
    captions = re.findall('<figcaption>(.{80,}?)</figcaption>', page)
    assert len(set(captions)) == len(captions) == len(FILES)
    assert not re.search(r'src="(?!data:)|href=|https?:|url\(|@import|<script|<link', page)
    assert facts['config'] == str(CONFIG) and facts['checkpoint'] == str(checkpoint)
    assert 'compared student' not in facts
    assert facts['images'].startswith('8 of')
    assert 'BoundarySearch' in facts['attack']


def test_facts_are_those_of_the_run(run, trained, tmp_path):
    """Over all test images, the accuracies are what the run's own validation found."""
    status, text = run(number=1000)
    assert status == 0, text
    _, facts = facts_of(tmp_path / 'out')
    for network, metric in ((TEACHER, METRICS[1]), (STUDENT, METRICS[0])):
        right = round(trained[1][metric] * 3.6)
        assert facts[f'{network}: right'] == f'{right} of 360 ({right / 360:.1%})'
        assert f'{network}: right: {right} of 360' in text
    assert facts['images'].startswith('360 of')


def test_what_is_drawn(tool, trained, monkeypatch):
    """The numbers in the pictures, computed anew from the checkpoint."""
    monkeypatch.setattr(tool, 'PLANES', 1)
    monkeypatch.setattr(tool, 'GRID', 21)
    parser = dict(config=str(CONFIG), checkpoint=str(trained[0] / 'epoch_2.pth'), cfg_options=None)
    args = type('Args', (), dict(parser, compare=None, num=60, seed=3, device='cpu'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = tool.read_config('config', args.config)
        _, facts, notes, figures = tool.study(cfg, args)
    assert not notes
    assert [name for name in figures if not name.startswith('decision')] == [
        'boundary_samples',
        'embeddings',
        'distances',
    ]
    # In the teacher's own plane, it decides for the base class at the base sample.
    name = next(name for name in figures if name.startswith('decision'))
    _, figure, _ = figures[name]
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
    _, panel, _ = figures['boundary_samples']
    column = int(name.rpartition('_')[2]) - 1
    columns = len(panel.axes) // 5
    length = float(re.search(r'L2 = (\d+)', panel.axes[2 * columns + column].get_xlabel())[1])
    assert star[0] == pytest.approx(length, abs=0.6)
    _, histogram, _ = figures['distances']
    labels = [text.get_text() for text in histogram.axes[0].get_legend().get_texts()]
    median = float(facts[f'teacher: median distance ({tool.UNIT})'])
    assert float(labels[0].rpartition(' ')[2]) == pytest.approx(median, rel=0.01)


def verdict_of(page):
    return [unescape(text) for text in re.findall('<p class="verdict">(.*?)</p>', page)]


def test_verdict_comes_first_and_is_that_of_the_networks(run, tool, trained, tmp_path):
    """How many boundary samples the student follows, counted anew."""
    status, text = run(number=60)
    assert status == 0, text
    page, _ = facts_of(tmp_path / 'out')
    (verdict,) = verdict_of(page)
    assert page.index('class="verdict"') < page.index('<table>')
    assert 'The student follows ' in text.partition('config:')[0]
    number, follows = map(int, re.search(r'of (\d+) images .* takes (\d+) ', verdict).groups())

    cfg = Config.fromfile(CONFIG)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(dict(cfg.model.to_dict(), teacher_ckpt=None,
            data_preprocessor=cfg.data_preprocessor.to_dict()))  # fmt: skip
        algorithm.load_state_dict(torch.load(trained[0] / 'epoch_2.pth')['state_dict'])
        algorithm.eval()
        generator = torch.Generator().manual_seed(0)
        pixels, labels, _ = tool.choose_images(cfg, 60, generator)
        sampler, _ = tool.boundary_sampler(cfg)
    normalizer = Normalizer(algorithm.data_preprocessor)

    def ask(network, images):
        with torch.no_grad():
            return network(normalizer.normalize(images), mode='tensor')

    logits = ask(algorithm.teacher, pixels)
    kept = logits.argmax(1) == labels
    pixels, labels, logits = pixels[kept], labels[kept], logits[kept]
    targets = sampler.choose_targets(logits, labels, generator)
    moved = tool.move_to_boundary(
        sampler.attack,
        lambda x: algorithm.teacher(x, mode='tensor'),
        normalizer,
        pixels,
        labels,
        targets,
    )
    asked = moved.reached & (ask(algorithm.student, pixels).argmax(1) == labels)
    answers = ask(algorithm.student, moved.inputs[asked]).argmax(1)
    assert number == int(asked.sum())
    assert follows == int((answers == targets[asked]).sum())


def test_compared_with_another_student(run, trained, tmp_path):
    first, last = trained[0] / 'epoch_1.pth', trained[0] / 'epoch_2.pth'
    assert run('--compare', CONFIG, first)[0] == 0
    page, facts = facts_of(tmp_path / 'out')
    assert facts['compared student'] == f'{CONFIG}, {first}'
    assert 'compared student (epoch_1): right' in facts
    assert len(verdict_of(page)) == 2
    # The same student, by way of pixels and back.
    status, text = run('--compare', CONFIG, last)
    assert status == 0, text
    page, facts = facts_of(tmp_path / 'out')
    assert facts['compared student: right'] == facts[f'{STUDENT}: right']
    assert 'The two do not differ on any image' in verdict_of(page)[1]


def test_compared_student_gets_its_own_normalisation(run, trained, tmp_path):
    """The same weights, which other normalisation makes another network."""
    text = CONFIG.read_text().replace("'../", "'amkd_mm::")
    other = tmp_path / 'other.py'
    other.write_text(text + '\ndata_preprocessor = dict(mean=[200.0] * 3)\n')
    assert run('--compare', other, trained[0] / 'epoch_2.pth')[0] == 0
    _, facts = facts_of(tmp_path / 'out')
    assert facts['compared student (other): right'] != facts[f'{STUDENT}: right']


def test_attack_of_the_config(run, tmp_path):
    """BSS's own; and BoundarySearch where a config has none."""
    for name, attack in (('bss/bss', 'BSSAttack'), ('kd/kd_logits', 'BoundarySearch')):
        config = ROOT / f'configs/{name}_resnet26_resnet8_1xb64_digits.py'
        assert run(config=config)[0] == 0
        assert attack in facts_of(tmp_path / 'out')[1]['attack']


def test_image_that_no_attack_can_move(run, change, tmp_path):
    """A head of zeros: always class 0, and no gradient."""

    def edit(weights):
        for name in ('weight', 'bias'):
            weights[f'teacher.head.fc.{name}'].zero_()

    status, text = run(checkpoint=change(edit))
    assert status == 0, text
    page, facts = facts_of(tmp_path / 'out')
    assert facts['teacher: moved to the target class'].startswith('0 of ')
    assert 'The attack moved no image to its target class' in page
    assert 'There is no picture of decision regions' in page
    found = {path.stem for path in (tmp_path / 'out').glob('*.png')}
    assert found == {'boundary_samples', 'embeddings', 'distances'}


def negate(part):
    """Let a network name the class that it holds for the least likely."""

    def edit(weights):
        for name in ('weight', 'bias'):
            weights[f'{part}.head.fc.{name}'] *= -1

    return edit


def test_teacher_that_is_always_wrong(run, change):
    status, text = run(checkpoint=change(negate('teacher')), number=4)
    assert status == 2
    assert 'error: checkpoint: its teacher gets none of the 4 images right' in text


def test_student_that_is_always_wrong(run, change, tmp_path):
    status, text = run(checkpoint=change(negate('architecture')), number=4)
    assert status == 0, text
    page, facts = facts_of(tmp_path / 'out')
    assert facts['student: right'] == '0 of 4 (0.0%)'
    assert 'The student gets none of these images right' in page
    assert facts['teacher: moved to the target class'].startswith(('1', '2', '3', '4'))


def test_a_checkpointed_student(run, trained, tmp_path):
    """Activation checkpointing gives no input gradients."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.architecture = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, with_cp=True
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
    )
    cfg.dump(tmp_path / 'checkpointed.py')
    with DefaultScope.overwrite_default_scope('mmrazor'):
        student = MODELS.build(cfg.model.architecture)
    weights = torch.load(trained[0] / 'epoch_2.pth')['state_dict']
    weights = {k: v for k, v in weights.items() if not k.startswith('architecture.')}
    weights.update({f'architecture.{k}': v for k, v in student.state_dict().items()})
    torch.save(dict(state_dict=weights), tmp_path / 'checkpointed.pth')
    checkpoint = tmp_path / 'checkpointed.pth'
    status, output = run(config=tmp_path / 'checkpointed.py', checkpoint=checkpoint, number=4)
    assert status == 0, output


def test_two_classes(tool):
    """There the plane goes through the boundary samples of both networks."""
    generator = torch.Generator().manual_seed(0)
    names = (TEACHER, 'compared', STUDENT)
    weights = {name: torch.randn(12, 2, generator=generator) for name in names}
    weights[STUDENT] = weights[TEACHER] + 0.3 * weights[STUDENT]
    networks = {n: (lambda x, w=w: 0.1 * x.flatten(1) @ w) for n, w in weights.items()}
    normalizer = Normalizer(ClsDataPreprocessor(mean=[128.0] * 3, std=[64.0] * 3))
    pixels = 128 + 30 * torch.randn(8, 3, 2, 2, generator=generator)
    logits = {name: network(normalizer.normalize(pixels)) for name, network in networks.items()}
    labels = logits[TEACHER].argmax(1)
    row = int((logits[STUDENT].argmax(1) == labels).nonzero()[0])
    images = tool.Images(pixels, labels, logits, 1 - labels)
    move = tool.Mover(BoundarySearch(), normalizer, networks)
    (plane,) = tool.planes_of(row, images, move, ('cat', 'dog'))
    assert plane.points[1:] == ["the teacher's boundary sample", "the student's boundary sample"]
    assert plane.name.startswith('plane through both')
    assert plane.regions.points.shape == (3, 2)
    # A network that gets the image wrong has no boundary sample of it, and then there is no plane.
    logits[STUDENT] = -logits[STUDENT]
    assert not tool.planes_of(row, images, move, ('cat', 'dog'))


@pytest.mark.parametrize('part', ['teacher', 'architecture'])
def test_checkpoint_without_a_network(run, change, part):
    def edit(weights):
        for key in [key for key in weights if key.startswith(part)]:
            del weights[key]

    status, text = run(checkpoint=change(edit))
    assert status == 2
    assert f'has no key that begins with "{part}."' in text
    assert 'not that of a student or a teacher alone' in text


def test_checkpoint_of_another_network(run):
    status, text = run('--cfg-options', 'model.architecture.backbone.depth=14')
    assert status == 2 and 'the checkpoint does not fit `model.architecture`' in text


def test_config_of_a_classifier(run):
    status, text = run(config=ROOT / 'configs/vanilla/resnet8_1xb64_digits.py')
    assert status == 2 and 'config: it has no `model.architecture` and `model.teacher`' in text


def test_no_images(run):
    status, text = run('--cfg-options', 'val_dataloader=None')
    assert status == 2 and 'config: it has no `val_dataloader`' in text
    empty = 'val_dataloader.dataset.indices=0'
    status, text = run('--cfg-options', empty, 'val_dataloader.dataset.serialize_data=False')
    assert status == 2 and 'config: the data set of `val_dataloader` is empty' in text


def test_label_that_is_no_class(run, change):
    """The data have more classes than the networks."""

    def edit(weights):
        for part in ('teacher', 'architecture'):
            for name in ('weight', 'bias'):
                weights[f'{part}.head.fc.{name}'] = weights[f'{part}.head.fc.{name}'][:5]

    heads = [f'model.{part}.head.num_classes=5' for part in ('teacher', 'architecture')]
    status, text = run('--cfg-options', *heads, checkpoint=change(edit))
    assert status == 2 and 'but the models have 5 classes' in text


def test_wrong_usage(run, tmp_path):
    text_file = tmp_path / 'text.pth'
    text_file.write_text('no checkpoint')
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict(')
    for given, message in (
        (dict(config='absent.py'), 'config: no such file: absent.py'),
        (dict(config=broken), 'broken.py cannot be read'),
        (dict(checkpoint='absent.pth'), 'checkpoint: no such file: absent.pth'),
        (dict(checkpoint=text_file), "text.pth' does not load"),
        (dict(number=0), '--num: at least 1 image'),
    ):
        status, text = run(**given)
        assert status == 2 and message in text, given
    for options, message in (
        (('--compare', CONFIG, 'absent.pth'), '--compare: no such file: absent.pth'),
        (('--compare', 'absent.py', 'x'), '--compare: no such file: absent.py'),
        (('--device', 'abacus'), 'error: --device: '),
        (('--cfg-options', 'val_dataloader.dataset.split=half'), "`split` must be 'train' or"),
    ):
        status, text = run(*options)
        assert status == 2 and message in text, options


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    run, tool, tmp_path, monkeypatch
):
    (tmp_path / 'out').write_text('a file')
    monkeypatch.setattr(tool, 'study', lambda *_: pytest.fail('it worked for nothing'))
    status, text = run()
    assert status == 2 and '--out: no pictures can be written to' in text
