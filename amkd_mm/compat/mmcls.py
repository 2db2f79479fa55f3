"""MMClassification's name, `mmcls`, means MMPretrain, into which MMClassification was renamed.

MMRazor 1.0.0 was written for mmcls 1.0.0rc6: all its configs for classification, and the classes of
its own that extend those of mmcls. Nothing is changed where mmcls itself is installed.
"""

import functools
import importlib
import inspect
import logging
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from mmengine.config import config as mmengine_config
from mmengine.config import utils as mmengine_config_utils
from mmengine.hub import hub as mmengine_hub
from mmengine.logging import print_log
from mmengine.registry import DefaultScope, Registry

FORMER, PRESENT = 'mmcls', 'mmpretrain'

# Classes of mmcls 1.0.0rc6 that have another name in MMPretrain 1.2.0.
CLASSES = {
    'ClsDataSample': 'DataSample',
    'ClsVisualizer': 'UniversalVisualizer',
    'PackClsInputs': 'PackInputs',
}

# Configs of mmcls 1.0.0rc6 that have another path in MMPretrain 1.2.0.
CONFIGS = {
    'beit/beit-base-p16_8xb64_in1k.py': 'beit/benchmarks/beit-base-p16_8xb64_in1k.py',
    'beitv2/beitv2-base-p16_8xb64_in1k.py': 'beitv2/benchmarks/beit-base-p16_8xb64_in1k.py',
    'deit/deit-base-distilled_ft-16xb32_in1k-384px.py': (
        'deit/deit-base-distilled_16xb32_in1k-384px.py'
    ),
    'deit/deit-base-distilled_pt-16xb64_in1k.py': 'deit/deit-base-distilled_16xb64_in1k.py',
    'deit/deit-base_ft-16xb32_in1k-384px.py': 'deit/deit-base_16xb32_in1k-384px.py',
    'deit/deit-base_pt-16xb64_in1k.py': 'deit/deit-base_16xb64_in1k.py',
    'deit/deit-small-distilled_pt-4xb256_in1k.py': 'deit/deit-small-distilled_4xb256_in1k.py',
    'deit/deit-small_pt-4xb256_in1k.py': 'deit/deit-small_4xb256_in1k.py',
    'deit/deit-tiny-distilled_pt-4xb256_in1k.py': 'deit/deit-tiny-distilled_4xb256_in1k.py',
    'deit/deit-tiny_pt-4xb256_in1k.py': 'deit/deit-tiny_4xb256_in1k.py',
    'mixmim/mixmim-base_8xb64_in1k.py': 'mixmim/benchmarks/mixmim-base_8xb64_in1k.py',
    'swin_transformer/swin-large_8xb8_cub_384px.py': (
        'swin_transformer/swin-large_8xb8_cub-384px.py'
    ),
    **{
        f'vision_transformer/vit-{former}.py': f'vision_transformer/vit-{present}.py'
        for former, present in {
            'base-p16_ft-4xb544-ipu_in1k': 'base-p16_4xb544-ipu_in1k',
            'base-p16_ft-64xb64_in1k-384': 'base-p16_64xb64_in1k-384px',
            'base-p16_pt-32xb128-mae_in1k-224': 'base-p16_32xb128-mae_in1k',
            'base-p16_pt-64xb64_in1k-224': 'base-p16_64xb64_in1k',
            'base-p32_ft-64xb64_in1k-384': 'base-p32_64xb64_in1k-384px',
            'base-p32_pt-64xb64_in1k-224': 'base-p32_64xb64_in1k',
            'large-p16_ft-64xb64_in1k-384': 'large-p16_64xb64_in1k-384px',
            'large-p16_pt-64xb64_in1k-224': 'large-p16_64xb64_in1k',
            'large-p32_ft-64xb64_in1k-384': 'large-p32_64xb64_in1k-384px',
            'large-p32_pt-64xb64_in1k-224': 'large-p32_64xb64_in1k',
        }.items()
    },
}


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    if find_spec(FORMER) is None:
        sys.meta_path.append(_Finder())
        find_former_configs()
        look_up_former_classes()
        split_by_test_mode()


