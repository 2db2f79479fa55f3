"""What the pages tell a reader to write works: links, commands, configs, scripts and messages.

A comment before a block, which readers do not see, says what is special about it::

    <!-- test: file NAME -->      the block is a file of that name
    <!-- test: slow -->           it trains: the page runs among the slow tests
    <!-- test: no-run REASON -->  it is not run; its options, configs and paths are still checked
    <!-- test: exits STATUS -->   that is its exit status, instead of 0
    <!-- test: append WORDS -->   added to the tools' commands, to shorten what they do
    <!-- test: after PAGE -->     what that page leaves behind is there, too
    <!-- test: images FOLDER -->  such a folder of images is there, with a folder for each class
    <!-- test: needs PACKAGE -->  without which it is left out
    <!-- test: weights NAME -->   random weights of torchvision or timm are in its cache

All else is run, a page from top to bottom in a folder of its own.
"""

import argparse
import ast
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache, partial
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import amkd_mm

import numpy as np
import pytest
import torch
import torchvision
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.registry import MODELS as MODEL_CLASSES
from mmpretrain.structures import DataSample
from mmrazor.registry import HOOKS, MODELS, TASK_UTILS
from PIL import Image

from amkd_mm.checkpoints.files import teacher_checkpoints
from amkd_mm.cli.mmpretrain_tools import run_tool
from scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md')),
    *sorted(ROOT.glob('docs/*.md')),
]
METHODS = sorted(ROOT.glob('configs/*/README.md'))
# What a reader's folder has of the repository.
CLONE = ('configs', 'tools', '.dev_scripts')
# Tools that start others, and which of their arguments those get.
WRAPPERS = {
    'tools/dist_train.sh': ('tools/train.py', lambda words: [words[0], *words[2:]]),
    'tools/dist_test.sh': ('tools/test.py', lambda words: [*words[:2], *words[3:]]),
    'tools/slurm_train.sh': ('tools/train.py', lambda words: [words[2], *words[4:]]),
    'tools/slurm_test.sh': ('tools/test.py', lambda words: words[2:]),
}
# Settings that the configs leave out, and that have an effect.
OPTIONAL = ('model.teacher_compile', 'model.teacher_input_size', 'find_unused_parameters')


class Block(NamedTuple):
    """A fenced block of a page, and what the comments before it say."""

    language: str
    text: str
    line: int
    marks: dict[str, str]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks_of(page):
    """The blocks of a page that are shell or Python, or that the comments before say more of."""
    found, marks, lines = [], {}, iter(enumerate(page.read_text().splitlines(), 1))
    for number, line in lines:
        comment = re.fullmatch(r'\s*<!-- test: ([\w-]+) ?(.*?) -->', line)
        if comment:
            marks[comment[1]] = comment[2]
        elif line.startswith('```'):
            block = []
            for _, inner in lines:
                if inner.startswith('```'):
                    break
                block.append(inner)
            language = line.strip('` ')
            assert language, f'{name_of(page)}:{number}: a block names its language, or `text`'
            if language in ('python', 'shell') or marks:
                found.append(Block(language, '\n'.join(block) + '\n', number, marks))
            marks = {}
        elif line.strip():
            assert not marks, f'{name_of(page)}:{number}: a comment for the test before no block'
    return found


def files_of(page):
    """Files that a reader of a page and of those that it builds on has written, by name."""
    found = {}
    for block in blocks_of(page):
        if 'after' in block.marks:
            found |= files_of(ROOT / block.marks['after'])
        if 'file' in block.marks:
            found[block.marks['file']] = block.text
    return found


# --- Links ----------------------------------------------------------------------------------------


def anchors(path):
    """What GitHub lets a link to a heading of a page end in."""
    text = re.sub(r'^```.*?^```', '', path.read_text(), flags=re.M | re.S)
    titles = re.findall(r'^#+ +(.+?) *$', text, re.M)
    titles = [re.sub(r'\[(.*?)\]\(.*?\)', r'\1', title) for title in titles]
    return [re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles]


@pytest.mark.parametrize('page', [*PAGES, *METHODS], ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S)
    text = re.sub(r'`[^`\n]*`', '', text)
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if '://' in target:
            continue
        path, _, anchor = target.partition('#')
        path = page.parent / path if path else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_index_lists_every_page():
    index = (ROOT / 'docs/README.md').read_text()
    for page in ROOT.glob('docs/*.md'):
        assert page.name == 'README.md' or f']({page.name})' in index, page.name


# --- Commands -------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A command of a tool, as a reader would type it."""

    script: str
    words: list[str]


