"""Each repair of `amkd_mm.compat`, tested by the symptom that it removes."""

import gc
import importlib
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import types
import weakref
import zipfile
from copy import deepcopy
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from pickle import UnpicklingError

from amkd_mm import compat

import mmpretrain.evaluation  # noqa: F401
import mmpretrain.models  # noqa: F401
import numpy as np
import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hub import get_model
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.optim import OneCycleLR, OneCycleParamScheduler
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader, Runner
from mmengine.utils import package_utils
from mmpretrain.structures import DataSample
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.registry import MODELS
from mmrazor.utils import register_all_modules
from torch import nn
from torch.utils.data import Dataset

from amkd_mm.compat.lines import ONEDL, installed_lines
from amkd_mm.datasets import Digits

torch2 = pytest.mark.skipif(torch.__version__ < (2, 0), reason='MMRazor imports unaided')
torch1 = pytest.mark.skipif(torch.__version__ >= (2, 0), reason='MMRazor does not import unaided')
weights_only = pytest.mark.skipif(
    torch.__version__ < (2, 6), reason='torch.load is unrestricted by default'
)


@pytest.fixture(autouse=True, scope='module')
def default_scope():
    """Runners and `get_model` leave their scope behind."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


# --- MMRazor's quantisation -----------------------------------------------------------------------


def test_all_of_mmrazor_imports():
    register_all_modules(init_default_scope=False)

    assert MODELS.get('mmrazor.SingleTeacherDistill') is SingleTeacherDistill


@torch2
@pytest.mark.parametrize(
    'use',
    [
        lambda module: module.QConfigHandler({}),
        lambda module: module.QConfigHandler.replace_fakequant(None, None),
        lambda module: module.BackendConfigs['academic'],
        lambda module: module.get_native_backend_config(),
        lambda module: MODELS.build(dict(type='mmrazor.AcademicQuantizer', qconfig_mapping={})),
    ],
)
def test_quantization_says_what_it_needs(use):
    module = importlib.import_module('mmrazor.structures.quantization')

    with pytest.raises(ImportError, match='needs torch 1.13.*this is torch ') as error:
        use(module)

    assert str(torch.__version__) in str(error.value)


@torch2
def test_quantization_stand_in_survives_introspection():
    module = importlib.import_module('mmrazor.structures.quantization')

    assert not hasattr(module, '__file__')
    assert not hasattr(module.QConfigHandler, '__wrapped__')


def test_quantization_that_imports_is_kept(monkeypatch):
    working = types.ModuleType('mmrazor.structures.quantization')
    monkeypatch.setitem(sys.modules, working.__name__, working)

    compat.quantization.apply()

    assert sys.modules[working.__name__] is working


@torch1
def test_quantization_is_untouched_on_torch1():
    from mmrazor.structures.quantization import BackendConfigs

    assert BackendConfigs['academic'] is not None


# --- In-place modules -----------------------------------------------------------------------------


class NestedInplace(BaseModel):
    """In-place activations at several depths, one inside a module that has `inplace` itself."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Sequential(ConvModule(3, 4, 3, act_cfg=dict(type='ReLU'), inplace=True)),
            nn.Conv2d(4, 4, 3),
            nn.Hardswish(inplace=True),
        )
        self.register_module('absent', None)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        loss = self.body(inputs).mean()
        return dict(loss=loss) if mode == 'loss' else loss


def distill(**kwargs):
    recorders = dict(
        nested=dict(type='mmrazor.ModuleOutputs', source='body.0.0.conv'),
        plain=dict(type='mmrazor.ModuleOutputs', source='body.1'),
    )
    torch.manual_seed(0)
    return SingleTeacherDistill(
        architecture=NestedInplace(),
        teacher=NestedInplace(),
        distiller=dict(
            type='mmrazor.ConfigurableDistiller',
            student_recorders=recorders,
            teacher_recorders=deepcopy(recorders),
        ),
        **kwargs,
    )