@functools.cache
def warn():
    """Say once what `mmcls` is taken for."""
    print_log(
        'The config names mmcls, which is not installed and is now MMPretrain: `mmcls::`, `mmcls.` '
        'and the names of its configs and classes are read as those of mmpretrain.',
        logger='current',
        level=logging.WARNING,
    )


class _Module(ModuleType):
    """A module of MMPretrain, with the names of mmcls added."""

    def __getattr__(self, name):
        module = importlib.import_module(PRESENT + self.__name__.removeprefix(FORMER))
        return getattr(module, CLASSES.get(name, name))


class _Finder(MetaPathFinder, Loader):
    """``ModuleNotFoundError: No module named 'mmcls'`` in `custom_imports`.

    MMRazor 1.0.0 imports it, too: without it, `DeiTClsHead`, `PackCRDClsInputs` and others that a
    config names end in ``mmcls is not installed properly, plz check``.
    """

    def find_spec(self, fullname, path=None, target=None):
        package, _, name = fullname.partition('.')
        found = find_spec(f'{PRESENT}.{name}'.rstrip('.')) if package == FORMER else None
        if found is None:
            return None
        is_package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, self, origin=found.origin, is_package=is_package)

    def create_module(self, spec):
        module = _Module(spec.name)
        if spec.submodule_search_locations is not None:
            # Not that of MMPretrain's module, whose files would be run a second time.
            module.__path__ = spec.submodule_search_locations
        return module

    def exec_module(self, module):
        importlib.import_module(PRESENT + module.__name__.removeprefix(FORMER))


def find_former_configs():
    """``mmcls is not installed, please install mmcls manually`` for ``mmcls::...``."""
    upstream = mmengine_config_utils._get_package_and_cfg_path

    def get_package_and_cfg_path(cfg_path):
        package, path = upstream(cfg_path)
        if package == FORMER:
            warn()
            package, path = PRESENT, CONFIGS.get(path, path)
        return package, path

    for module in (mmengine_config_utils, mmengine_config, mmengine_hub):
        module._get_package_and_cfg_path = get_package_and_cfg_path


def look_up_former_classes():
    """``Cannot auto import mmcls.registry`` for ``mmcls.ImageClassifier`` and ``_scope_='mmcls'``.

    A class of another name is found without its scope, too, but not in place of one that is
    registered by that name.
    """
    upstream_init, upstream_split = DefaultScope.__init__, Registry.split_scope_key
    upstream_get = Registry.get

    def present(scope):
        if scope == FORMER:
            warn()
            return PRESENT
        return scope

    def init(self, name, scope_name):
        upstream_init(self, name, present(scope_name))

    def split_scope_key(key):
        scope, name = upstream_split(key)
        return present(scope), name

    def get(self, key):
        if self.scope == PRESENT and isinstance(key, str):
            start, dot, name = key.rpartition('.')
            is_former = name in CLASSES and name not in self.module_dict
            if is_former and start in ('', FORMER, PRESENT):
                key = f'{start}{dot}{CLASSES[name]}'
        return upstream_get(self, key)

    DefaultScope.__init__ = init
    Registry.split_scope_key = staticmethod(split_scope_key)
    Registry.get = get


def split_by_test_mode():
    """``test_mode=True`` validates on the training images, with no more than a line in the log.

    That was how a config of mmcls 1.0.0rc6 chose the test images of `CIFAR10`, `MNIST` and `CUB`;
    MMPretrain 1.2.0 asks for ``split='test'`` and takes the training images otherwise. A `split`
    that is given counts.
    """
    from mmpretrain.datasets import CIFAR10, CUB, MNIST

    for kind in (CIFAR10, CUB, MNIST):
        kind.__init__ = _split_by_test_mode(kind.__init__)


def _split_by_test_mode(upstream_init):
    @functools.wraps(upstream_init)
    def init(self, *args, **kwargs):
        given = inspect.signature(upstream_init).bind(self, *args, **kwargs).arguments
        if given.get('test_mode') and 'split' not in given:
            kwargs['split'] = 'test'
        upstream_init(self, *args, **kwargs)

    return init
