"""`tools/train.py` and `tools/test.py`, run as their users run them."""

import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from amkd_mm.cli.console_log import is_for_the_screen
from amkd_mm.cli.folder_lock import lock

ROOT = Path(__file__).parents[2]
NUM_CLASSES = 3

CONFIG = """
default_scope = 'mmrazor'
custom_imports = dict(imports=['kill_hook'], allow_failed_imports=False)


def classifier(width):
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR', depth=18, stem_channels=width, base_channels=width),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=3,
            in_channels=8 * width,
            loss=dict(type='CrossEntropyLoss'),
            topk=(1, )))


def dataloader(split, shuffle):
    return dict(
        batch_size=12,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=shuffle),
        dataset=dict(
            type='mmpretrain.CustomDataset',
            data_root='{root}/' + split,
            pipeline=[dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')]))


model = dict(
    type='SingleTeacherDistill',
    data_preprocessor=dict(
        type='mmpretrain.ClsDataPreprocessor', mean=[127.5] * 3, std=[64.] * 3, num_classes=3),
    architecture=classifier(4),
    teacher=classifier(8),
    distiller=dict(
        type='ConfigurableDistiller',
        student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
        distill_losses=dict(loss_kl=dict(type='KLDivergence', loss_weight=0.1)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(from_student=True, recorder='fc'),
                preds_T=dict(from_student=False, recorder='fc')))))

# No `type`, as in MMPretrain's configs.
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
auto_scale_lr = dict(base_batch_size=6)
train_dataloader = dataloader('train', True)
val_dataloader = test_dataloader = dataloader('val', False)
val_evaluator = test_evaluator = dict(type='mmpretrain.Accuracy', topk=(1, ))
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
val_cfg = test_cfg = dict()
# The second matters to distributed training: it gives all processes the same BN statistics.
custom_hooks = [dict(type='KillHook'), dict(type='SyncBuffersHook')]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook', interval=1))
randomness = dict(seed=0)
"""

# Ends the process as the out-of-memory killer would: in the second epoch, without clean-up.
KILL_HOOK = """
import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if 'KILL_IN_EPOCH' in os.environ and runner.epoch == int(os.environ['KILL_IN_EPOCH']):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def run(*command, cwd, expect=0, **env):
    """Run a command and return its output, stdout and stderr together."""
    paths = [str(ROOT), str(cwd), os.environ.get('PYTHONPATH', '')]
    # One thread: no faster with more on so small a network, and far slower on a busy machine.
    env = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'OMP_NUM_THREADS': '1',
        **env,
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == expect, done.stdout
    return done.stdout


def tool(name, *args, **kwargs):
    return run(sys.executable, ROOT / 'tools' / name, *args, **kwargs)


def last_accuracy(log):
    return re.findall(r'accuracy/top1: (\d+\.\d+)', log)[-1]


def last_checkpoint(work_dir):
    return torch.load(Path(work_dir, 'last_checkpoint').read_text(), weights_only=False)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a config and an image data set whose classes differ in colour."""
    folder = tmp_path_factory.mktemp('train')
    (folder / 'config.py').write_text(CONFIG.replace('{root}', folder.as_posix()))
    (folder / 'kill_hook.py').write_text(KILL_HOOK)
    rng = np.random.default_rng(0)
    for split, number in (('train', 20), ('val', 8)):
        for label in range(NUM_CLASSES):
            (folder / split / str(label)).mkdir(parents=True)
            for i in range(number):
                image = rng.integers(0, 156, (8, 8, 3))
                image[..., label] += 100
                path = folder / split / str(label) / f'{i}.png'
                Image.fromarray(image.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope='module')
def trained(folder):
    """The log of an undisturbed training into `folder/plain`."""
    return tool('train.py', 'config.py', '--work-dir', 'plain', cwd=folder)