def overwritten_features(algorithm):
    """The recorded outputs that are no longer what their module returned."""
    returned = {}
    hooks = [
        model.get_submodule(path).register_forward_hook(
            lambda _, __, output, key=(side, name): returned.__setitem__(key, output.clone())
        )
        for side, model in (('student', algorithm.student), ('teacher', algorithm.teacher))
        for name, path in (('nested', 'body.0.0.conv'), ('plain', 'body.1'))
    ]
    algorithm(torch.randn(2, 3, 8, 8), mode='loss')
    for hook in hooks:
        hook.remove()

    recorders = dict(
        student=algorithm.distiller.student_recorders, teacher=algorithm.distiller.teacher_recorders
    )
    assert len(returned) == 4
    return {
        (side, name)
        for (side, name), output in returned.items()
        if not torch.equal(recorders[side].get_recorder(name).get_record_data(), output)
    }


def inplace_flags(algorithm):
    """Of all modules that have one, student and teacher."""
    return [module.inplace for module in algorithm.modules() if hasattr(module, 'inplace')]


def test_recorded_features_are_not_overwritten():
    algorithm = distill()

    assert overwritten_features(algorithm) == set()
    assert inplace_flags(algorithm) == [False] * 6


def test_inplace_is_kept_where_asked_for():
    algorithm = distill(module_inplace=True, teacher_module_inplace=True)

    assert inplace_flags(algorithm) == [True] * 6
    # The network goes on with copies.
    assert overwritten_features(algorithm) == set()


def test_only_a_flag_called_inplace_is_changed():
    class Odd(BaseModel):
        def __init__(self):
            super().__init__()
            self.inplace = nn.ReLU(inplace=True)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return inputs

    class Readonly(nn.Module):
        inplace = property(lambda self: False)

    model = Odd()
    model.readonly = Readonly()
    algorithm = MODELS.get('mmrazor.BaseAlgorithm')(model)

    assert isinstance(algorithm.architecture.inplace, nn.ReLU)
    assert algorithm.architecture.inplace.inplace is False


# --- Checkpoints ----------------------------------------------------------------------------------


class RandomImages(Dataset):
    metainfo = dict(classes=('a', 'b', 'c'), palette=np.arange(9, dtype=np.uint8).reshape(3, 3))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        sample = DataSample(metainfo=dict(num_classes=3)).set_gt_label(index % 3)
        generator = torch.Generator().manual_seed(index)
        return dict(inputs=torch.rand(3, 16, 16, generator=generator) * 255, data_samples=sample)


def classifier(width):
    return dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', num_classes=3),
        backbone=dict(
            type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=width, base_channels=width
        ),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(
            type='mmpretrain.LinearClsHead',
            num_classes=3,
            in_channels=width * 8,
            # The default has no scope, and in that of MMRazor it is torch's own loss.
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
        ),
    )