class Parsed(Exception):
    """Holds what a tool has read from its command line."""


def commands_of(text):
    """Commands of this project's tools in a shell text."""
    text = text.replace('\\\n', ' ')
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((i for i, word in enumerate(words) if word in ('&&', ';', '|', '>')), None)
            one, words = words[:end], words[end + 1 :] if end is not None else []
            while one and re.fullmatch(r'\w+=.*', one[0]):
                one = one[1:]
            if one[:1] in (['python'], ['bash']):
                one = one[1:]
            if one and fnmatch(one[0], '*tools/*.[ps][yh]'):
                yield Command(one[0], one[1:])


def inline_commands(page):
    """Commands in running text and tables, which name what they need in capitals."""
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S)
    for code in re.findall(r'`((?:python|bash) [^`]+)`', text):
        yield from commands_of(code)


def parse(command, monkeypatch, load_tool):
    """What a tool makes of its arguments."""
    script, words = command
    if script in WRAPPERS:
        script, arguments = WRAPPERS[script]
        words = arguments(words)
    original = argparse.ArgumentParser.parse_args

    def stop(self, *args, **kwargs):
        raise Parsed(original(self, *args, **kwargs))

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        patch.setattr(sys, 'argv', [script, *words])
        patch.syspath_prepend(ROOT / 'tools')
        with pytest.raises(Parsed) as parsed:
            # MMPretrain's tools have none.
            getattr(load_tool(script), 'main', partial(run_tool, script))()
    return parsed.value.args[0]


@pytest.fixture(scope='session')
def load_tool():
    """Imports a script by its path in the repository; each once."""
    return cache(lambda script: load_script(ROOT / script))


@pytest.mark.parametrize('page', [*PAGES, *METHODS], ids=name_of)
def test_commands_name_what_there_is(page, tmp_path, monkeypatch, load_tool):
    """Tools, options, configs, settings in configs, and the checkpoints that configs write."""
    monkeypatch.chdir(tmp_path)
    place(tmp_path)
    for name, text in files_of(page).items():
        (tmp_path / name).write_text(text)
    shell = [shorten(block) for block in blocks_of(page) if block.language == 'shell']
    commands = [command for text in shell for command in commands_of(text)]
    for command in [*commands, *inline_commands(page)]:
        args = parse(command, monkeypatch, load_tool)
        names = [word.partition('=')[2] or word for word in command.words]
        for name in names:
            is_result = name.startswith('work_dirs/')
            if name.endswith('.py') and '::' not in name or '*' in name and not is_result:
                assert list(tmp_path.glob(name)), command
            check_checkpoint(name, tmp_path)
        if command.script == 'tools/export_student.py' and (tmp_path / names[0]).exists():
            (tmp_path / names[2]).parent.mkdir(exist_ok=True)
            (tmp_path / names[2]).with_suffix('.py').touch()
        if getattr(args, 'cfg_options', None):
            configs = [word for word in command.words if word.endswith('.py')]
            check_options(args.cfg_options, [Config.fromfile(name) for name in configs])


def check_options(options, configs):
    """Each setting is in the configs already; MMEngine would add another without a word."""
    # Some tools keep them as they were written.
    for key in (option.partition('=')[0] for option in options):
        for config in configs:
            place = config.to_dict()
            for part in key.split('.') if key not in OPTIONAL else ():
                if isinstance(place, list):
                    place = place[int(part)]
                    continue
                known = part in place or part in arguments_of(place.get('type'))
                assert known, f'{key}: {config.filename} has no such setting'
                place = place.get(part)


def arguments_of(name):
    """Arguments of a class by the name that a config gives it."""
    for registry in (MODELS, HOOKS, TASK_UTILS):
        found = name and registry.get(name)
        if found:
            return signature(found).parameters
    return ()


def check_checkpoint(name, folder):
    """A checkpoint in a work folder is one that a config of that name writes."""
    found = re.fullmatch(r'work_dirs/([\w-]+)/epoch_(\d+)\.pth', name)
    if found:
        stem, epoch = found.groups()
        configs = [*folder.glob(f'configs/*/{stem}.py'), *folder.glob(f'{stem}.py')]
        assert len(configs) == 1, name
        assert int(epoch) <= Config.fromfile(configs[0]).train_cfg.max_epochs, name


def place(folder):
    """Let a folder look like a clone of the repository, as far as commands can tell."""
    for name in CLONE:
        (folder / name).symlink_to(ROOT / name)


# --- Configs --------------------------------------------------------------------------------------


def config_blocks():
    for page in PAGES:
        for block in blocks_of(page):
            if re.search(r'^model = ', block.text, re.M):
                yield pytest.param(page, block, id=f'{name_of(page)}:{block.marks.get("file")}')