@pytest.fixture
def tools(monkeypatch):
    """The two scripts as modules. `test.py` imports `train`, as it can when run as a script."""
    modules = {}
    monkeypatch.setenv('LOCAL_RANK', '0')  # The scripts set it; this restores it.
    for name in ('train', 'test'):
        spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / f'{name}.py')
        modules[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, modules[name])
        spec.loader.exec_module(modules[name])
    return modules


def call(module, folder, monkeypatch, *argv):
    """Run a script's `main` in this process, which saves the slow imports."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, 'argv', list(argv))
    module.main()


def test_the_screen_has_a_head_and_the_file_everything(folder, trained):
    (path,) = (folder / 'plain').glob('*/*.log')
    file, (screen, *_) = path.read_text(), trained.partition('Epoch(train)')
    bulk = ('System environment:', 'optim_wrapper = dict(', 'before_train_iter:')
    assert all(text in file and text not in trained for text in bulk)
    assert len(screen.splitlines()) < 20
    assert screen.startswith('Loading PyTorch')

    def parameters(width):
        """Of a ResNet18 for CIFAR: sum of its convolutions, batch norms and layer of scores."""
        number, inputs = 3 * width * 9 + 2 * width, width
        for stage in range(4):
            outputs = width * 2**stage
            number += (inputs + 3 * outputs) * outputs * 9 + 8 * outputs
            number += 0 if inputs == outputs else inputs * outputs + 2 * outputs
            inputs = outputs
        return number + 8 * width * NUM_CLASSES + NUM_CLASSES

    for text in (
        'Training config.py',
        str(path.relative_to(folder)),
        f'ResNet_CIFAR 18, {parameters(4):,} parameters',
        f'ResNet_CIFAR 18, {parameters(8):,} parameters',
        'CustomDataset, 60 training images, 12 in a batch; CustomDataset, 24 validation images',
        '3 epochs of 5 iterations',
        'seed 0',
        f'torch {torch.__version__.partition("+")[0]}',
    ):
        assert text in screen, text
        assert text in file, text


def test_warnings_and_errors_of_the_runner_stay_on_the_screen(tools):
    source = tools['train'].ConsoleRunner.__mro__[1].__module__
    path = sys.modules[source].__file__
    for level, text, shown in (
        (logging.INFO, 'Config:\nx = 1', False),
        (logging.INFO, 'resumed epoch: 1', True),
        (logging.WARNING, 'two\nlines', True),
        (logging.ERROR, 'two\nlines', True),
    ):
        record = logging.LogRecord('mmengine', level, path, 1, text, None, None)
        assert is_for_the_screen(record) is shown, text
    elsewhere = logging.LogRecord('mmengine', logging.INFO, __file__, 1, 'a\ntable', None, None)
    assert is_for_the_screen(elsewhere)


def test_test_repeats_the_last_validation(folder, trained):
    # The checkpoint holds the teacher, so the file it came from may be gone.
    gone = ('--cfg-options', 'model.teacher_ckpt=gone.pth')
    log = tool(
        'test.py', 'config.py', 'plain/epoch_3.pth', '--work-dir', 'tested', *gone, cwd=folder
    )

    assert last_accuracy(log) == last_accuracy(trained)
    # The untrained network does not reach this, so the weights were loaded.
    assert float(last_accuracy(log)) > 60


def test_test_normalises_for_the_teacher_as_its_checkpoint_says(folder, trained):
    weights = last_checkpoint(folder / 'plain')['state_dict']
    teacher = {k[len('teacher.') :]: v for k, v in weights.items() if k.startswith('teacher.')}
    # As MMEngine writes it: values, which are read without running anything.
    recorded = 'data_preprocessor = dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])'
    torch.save(dict(state_dict=teacher, meta=dict(cfg=recorded)), folder / 'teacher.pth')
    command = ('test.py', 'config.py', 'plain/epoch_3.pth', '--work-dir', 'own', '--cfg-options')
    log = tool(*command, 'model.type=AMKD', 'model.teacher_ckpt=teacher.pth', cwd=folder)
    assert 'The inputs of the teacher are normalised as its checkpoint says' in log


def test_killed_training_resumes(folder, trained):
    command = ('train.py', 'config.py', '--work-dir', 'killed')
    tool(*command, cwd=folder, expect=-signal.SIGKILL, KILL_IN_EPOCH='1')
    assert last_checkpoint(folder / 'killed')['meta']['epoch'] == 1

    log = tool(*command, '--resume', cwd=folder)
    assert 'resumed epoch: 1' in log
    assert 'Epoch(train) [1]' not in log
    # Weights and optimiser go on from where they were: the end is that of the undisturbed run.
    resumed, plain = last_checkpoint(folder / 'killed'), last_checkpoint(folder / 'plain')
    assert resumed['meta']['epoch'] == 3
    for key, value in plain['state_dict'].items():
        torch.testing.assert_close(resumed['state_dict'][key], value, msg=key)


def test_resume_runs_nothing_that_a_checkpoint_says(folder, trained, tools, monkeypatch):
    checkpoint = torch.load(folder / 'plain/epoch_2.pth', weights_only=False)
    program = f"x = __import__('os').system('echo > {folder}/marker')\ngpu_ids = [0]\n"
    checkpoint['meta'].update(config=program, cfg=program)
    checkpoint['message_hub']['runtime_info']['cfg'] = program
    torch.save(checkpoint, folder / 'malicious.pth')

    command = ['train.py', 'config.py', '--work-dir', 'hostile', '--resume', 'malicious.pth']
    call(tools['train'], folder, monkeypatch, *command)

    assert last_checkpoint(folder / 'hostile')['meta']['epoch'] == 3
    assert not (folder / 'marker').exists()


def test_a_second_training_leaves_the_folder_of_the_first_alone(
    folder, trained, tools, monkeypatch, capsys
):
    before = {path: path.stat().st_mtime_ns for path in (folder / 'plain').rglob('*')}
    with lock(folder / 'plain/.lock'), pytest.raises(SystemExit) as ended:
        call(tools['train'], folder, monkeypatch, 'train.py', 'config.py', '--work-dir', 'plain')

    assert ended.value.code == 2
    assert 'plain: another training writes to this folder' in capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in (folder / 'plain').rglob('*')}
    # Opened for the lock, and nothing else.
    assert {path.name for path in after if after[path] != before.get(path)} <= {'.lock'}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['train_dataloader.batch_size=64', 'train_dataloader.drop_last=True'], 'train_dataloader'),
        (['val_dataloader.batch_size=64', 'val_dataloader.drop_last=True'], 'val_dataloader'),
        (['train_cfg.max_epochs=0'], 'train_cfg.max_epochs is 0: nothing would be trained'),
    ],
)
def test_a_training_that_does_nothing_is_refused(folder, tools, monkeypatch, options, message):
    command = ['train.py', 'config.py', '--work-dir', 'nothing', '--cfg-options', *options]
    with pytest.raises(ValueError, match=message) as error:
        call(tools['train'], folder, monkeypatch, *command)
    assert 'max_epochs' in message or 'gives no batch: it has' in str(error.value)
    assert not list((folder / 'nothing').glob('*.pth'))


def test_an_infinite_sampler_fills_batches_from_few_images(folder, tools, monkeypatch):
    (folder / 'infinite.py').write_text(
        "_base_ = ['config.py']\n"
        'train_cfg = dict(_delete_=True, by_epoch=False, max_iters=2, val_interval=2)\n'
        "sampler = dict(type='InfiniteSampler', shuffle=True)\n"
        'train_dataloader = dict(batch_size=64, drop_last=True, sampler=sampler)\n'
        'default_hooks = dict(checkpoint=dict(by_epoch=False))\n'
    )
    call(tools['train'], folder, monkeypatch, 'train.py', 'infinite.py', '--work-dir', 'infinite')
    assert last_checkpoint(folder / 'infinite')['meta']['iter'] == 2


def test_a_damaged_file_is_refused_by_its_hash(folder, tools, monkeypatch, capsys):
    (folder / 'start-0123456a.pth').write_bytes(b'weights')
    command = ['train.py', 'config.py', '--cfg-options', 'load_from=start-0123456a.pth']
    with pytest.raises(SystemExit):
        call(tools['train'], folder, monkeypatch, *command)
    assert 'load_from: start-0123456a.pth: its SHA-256 begins with' in capsys.readouterr().err


def test_resumed_after_the_last_epoch(folder, trained, tools, monkeypatch):
    """MMEngine saves before it validates: what was killed in between has no accuracy yet."""
    command = ['train.py', 'config.py', '--work-dir', 'finished', '--resume', 'plain/epoch_3.pth']
    call(tools['train'], folder, monkeypatch, *command)
    (scalars,) = (folder / 'finished').glob('*/vis_data/scalars.json')
    (line,) = map(json.loads, scalars.read_text().splitlines())
    assert line['step'] == 3
    assert f'{line["accuracy/top1"]:.4f}' == last_accuracy(trained)


def test_resume_from_a_named_checkpoint_with_amp(folder, trained, tools, monkeypatch):
    messages = []
    monkeypatch.setattr(tools['train'], 'print_log', lambda text, **_: messages.append(text))
    command = ['train.py', 'config.py', '--work-dir', 'named', '--resume', 'plain/epoch_2.pth']
    options = ['--amp', '--auto-scale-lr', '--cfg-options', 'default_hooks.checkpoint.interval=5']
    call(tools['train'], folder, monkeypatch, *command, *options)

    (log,) = (folder / 'named').glob('*/*.log')
    assert 'resumed epoch: 2' in log.read_text()
    assert 'Scaling the original LR by 2.0' in log.read_text()
    assert bool(messages) != torch.cuda.is_available()
    # --cfg-options: the one epoch left is no multiple of 5, but the last is always saved.
    assert [path.name for path in (folder / 'named').glob('*.pth')] == ['epoch_3.pth']


@pytest.mark.parametrize(
    'name, args, key',
    [
        ('train', ['absent'], 'config'),
        ('train', ['config.py', '--resume', 'absent'], '--resume'),
        ('train', ['config.py', '--cfg-options', 'load_from=absent'], 'load_from'),
        (
            'train',
            ['config.py', '--cfg-options', 'model.teacher_ckpt=absent'],
            'model.teacher_ckpt',
        ),
        (
            'train',
            ['config.py', '--cfg-options', 'model.teacher.init_cfg.type=Pretrained']
            + ['model.teacher.init_cfg.checkpoint=absent'],
            'model.teacher.init_cfg.checkpoint',
        ),
        (
            'train',
            ['config.py', '--cfg-options', 'model.teachers.one.ckpt_path=absent'],
            'model.teachers.one.ckpt_path',
        ),
        ('test', ['absent', 'config.py'], 'config'),
        ('test', ['config.py', 'absent'], 'checkpoint'),
    ],
)
def test_missing_file_is_named(folder, tools, monkeypatch, capsys, name, args, key):
    with pytest.raises(SystemExit, match='2'):
        call(tools[name], folder, monkeypatch, f'{name}.py', *args)
    assert f'{key}: no such file: absent\n' in capsys.readouterr().err


@pytest.mark.parametrize(
    'wrapper, expected',
    [
        (dict(), dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        (dict(type='OptimWrapper'), dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        (
            dict(type='AmpOptimWrapper', loss_scale=512.0),
            dict(type='AmpOptimWrapper', loss_scale=512.0),
        ),
        (
            dict(constructor='X', architecture=dict(type='OptimWrapper')),
            dict(constructor='X', architecture=dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        ),
    ],
)
def test_amp_with_gpu(tools, monkeypatch, wrapper, expected):
    monkeypatch.setattr(tools['train'], 'get_device', lambda: 'cuda')
    cfg = Config(dict(optim_wrapper=wrapper))
    tools['train'].enable_amp(tools['train'].build_parser('x'), cfg)
    assert cfg.optim_wrapper == expected


def test_amp_refuses_other_wrappers(tools, monkeypatch, capsys):
    monkeypatch.setattr(tools['train'], 'get_device', lambda: 'cuda')
    cfg = Config(dict(optim_wrapper=dict(type='ApexOptimWrapper')))
    with pytest.raises(SystemExit):
        tools['train'].enable_amp(tools['train'].build_parser('x'), cfg)
    assert 'optim_wrapper.type' in capsys.readouterr().err


def test_auto_resume_without_checkpoint_keeps_load_from(tools, tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path), load_from='pretrained.pth', resume=False))
    parser = tools['train'].build_parser('x')
    tools['train'].set_resume(parser, cfg, 'auto')
    assert (cfg.load_from, cfg.resume) == ('pretrained.pth', False)

    torch.save({}, tmp_path / 'epoch_1.pth')
    tools['train'].set_resume(parser, cfg, 'auto')
    assert (cfg.load_from, cfg.resume) == (str(tmp_path / 'epoch_1.pth'), True)


def test_resume_passes_over_a_damaged_checkpoint(folder, trained):
    """As a full disk leaves it, in a folder that has moved since."""
    shutil.copytree(folder / 'plain', folder / 'damaged')
    newest = folder / 'damaged' / 'epoch_3.pth'
    newest.write_bytes(newest.read_bytes()[:5000])
    log = tool('train.py', 'config.py', '--work-dir', 'damaged', '--resume', cwd=folder)
    assert re.search(r'newest whole checkpoint, \S*epoch_2.pth', log)
    resumed, plain = (torch.load(folder / name / 'epoch_3.pth') for name in ('damaged', 'plain'))
    for key, value in plain['state_dict'].items():
        torch.testing.assert_close(resumed['state_dict'][key], value, msg=key)


@pytest.mark.parametrize('name', ['train', 'test'])
def test_a_damaged_checkpoint_is_an_error_of_a_line(
    name, folder, trained, tools, monkeypatch, capsys
):
    (folder / 'empty.pth').write_bytes(b'')
    options = {
        'train': ['--work-dir', 'none', '--resume', 'empty.pth'],
        'test': ['empty.pth', '--cfg-options', 'model.teacher_ckpt=gone.pth'],
    }
    with pytest.raises(SystemExit, match='2'):
        call(tools[name], folder, monkeypatch, f'{name}.py', 'config.py', *options[name])
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith("'empty.pth' does not load: the file is empty")


def test_of_a_student_alone_the_teacher_is_missed(folder, trained, tools, monkeypatch, capsys):
    weights = last_checkpoint(folder / 'plain')['state_dict']
    prefix = 'architecture.'
    student = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    torch.save(student, folder / 'student.pth')
    command = ['test.py', 'config.py', 'student.pth', '--work-dir', 'student']
    with pytest.raises(SystemExit, match='2'):
        gone = ['--cfg-options', 'model.teacher_ckpt=gone.pth']
        call(tools['test'], folder, monkeypatch, *command, *gone)
    assert 'model.teacher_ckpt: no such file: gone.pth' in capsys.readouterr().err

    call(tools['test'], folder, monkeypatch, *command)
    (log,) = (folder / 'student').glob('*/*.log')
    # The student is what it was in the distillation.
    found = re.search(r' accuracy/top1: (\d+\.\d+)', log.read_text())[1]
    assert found == last_accuracy(trained)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='tests the way around missing GPUs')
def test_distributed_over_cpus(folder):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        options = dict(cwd=folder, PORT=str(free.getsockname()[1]))
    options['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    train = run(ROOT / 'tools/dist_train.sh', 'config.py', '2', '--work-dir', 'dist', **options)
    # Two processes share the epoch: 60 images in batches of 12.
    assert 'Epoch(train) [3][3/3]' in train
    test = run(
        ROOT / 'tools/dist_test.sh', 'config.py', 'dist/epoch_3.pth', '2', '--work-dir', 'dist',
        **options,
    )  # fmt: skip
    assert last_accuracy(test) == last_accuracy(train)