def train(work_dir, max_epochs, **kwargs):
    """Train a student of a teacher with MMEngine's Runner, on random images."""
    source = dict(type='mmrazor.ModuleOutputs', source='head.fc')
    data = dict(
        batch_size=4,
        num_workers=0,
        dataset=RandomImages(),
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=pseudo_collate,
    )
    runner = Runner(
        model=dict(
            type='mmrazor.SingleTeacherDistill',
            architecture=classifier(2),
            teacher=classifier(4),
            distiller=dict(
                type='mmrazor.ConfigurableDistiller',
                student_recorders=dict(fc=source),
                teacher_recorders=dict(fc=source),
                distill_losses=dict(loss_kl=dict(type='mmrazor.KLDivergence')),
                loss_forward_mappings=dict(
                    loss_kl=dict(
                        preds_S=dict(from_student=True, recorder='fc'),
                        preds_T=dict(from_student=False, recorder='fc'),
                    )
                ),
            ),
        ),
        work_dir=str(work_dir),
        train_dataloader=data,
        val_dataloader=deepcopy(data),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
        val_evaluator=dict(type='mmpretrain.Accuracy'),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=1),
            dict(type='MultiStepLR', milestones=[1]),
        ],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, save_best='auto')),
        default_scope='mmrazor',
        experiment_name=f'{Path(work_dir).name}-{max_epochs}',
        randomness=dict(seed=0),
        log_level='ERROR',
        **kwargs,
    )
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A work_dir with the checkpoint that a Runner wrote after one epoch, and that Runner."""
    work_dir = tmp_path_factory.mktemp('trained')
    return work_dir, train(work_dir, max_epochs=1)


def test_runner_checkpoint_loads_by_default(trained):
    work_dir, runner = trained

    checkpoint = torch.load(work_dir / 'epoch_1.pth')

    hub = checkpoint['message_hub']
    for name in ('train/lr', 'train/loss', 'train/distill.loss_kl'):
        buffer = hub['log_scalars'][name]
        assert type(buffer) is HistoryBuffer
        for loaded, logged in zip(
            buffer.data, runner.message_hub.get_scalar(name).data, strict=True
        ):
            assert type(loaded) is np.ndarray
            assert loaded.dtype == logged.dtype
            np.testing.assert_array_equal(loaded, logged)
        assert buffer.statistics('mean') == runner.message_hub.get_scalar(name).mean()
        assert vars(buffer).keys() == {'max_length', '_log_history', '_count_history'}
    assert hub['runtime_info']['best_score'] == runner.message_hub.get_info('best_score')
    np.testing.assert_array_equal(
        checkpoint['meta']['dataset_meta']['palette'], RandomImages.metainfo['palette']
    )
    momentum = checkpoint['optimizer']['state'][0]['momentum_buffer']
    assert torch.equal(momentum, runner.optim_wrapper.state_dict()['state'][0]['momentum_buffer'])
    assert checkpoint['param_schedulers'] == [
        scheduler.state_dict() for scheduler in runner.param_schedulers
    ]


def test_runner_resumes_its_checkpoint(trained, tmp_path):
    work_dir, first = trained
    shutil.copytree(work_dir, tmp_path, dirs_exist_ok=True)

    runner = train(tmp_path, max_epochs=2, resume=True)

    assert runner.epoch == 2
    assert len(runner.message_hub.get_scalar('train/lr').data[0]) == 4
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(0.01)]
    # What was loaded can be saved and loaded again.
    again = torch.load(tmp_path / 'epoch_2.pth')
    np.testing.assert_array_equal(
        again['message_hub']['log_scalars']['train/loss'].data[0][:2],
        first.message_hub.get_scalar('train/loss').data[0],
    )
    loops = runner.message_hub.log_scalars.keys()
    assert {'val/accuracy/top1', 'val/teacher.accuracy/top1'} <= loops


def test_teacher_loads_runner_checkpoint(trained):
    work_dir, runner = trained
    teacher = NestedInplace()
    path = work_dir / 'teacher.pth'
    checkpoint = torch.load(work_dir / 'epoch_1.pth')
    torch.save(dict(checkpoint, state_dict=teacher.state_dict()), path)

    algorithm = distill(teacher_ckpt=str(path))

    for name, value in teacher.state_dict().items():
        assert torch.equal(algorithm.teacher.state_dict()[name], value)


@pytest.mark.parametrize('strategy', ['cos', 'linear'])
def test_one_cycle_schedule_loads_by_default(tmp_path, strategy):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = OneCycleLR(optimizer, eta_max=0.1, total_steps=4, anneal_strategy=strategy)
    torch.save(scheduler.state_dict(), tmp_path / 'scheduler.pth')

    assert torch.load(tmp_path / 'scheduler.pth') == scheduler.state_dict()


@weights_only
@pytest.mark.parametrize('module', [b'numpy.core.multiarray', b'numpy._core.multiarray'])
def test_either_numpy_reads_the_other(trained, tmp_path, module):
    work_dir, _ = trained
    path = tmp_path / 'other_numpy.pth'
    with zipfile.ZipFile(work_dir / 'epoch_1.pth') as source, zipfile.ZipFile(path, 'w') as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith('/data.pkl'):
                own = b'numpy._core' if b'numpy._core' in data else b'numpy.core'
                assert own + b'.multiarray\n' in data
                data = data.replace(own + b'.multiarray\n', module + b'\n')
            target.writestr(name, data)

    checkpoint = torch.load(path)

    assert checkpoint['message_hub']['log_scalars']['train/lr'].data[0].dtype == np.float64


@weights_only
@pytest.mark.parametrize('code', sorted(compat.checkpoints._DTYPES))
def test_arrays_and_scalars_keep_value_and_dtype(tmp_path, code):
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype=code)
    torch.save([array, np.asfortranarray(array), array[0, 1]], tmp_path / 'numbers.pth')

    loaded = torch.load(tmp_path / 'numbers.pth')

    for before, after in zip((array, array, array[0, 1]), loaded, strict=True):
        assert isinstance(after, type(before)) and after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


class Call:
    """Pickles as a call, so that loading it performs the call, and then sets the state."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Nothing: pickle only asks that a function can be called."""


