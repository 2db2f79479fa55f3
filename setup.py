"""Package metadata, and the step that puts configs and tools where OpenMMLab looks for them."""

import shutil
from pathlib import Path
from runpy import run_path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What `amkd_mm::...` in a config's `_base_`, `mmengine.hub` and `mim` read from `amkd_mm/.mim`.
MIM_FILES = ('configs', 'tools', 'model-index.yml')

# MMEngine, MMCV and MMPretrain: there are two lines of releases, whose files have the same names.
LINES = run_path(str(ROOT / 'amkd_mm' / 'compat' / 'lines.py'))['LINES']

INSTALL_REQUIRES = [
    # The oldest release that MMRazor 1.0.0 itself accepts. With torch 1.13 also install `numpy<2`:
    # that release was compiled against numpy 1.
    'torch>=1.13',
    'torchvision',
    # `amkd_mm.compat` repairs exactly this release on current torch. It requires none of the line.
    'mmrazor==1.0.*',
    # The embedded Digits data; it also brings scipy, which MMRazor imports but does not declare.
    'scikit-learn',
    'matplotlib>=3.7',
    'numpy',
    # Of the benchmark and of work folders: locks that children keep, process trees, bars.
    'filelock>=3.30',
    'psutil>=7.2',
    'rich',
]

EXTRAS_REQUIRE = {
    # One of them. No requirements, because each pip would install over the other, and mmcv-lite
    # over a full MMCV.
    **{line.extra: list(line.requirements) for line in LINES},
    # Networks of timm as teachers and students, by MMPretrain's TimmClassifier and TIMMBackbone.
    'timm': ['timm'],
    # MMEngine's TensorboardVisBackend.
    'tensorboard': ['tensorboard'],
    # The second runs tests in several processes, `pytest -n 2`.
    'test': ['pytest>=7.0', 'pytest-xdist'],
    'dev': [
        'pytest>=7.0',
        'pytest-xdist',
        'pytest-cov>=7.0',
        # Run the notebook.
        'ipykernel',
        'nbclient',
        # Each minor release of ruff may format differently, and one of mypy find other errors.
        'ruff>=0.17,<0.18',
        'mypy>=2.4,<2.5',
    ],
}
# All that goes together: of the lines the first, see docs/compatibility.md.
OTHER_LINES = {line.extra for line in LINES[1:]}
EXTRAS_REQUIRE['all'] = sorted(
    {one for extra, needs in EXTRAS_REQUIRE.items() if extra not in OTHER_LINES for one in needs}
)
# The documentation site. Not part of `all`, because only who builds the site needs it.
EXTRAS_REQUIRE['docs'] = ['sphinx>=8.1', 'myst-parser>=4.0', 'furo>=2024.8.6', 'sphinx-copybutton']


class BuildPyWithMim(build_py):
    """Put `configs`, `tools` and `model-index.yml` into `amkd_mm/.mim`.

    A wheel gets copies. An editable install gets links in the source tree, so that an edited config
    takes effect at once.
    """

    def run(self):
        super().run()
        package = ROOT / 'amkd_mm' if self.editable_mode else Path(self.build_lib) / 'amkd_mm'
        for name in MIM_FILES:
            self._place(ROOT / name, package / '.mim' / name, link=self.editable_mode)

    @staticmethod
    def _place(source, target, link):
        if not source.exists():
            raise FileNotFoundError(f'{source} is missing: build from a complete source tree')
        # A leftover of an earlier build may be a link, a folder, or hold files deleted since.
        if target.is_symlink() or target.is_file():
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            try:
                target.symlink_to(Path('..', '..', source.name), source.is_dir())
                return
            except OSError:  # Windows without developer mode, some network drives
                pass
        if source.is_dir():
            ignore = shutil.ignore_patterns('__pycache__', '*.py[cod]')
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy2(source, target)


def read_version():
    scope = {}
    exec((ROOT / 'amkd_mm' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


setup(
    name='amkd_mm',
    version=read_version(),
    description='Adversarial Metric Knowledge Distillation for MMRazor and MMPretrain',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='amkd_mm contributors',
    license='Apache-2.0',
    keywords='knowledge distillation, adversarial, OpenMMLab, mmrazor, mmpretrain',
    packages=find_packages(include=['amkd_mm', 'amkd_mm.*']),
    # It says that the annotations are to be read.
    package_data={'amkd_mm': ['py.typed']},
    cmdclass={'build_py': BuildPyWithMim},
    python_requires='>=3.10',
    entry_points={'console_scripts': ['amkd_mm = amkd_mm.__main__:main']},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
)