@pytest.mark.parametrize(('page', 'block'), config_blocks())
def test_config_builds_and_steps(page, block, tmp_path, monkeypatch, load_tool, capsys):
    """On its data, or on random images: all losses and gradients are finite.

    Of one that is not run the settings of the teacher are those that its class takes.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    place(tmp_path)
    for name, text in files_of(page).items():
        (tmp_path / name).write_text(text)
    make_images_of(page, tmp_path)
    use_weights_of(page, tmp_path, monkeypatch)
    config = Config.fromfile(block.marks['file'])
    if not all(map(find_spec, block.marks.get('needs', '').split())):
        pytest.skip(f'needs {block.marks["needs"]}')
    if 'no-run' in block.marks:
        settings = dict(config.model.teacher)
        kind = MODEL_CLASSES.get(settings.pop('type'))
        assert set(settings) - {'_scope_'} <= set(signature(kind).parameters)
        return
    if 'architecture' in config.model:
        if config.model.get('teacher_ckpt'):
            for _, path in teacher_checkpoints(config.model):
                check_checkpoint(path, tmp_path)
            save_teachers(config.model)
        options = [f'model.{key}={path}' for key, path in teacher_checkpoints(config.model)]
        options = options or ['model.teacher_ckpt=None']
        monkeypatch.setattr(
            sys, 'argv', ['check_pair.py', block.marks['file'], '--cfg-options', *options]
        )
        with pytest.raises(SystemExit) as verdict:
            load_tool('tools/analysis_tools/check_pair.py').main()
        text = capsys.readouterr().out
        # That an untrained teacher guesses is no fault of the page.
        guesses = ' '.join(text.split()).count('which is guessing among')
        assert guesses <= max(1, len(options)) and text.count('problem: ') == guesses, text
        assert bool(guesses) == verdict.value.code
        return
    init_default_scope(config.default_scope)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor))
    samples = [DataSample().set_gt_label(index % 2) for index in range(4)]
    batch = dict(inputs=torch.randint(0, 256, (4, 3, 64, 64)), data_samples=samples)
    losses = model.train()(**model.data_preprocessor(batch, True), mode='loss')
    losses['loss'].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def save_teachers(model):
    """Checkpoints as a config expects them, of teachers without training, beside the config."""
    members = model.teacher.get('members')
    if members is None:
        model.teacher_ckpt = save_teacher(model.teacher, model.teacher_ckpt)
        return
    for name, path in model.teacher_ckpt.items():
        model.teacher_ckpt[name] = save_teacher(members[name], path)


def save_teacher(network, path):
    """Save a network without training; gives the path."""
    teacher = MODELS.build(network)
    teacher.init_weights()
    # Without the hash of what is published.
    local = re.sub(r'-[0-9a-f]{8}\.pth$', '.pth', path.rpartition('//')[2])
    Path(local).parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(dict(state_dict=teacher.state_dict()), local)
    return local


# --- Pages from top to bottom ---------------------------------------------------------------------


def page_params():
    for page in PAGES:
        blocks = blocks_of(page)
        if any('no-run' not in block.marks and block.language != 'text' for block in blocks):
            slow = [pytest.mark.slow] * any('slow' in block.marks for block in blocks)
            yield pytest.param(page, id=name_of(page), marks=slow)


@pytest.mark.parametrize('page', page_params())
def test_page_runs(page, finished):
    finished(page)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """The folder in which a page has been run; each is once, also if others build on it."""
    folders = {}

    def folder_of(page):
        if page not in folders:
            folder = tmp_path_factory.mktemp(page.stem)
            run_page(page, folder, folder_of)
            folders[page] = folder
        return folders[page]

    return folder_of


def run_page(page, folder, finished):
    """Do what a page says, in the folder."""
    place(folder)
    environment = {
        **os.environ,
        'PATH': os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]),
        'PYTHONPATH': str(ROOT),
        # Faster than more threads, for networks as small as these.
        'OMP_NUM_THREADS': '1',
        'PORT': str(free_port()),
        'TORCH_HOME': str(folder),
        'HF_HUB_CACHE': str(folder / 'models'),
        'HF_HUB_OFFLINE': '1',
    }
    for block in blocks_of(page):
        if 'after' in block.marks:
            source = finished(ROOT / block.marks['after'])
            there = shutil.ignore_patterns(*CLONE)
            shutil.copytree(source, folder, ignore=there, dirs_exist_ok=True)
        if 'images' in block.marks:
            make_images(folder / block.marks['images'])
        if 'weights' in block.marks:
            make_weights(block.marks['weights'], folder)
        if 'file' in block.marks:
            (folder / block.marks['file']).write_text(block.text)
        missing = not all(map(find_spec, block.marks.get('needs', '').split()))
        start = dict(shell=['bash', '-euo', 'pipefail', '-c'], python=['python', '-c'])
        if block.language not in start or missing or {'no-run', 'file'} & set(block.marks):
            continue
        text = shorten(block)
        done = subprocess.run(
            [*start[block.language], text],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        expected = int(block.marks.get('exits', 0))
        assert done.returncode == expected, f'{name_of(page)}:{block.line}\n{done.stdout[-6000:]}'
        if 'append' in block.marks:
            name_as_unshortened(text, folder)


def free_port():
    """A port that nothing uses now."""
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


def shorten(block):
    """The text with what is to be added to its commands."""
    lines = block.text.replace('\\\n', ' ').splitlines()
    more = block.marks.get('append', '')
    return '\n'.join(f'{line} {more}' if 'tools/' in line else line for line in lines)


def name_as_unshortened(text, folder):
    """Give the last checkpoint of a shortened run the name that the whole run's would have."""
    for script, words in commands_of(text):
        if Path(script).name not in ('train.py', 'dist_train.sh'):
            continue
        last = folder / 'work_dirs' / Path(words[0]).stem / 'last_checkpoint'
        epochs = Config.fromfile(folder / words[0]).train_cfg.max_epochs
        shutil.copy(last.read_text(), last.parent / f'epoch_{epochs}.pth')