reconstruct = np.zeros(1).__reduce__()[0]
scalar = np.float64(0).__reduce__()[0]


def buffer_state(**extra):
    return dict(
        max_length=10, _log_history=np.zeros(1), _count_history=np.ones(1, dtype=np.int64), **extra
    )


class Module(nn.Module):
    pass


ATTACKS = {
    'os.system': lambda shell: Call(os.system, shell),
    'builtins.eval': lambda shell: Call(eval, f'__import__("os").system({shell!r})'),
    'getattr, then a call': lambda shell: Call(Call(getattr, HistoryBuffer, 'mean'), shell),
    'getattr of a class': lambda shell: Call(getattr, HistoryBuffer, '__init__'),
    'getattr chain': lambda shell: Call(
        getattr, Call(getattr, HistoryBuffer, '__init__'), '__globals__'
    ),
    'getattr of a method': lambda shell: Call(
        getattr, Call(getattr, HistoryBuffer, 'mean'), '__globals__'
    ),
    'getattr of another method': lambda shell: Call(getattr, HistoryBuffer, 'register_statistics'),
    'getattr of another object': lambda shell: Call(getattr, torch.Tensor, 'mean'),
    'getattr of a scheduler': lambda shell: Call(getattr, OneCycleParamScheduler, '__init__'),
    'method of HistoryBuffer': lambda shell: Call(
        HistoryBuffer.register_statistics, HistoryBuffer.mean
    ),
    'object dtype': lambda shell: Call(np.dtype, 'O'),
    'structured dtype': lambda shell: Call(np.dtype, [('a', 'O')]),
    'object array': lambda shell: np.array([Call(os.system, shell)], dtype=object),
    'object scalar': lambda shell: Call(
        scalar, np.dtype('O'), f'cos\nsystem\n(V{shell}\ntR.'.encode()
    ),
    'state of a HistoryBuffer': lambda shell: Call(
        HistoryBuffer, state=buffer_state(update=HistoryBuffer.mean)
    ),
    'class of a HistoryBuffer': lambda shell: Call(
        HistoryBuffer, state=buffer_state(__class__=np.ndarray)
    ),
    'shared methods of a HistoryBuffer': lambda shell: Call(
        HistoryBuffer, state=buffer_state(_statistics_methods={})
    ),
    'a module': lambda shell: Module(),
    'dtype class': lambda shell: Call(type(np.dtype('f8'))),
}


@weights_only
@pytest.mark.parametrize('attack', ATTACKS.values(), ids=ATTACKS.keys())
def test_malicious_checkpoint_is_refused(tmp_path, attack):
    marker = tmp_path / 'marker'
    path = tmp_path / 'malicious.pth'
    torch.save(dict(state_dict=attack(f'echo > {marker}')), path)

    for load in (torch.load, CheckpointLoader.load_checkpoint):
        with pytest.raises(UnpicklingError):
            load(str(path))

    assert not marker.exists()


