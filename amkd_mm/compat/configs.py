"""Configs of packages are found by name, however the package is installed."""

import importlib.util
import os.path as osp

import mmengine.utils
from mmengine.config import Config
from mmengine.config import config as mmengine_config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import hub as mmengine_hub
from mmengine.utils import package_utils

PACKAGE = 'amkd_mm'


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    locate_packages_by_import()
    register_config_package()


def locate_packages_by_import():
    """``FileNotFoundError: .../site-packages/amkd_mm/.mim/...`` after ``pip install -e``.

    MMEngine 0.10.7 expects the code of a package beside its metadata, where an editable install has
    none. It also loads ``pkg_resources`` anew for every ``_base_ = 'package::...'``: each time with
    two deprecation warnings, and not at all from setuptools 82 on. Python's own import system needs
    no help to find a package, and names that it does not know are left to MMEngine. OneDL's 0.10.12
    does without ``pkg_resources``, and stays as it is.
    """
    upstream_is_installed = package_utils.is_installed
    upstream_get_installed_path = package_utils.get_installed_path
    if 'pkg_resources' not in upstream_get_installed_path.__code__.co_names:
        return

    def find(package):
        spec = importlib.util.find_spec(package)
        return osp.dirname(spec.origin) if spec and spec.origin else None

    def is_installed(package):
        return find(package) is not None or upstream_is_installed(package)

    def get_installed_path(package):
        return find(package) or upstream_get_installed_path(package)

    for module in (package_utils, mmengine.utils, mmengine_config, mmengine_hub):
        for function in (is_installed, get_installed_path):
            if hasattr(module, function.__name__):
                setattr(module, function.__name__, function)


def register_config_package():
    """``AssertionError: mmengine does not support to load amkd_mm config``.

    MMEngine 0.10.7 knows the packages whose configs can be inherited by name. For those it also
    looks up the types in an inherited config in a registry of that scope. This package registers in
    MMRazor and MMPretrain and has none, which MMEngine reports as ``amkd_mm is not installed``.
    """
    MODULE2PACKAGE[PACKAGE] = PACKAGE
    upstream_get_cfg_path = Config._get_cfg_path
    if upstream_get_cfg_path.__module__ == __name__:
        return

    def get_cfg_path(cfg_path, filename):
        path, scope = upstream_get_cfg_path(cfg_path, filename)
        return path, None if scope == PACKAGE else scope

    Config._get_cfg_path = staticmethod(get_cfg_path)
