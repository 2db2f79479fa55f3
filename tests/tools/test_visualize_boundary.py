"""`tools/analysis_tools/visualize_boundary.py` on a real run, and what it says of bad input."""

import os
import re
import subprocess
import sys
from base64 import b64decode
from functools import partial
from html import unescape

import pytest
import torch

from digit_distillation import CONFIG, METRICS, ROOT

TOOL = ROOT / 'tools/analysis_tools/visualize_boundary.py'
TEACHER, STUDENT = 'teacher', 'student'
FILES = ['boundary_samples', 'decision_regions_1', 'embeddings', 'distances']


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis_tools/visualize_boundary.py')


@pytest.fixture
def run(tool, distillation, monkeypatch, capsys, tmp_path):
    """Runs the script on a trained checkpoint; gives its exit status and what it prints."""
    monkeypatch.setattr(tool, 'study_boundary', partial(tool.study_boundary, planes=1, grid=11))

    def run(*arguments, config=CONFIG, checkpoint=None, number=20):
        arguments = [config, checkpoint or distillation[0] / 'epoch_2.pth', *arguments]
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
def change(distillation, tmp_path):
    """Saves a trained checkpoint with something changed."""

    def change(edit):
        checkpoint = torch.load(distillation[0] / 'epoch_2.pth')
        edit(checkpoint['state_dict'])
        torch.save(dict(state_dict=checkpoint['state_dict']), tmp_path / 'changed.pth')
        return tmp_path / 'changed.pth'

    return change


def facts_of(folder):
    page = (folder / 'index.html').read_text(encoding='utf-8')
    rows = re.findall('<tr><th>(.*?)</th><td>(.*?)</td></tr>', page)
    return page, {unescape(name): unescape(value) for name, value in rows}


def test_without_a_screen(distillation, tmp_path):
    """The whole script, where a backend with windows is asked for and there is no screen."""
    environment = {k: v for k, v in os.environ.items() if k not in ('DISPLAY', 'WAYLAND_DISPLAY')}
    environment.update(MPLBACKEND='TkAgg', PYTHONPATH=str(ROOT))
    checkpoint = distillation[0] / 'epoch_2.pth'
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


def test_facts_are_those_of_the_run(run, distillation, tmp_path):
    """Over all test images, the accuracies are what the run's own validation found."""
    status, text = run(number=1000)
    assert status == 0, text
    _, facts = facts_of(tmp_path / 'out')
    for network, metric in ((TEACHER, METRICS[1]), (STUDENT, METRICS[0])):
        right = round(distillation[1][metric] * 3.6)
        assert facts[f'{network}: right'] == f'{right} of 360 ({right / 360:.1%})'
        assert f'{network}: right: {right} of 360' in text
    assert facts['images'].startswith('360 of')


def verdict_of(page):
    return [unescape(text) for text in re.findall('<p class="verdict">(.*?)</p>', page)]


def test_verdict_comes_first(run, tmp_path):
    status, text = run()
    assert status == 0, text
    page, _ = facts_of(tmp_path / 'out')
    (verdict,) = verdict_of(page)
    assert verdict.startswith('The student follows ')
    assert page.index('class="verdict"') < page.index('<table>')
    assert ' '.join(verdict.split()) in text.partition('config:')[0]


def test_compared_with_another_student(run, distillation, tmp_path):
    first, last = distillation[0] / 'epoch_1.pth', distillation[0] / 'epoch_2.pth'
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


def test_attack_of_the_config(run, tmp_path):
    """BSS's own; and BoundarySearch where a config has none."""
    for name, attack in (('bss/bss', 'BSSAttack'), ('kd/kd_logits', 'BoundarySearch')):
        config = ROOT / f'configs/{name}_resnet26_resnet8_1xb64_digits.py'
        assert run(config=config)[0] == 0
        assert attack in facts_of(tmp_path / 'out')[1]['attack']
    # By a name, too.
    hook = "dict(type='mmrazor.BoundarySampleHook', attack=dict(type='BSSAttack', num_steps=7))"
    text = config.read_text().replace("'../", "'amkd_mm::")
    (tmp_path / 'named.py').write_text(f'{text}\ndefault_hooks = dict(samples={hook})\n')
    assert run(config=tmp_path / 'named.py')[0] == 0
    assert "'num_steps': 7" in facts_of(tmp_path / 'out')[1]['attack']


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