@pytest.fixture
def url(tmp_path, monkeypatch):
    """The address of a web server on this machine, which serves `tmp_path / 'web'`."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'web').mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'web'))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


@weights_only
def test_downloaded_checkpoints_are_restricted_too(tmp_path, url):
    marker = tmp_path / 'marker'
    malicious = dict(state_dict=Call(os.system, f'echo > {marker}'))
    torch.save(malicious, tmp_path / 'web/malicious.pth')
    torch.save(dict(state_dict=dict(weight=torch.ones(2))), tmp_path / 'web/good.pth')

    with pytest.raises(UnpicklingError):
        CheckpointLoader.load_checkpoint(f'{url}/malicious.pth', map_location='cpu')
    assert not marker.exists()
    good = CheckpointLoader.load_checkpoint(f'{url}/good.pth', map_location='cpu')
    assert torch.equal(good['state_dict']['weight'], torch.ones(2))


@weights_only
def test_checkpoint_cannot_forge_object_pointers(tmp_path):
    """With the real numpy names each of these reads the eight bytes as the address of an object."""
    address = (8).to_bytes(8, 'little')
    flagged = Call(np.dtype, 'f8', False, True, state=(3, '<', None, None, None, -1, -1, 63))
    path = tmp_path / 'forged.pth'
    torch.save(
        [
            flagged,
            Call(reconstruct, np.ndarray, (1,), 'O'),
            Call(np.ndarray, (1,), 'O', bytearray(address)),
            Call(reconstruct, np.ndarray, (0,), b'b', state=(1, (1,), flagged, False, address)),
        ],
        path,
    )

    dtype, *arrays = torch.load(path)
    twice = arrays[-1]

    assert not dtype.hasobject and not np.dtype('f8').hasobject
    assert [array.dtype.hasobject for array in arrays] == [False] * 3
    assert [array.size for array in arrays] == [0, 0, 1]
    # Would leave a tensor that shares its memory with freed memory.
    with pytest.raises(UnpicklingError, match='twice'):
        twice.__setstate__(np.zeros(2).__reduce__()[2])


@weights_only
def test_checkpoint_cannot_replace_statistics(tmp_path):
    before = dict(HistoryBuffer._statistics_methods)
    state = buffer_state(statistics_methods=dict(mean=HistoryBuffer.min, new=HistoryBuffer.max))
    torch.save(Call(HistoryBuffer, state=state), tmp_path / 'buffer.pth')

    buffer = torch.load(tmp_path / 'buffer.pth')

    assert type(buffer) is HistoryBuffer and buffer.mean() == 0
    assert HistoryBuffer._statistics_methods == before


@weights_only
@pytest.mark.parametrize(
    ('real', 'name'),
    [
        (reconstruct, 'numpy.core.multiarray._reconstruct'),
        (reconstruct, 'numpy._core.multiarray._reconstruct'),
        (np.ndarray, 'numpy.ndarray'),
        (np.dtype, 'numpy.dtype'),
    ],
)
def test_other_code_may_allow_numpy_too(trained, real, name):
    """When others allow numpy's own functions, either of the two may serve a name."""
    work_dir, _ = trained
    allowed = torch.serialization.get_safe_globals()
    others = [entry for entry in allowed if not (isinstance(entry, tuple) and entry[1] == name)]
    assert len(others) == len(allowed) - 1
    torch.serialization.clear_safe_globals()
    try:
        torch.serialization.add_safe_globals([*others, (real, name)])
        checkpoint = torch.load(work_dir / 'epoch_1.pth')
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)

    values, counts = checkpoint['message_hub']['log_scalars']['train/lr'].data
    assert values.dtype == np.float64 and values.shape == counts.shape == (2,)


# --- Configs --------------------------------------------------------------------------------------