def make_images_of(page, folder):
    for block in blocks_of(page):
        if 'images' in block.marks:
            make_images(folder / block.marks['images'])


def make_images(folder):
    """Photographs of three classes, which differ in colour, in the layout that a page shows."""
    generator = np.random.default_rng(0)
    for split, number in (('train', 8), ('val', 4)):
        for index, name in enumerate(('daisy', 'rose', 'tulip')):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for item in range(number):
                pixels = generator.integers(0, 128, (80, 100, 3), dtype=np.uint8)
                pixels[..., index] += 127
                Image.fromarray(pixels).save(folder / split / name / f'{item}.jpg')


def use_weights_of(page, folder, monkeypatch):
    """Let this process find weights in the caches of torchvision and timm."""
    for block in blocks_of(page):
        if 'weights' in block.marks:
            make_weights(block.marks['weights'], folder)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(folder / 'hub'))
    if find_spec('huggingface_hub'):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(folder / 'models'))
        monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)


def make_weights(name, folder):
    """Random weights where torchvision or timm keep those that they have downloaded."""
    if '.' not in name:
        url = torchvision.models.get_model_weights(name).IMAGENET1K_V1.url
        path = folder / 'hub/checkpoints' / Path(url).name
        network, save = torchvision.models.get_model(name), torch.save
    elif find_spec('timm'):
        import timm
        from safetensors.torch import save_file as save

        network = timm.create_model(name)
        repository = folder / 'models' / f'models--timm--{name}'
        (repository / 'refs').mkdir(parents=True, exist_ok=True)
        (repository / 'refs/main').write_text('0' * 40)
        path = repository / 'snapshots' / ('0' * 40) / 'model.safetensors'
    else:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    save(network.state_dict(), path)


# --- Messages, versions ---------------------------------------------------------------------------


def text_of(node):
    """A message as the code has it, with `...` for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join(v.value if isinstance(v, ast.Constant) else '...' for v in node.values)


@pytest.fixture(scope='module')
def messages():
    sources = [*(ROOT / 'amkd_mm').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    return [text for text in map(text_of, nodes) if text]


def quoted_messages():
    """What the page on errors quotes of this project: the first cells of its first tables."""
    text = (ROOT / 'docs/troubleshooting.md').read_text().partition('\n## Other packages')[0]
    return [message for _, message in re.findall(r'^\| (``? ?)(.+?)\s?``? \|', text, re.M)]


@pytest.mark.parametrize('quoted', quoted_messages())
def test_quoted_messages_are_in_the_code(quoted, messages):
    """Word for word, `...` standing for what is filled in."""
    pattern = '.*'.join(map(re.escape, quoted.split('...')))
    assert any(re.search(pattern, message, re.S) for message in messages), quoted


def test_there_are_messages():
    assert len(quoted_messages()) > 30


def test_citation_is_of_this_version():
    """What version 1.2.0 of the Citation File Format asks for, and the version."""
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['cff-version'] == '1.2.0'
    assert citation['message'] and citation['title'] and citation['authors']
    assert citation['version'] == amkd_mm.__version__