def test_editable_install_and_inheritance(tmp_path):
    """Metadata in one folder and code in another, with links in `.mim`: an editable install."""
    source, site = tmp_path / 'source', tmp_path / 'site-packages'
    package = source / 'amkd_mm'
    package.mkdir(parents=True)
    shutil.copy(compat.configs.__file__, package / 'repairs.py')
    (package / '__init__.py').touch()
    configs = source / 'configs' / 'toy'
    configs.mkdir(parents=True)
    (configs / 'base.py').write_text(
        "_base_ = ['mmpretrain::_base_/default_runtime.py', './sibling.py']\n"
        "model = dict(type='Own', part=dict(type='Part'))\n"
    )
    (configs / 'sibling.py').write_text("sibling = dict(type='Sibling')\n")
    mim = package / '.mim'
    mim.mkdir()
    (mim / 'configs').symlink_to(Path('..', '..', 'configs'))
    (mim / 'model-index.yml').write_text('Import: []\n')
    metadata = site / 'amkd_mm-0.1.dist-info'
    metadata.mkdir(parents=True)
    (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: amkd_mm\nVersion: 0.1\n')
    (metadata / 'top_level.txt').write_text('amkd_mm\n')
    (tmp_path / 'config.py').write_text("_base_ = 'amkd_mm::toy/base.py'\nmodel = dict(extra=1)\n")

    script = """
        from amkd_mm import repairs

        repairs.apply()

        from mmengine.config import Config
        from mmengine.hub import get_config
        from mmengine.utils import get_installed_path, is_installed

        print(get_installed_path('amkd_mm'))
        print(is_installed('amkd_mm'))
        print(dict(Config.fromfile('config.py').model))
        print(dict(get_config('amkd_mm::toy/base.py').sibling))
    """
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(script)],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, (site, source)))),
        capture_output=True,
        text=True,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-4:] == [
        str(package),
        'True',
        str({'type': 'Own', 'part': {'type': 'Part'}, 'extra': 1}),
        str({'type': 'Sibling'}),
    ]
    assert 'pkg_resources' not in result.stderr


def test_hub_builds_a_model_of_another_package():
    model = get_model('mmpretrain::resnet/resnet18_8xb16_cifar10.py')

    assert type(model).__name__ == 'ImageClassifier'


def test_scope_of_other_packages_is_kept(tmp_path):
    (tmp_path / 'config.py').write_text("_base_ = 'mmpretrain::_base_/models/resnet18_cifar.py'\n")

    assert Config.fromfile(tmp_path / 'config.py').model['_scope_'] == 'mmpretrain'


def test_distributions_named_unlike_their_package_are_found():
    assert package_utils.is_installed('PyYAML')
    assert not package_utils.is_installed('no_such_package')


def test_apply_again_changes_nothing():
    from mmengine.dataset import ConcatDataset
    from mmengine.registry import FUNCTIONS, Registry
    from mmengine.runner import runner as mmengine_runner
    from mmpretrain.engine import VisualizationHook
    from mmpretrain.models.backbones import LeNet5
    from mmrazor.engine import StopDistillHook
    from mmrazor.models.algorithms.base import BaseAlgorithm

    def state():
        serialization = torch.serialization
        allowed = getattr(serialization, 'get_safe_globals', list)()
        return (
            sys.modules['mmrazor.structures.quantization'],
            BaseAlgorithm.set_module_inplace_false,
            set(allowed),
            package_utils.is_installed,
            package_utils.get_installed_path,
            Config._get_cfg_path,
            LeNet5.forward,
            ConcatDataset.full_init,
            StopDistillHook.before_train,
            VisualizationHook._draw_samples,
            Registry.build,
            mmengine_runner._load_checkpoint,
            Runner.resume,
            FUNCTIONS.get('default_collate'),
        )

    before = state()
    compat.apply()

    assert state() == before


def test_upstream_is_left_alone_where_it_has_no_fault():
    """OneDL's MMEngine does without `pkg_resources`, and copies of its datasets share no memo."""
    is_onedl = installed_lines() == [ONEDL]
    for function in (package_utils.is_installed, package_utils.get_installed_path):
        assert (function.__module__ == 'mmengine.utils.package_utils') == is_onedl
        assert 'pkg_resources' not in function.__code__.co_names
    copies = compat.datasets.BaseDataset._copy_without_annotation.__closure__
    (wrapped,) = [cell.cell_contents for cell in copies]
    assert (wrapped.__module__ == 'mmengine.dataset.base_dataset') == is_onedl


def test_no_warning_of_missing_operators():
    code = 'import amkd_mm; import mmcv.cnn.bricks.transformer'
    run = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=Path(compat.__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr
    assert 'MultiScaleDeformableAttention' not in run.stderr
    # Nor that there is no client of OneDL's platform.
    assert run.stdout == ''


def test_lenet_classifies_a_single_image():
    from mmpretrain.models.backbones import LeNet5

    network = LeNet5(num_classes=7)
    images = torch.randn(3, 1, 32, 32)
    (together,) = network(images)
    for image, expected in zip(images, together, strict=True):
        (scores,) = network(image[None])
        torch.testing.assert_close(scores, expected[None])
    # As a backbone it is as it was.
    assert LeNet5()(images[:1])[0].shape == (1, 120, 1, 1)


def test_a_wrapped_classifier_is_saved_and_loaded_alone_and_within_another_model():
    pytest.importorskip('timm')
    from mmpretrain.models.classifiers import TimmClassifier

    def build():
        config = dict(model_name='resnet18', num_classes=3)
        # It counts the images of each class in a buffer.
        config['loss'] = dict(type='mmpretrain.SeesawLoss', num_classes=3)
        return TimmClassifier(**config), torch.nn.Linear(2, 2)

    for part in (lambda models: models[0], torch.nn.ModuleList):
        saved, loaded = part(build()), part(build())
        next(iter(saved.buffers())).add_(1)
        loaded.load_state_dict(saved.state_dict())
        for key, value in loaded.state_dict().items():
            assert torch.equal(value, saved.state_dict()[key]), key
    # Alone it has the keys of timm.
    assert 'conv1.weight' in build()[0].state_dict()


def test_copies_of_datasets_share_nothing():
    """MMEngine's share a memo, which keeps them alive and gives them to each other."""
    dataset = Digits(split='test')
    subset = weakref.ref(dataset.get_subset([0]))
    gc.collect()
    assert subset() is None


def test_validation_of_both_networks_leaves_the_weights_alone(tmp_path):
    """EMAHook puts the averaged weights in before a validation, and takes them out after it."""
    from mmengine.hooks import Hook
    from mmengine.runner import Runner
    from mmpretrain.structures import DataSample

    class Images(torch.utils.data.Dataset):
        metainfo = dict()

        def __len__(self):
            return 4

        def __getitem__(self, index):
            sample = DataSample().set_gt_label(index % 2)
            return dict(inputs=torch.full((3, 8, 8), index * 60.0), data_samples=sample)

    class Weights(Hook):
        priority = 'LOWEST'

        def __init__(self):
            self.seen = []

        def see(self, runner):
            self.seen.append(runner.model.student.head.fc.weight.detach().clone())

        def after_train_epoch(self, runner):
            self.see(runner)

        def before_val_iter(self, runner, *_, **__):
            self.during = runner.model.student.head.fc.weight.detach().clone()

        def before_train_epoch(self, runner):
            self.see(runner)

    network = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='CifarResNet', depth=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=64),
    )
    weights, loader = Weights(), dict(batch_size=4, num_workers=0, dataset=Images())
    loader['sampler'] = dict(type='DefaultSampler', shuffle=False)
    runner = Runner(
        model=SingleTeacherDistill(
            architecture=network,
            teacher=deepcopy(network),
            distiller=dict(type='mmrazor.ConfigurableDistiller'),
        ),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        val_dataloader=deepcopy(loader),
        val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
        val_evaluator=dict(type='mmpretrain.Accuracy'),
        custom_hooks=[dict(type='EMAHook', momentum=0.5), weights],
        default_hooks=dict(checkpoint=None),
        default_scope='mmpretrain',
        log_level='ERROR',
        experiment_name='validation',
    )
    runner.train()
    # Before and after the validation of the first epoch.
    assert torch.equal(weights.seen[1], weights.seen[2])
    assert not torch.equal(weights.during, weights.seen[3])
