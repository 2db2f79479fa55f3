"""Choosing configs by what their names say: the pair, its data and the method."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from .settings import BenchmarkError

# Folders of configs of several methods.
SEVERAL = ('mixes', 'multi_teacher')


class NamedConfig(NamedTuple):
    """What the name of a config says, ``METHOD_TEACHER_STUDENT_GPUSxbBATCH_DATA.py``.

    A network alone, and a method without a teacher, have no teacher.
    """

    path: Path
    method: str
    """The folder; in those with several methods, the beginning of the file's name."""
    teacher: str
    student: str
    data: str

    @property
    def pair(self) -> str:
        """``TEACHER_STUDENT_DATA``, as parts of ``configs/_base_/pairs`` are called."""
        return plain(f'{self.teacher}_{self.student}_{self.data}')


def plain(name: str) -> str:
    """With underscores only, as the names in ``_base_``."""
    return name.replace('-', '_').replace('+', '_')


def read_name(path: Path) -> NamedConfig | None:
    """What the name of a config says; None if it is another kind of name.

    The second of two stages is the method's; what trains the first is found as its prerequisite.
    Several teachers have ``+`` between their names.
    """
    fields = path.stem.removesuffix('_train').split('_')
    batch = next((i for i, field in enumerate(fields) if field.replace('xb', '').isdigit()), 0)
    # Hyphens, not underscores, are within a name: there is one field of data.
    if not batch or len(fields) != batch + 2:
        return None
    method, *networks = path.parent.name, *fields[:batch]
    if method in SEVERAL:
        method = networks[0]
    alone = method == 'vanilla' or plain('_'.join(networks[:-1])) == plain(method)
    teacher = '' if alone or len(networks) < 2 else networks[-2]
    return NamedConfig(path, method, teacher, networks[-1], fields[-1])


def choose_configs(folder: Path, pair: str, methods: Sequence[str] = ()) -> list[Path]:
    """The configs of a pair of networks, by some methods.

    Args:
        folder (Path): Of configs, with a folder for each method.
        pair (str): ``TEACHER_STUDENT``, or ``TEACHER_STUDENT_DATA`` where there is that pair for
            several data sets. Hyphens and underscores are the same.
        methods (Sequence[str]): Names of their folders, or of the methods in ``mixes`` and
            ``multi_teacher``, such as ``amkd-dkd``; ``vanilla`` is the student alone. Defaults to
            all of the pair.

    Returns:
        list[Path]: A file for each method, in their order. What follows the data in a name, as in
        ``cifar10-folder-reuse1``, counts as other data.

    Raises:
        BenchmarkError: If there is no such pair, or for several data sets, or not by a method. The
            message lists what there is.
    """
    named = [read_name(path) for path in sorted(folder.glob('[a-z]*/*.py'))]
    configs = [config for config in named if config is not None]
    pairs = dict.fromkeys(config.pair for config in configs if config.teacher)
    wanted = plain(pair)
    found = [name for name in pairs if name == wanted]
    if not found:
        data = {config.pair: plain(config.data) for config in configs if config.teacher}
        found = [name for name in pairs if name.removesuffix(f'_{data[name]}') == wanted]
    if not found:
        near = get_close_matches(wanted, pairs, 3, 0.6)
        hint = f', did you mean {" or ".join(near)}?' if near else '.'
        raise BenchmarkError(
            f'--pair {pair}: no such pair{hint} There are {", ".join(sorted(pairs))}'
        )
    if len(found) > 1:
        raise BenchmarkError(f'--pair {pair}: say on which data: {" or ".join(found)}')
    of_pair = {config.method: config for config in configs if config.pair == found[0]}
    one = next(iter(of_pair.values()))
    for config in configs:
        if not config.teacher and (config.student, config.data) == (one.student, one.data):
            of_pair[config.method] = config
    methods = list(dict.fromkeys(map(plain, methods))) or [plain(name) for name in of_pair]
    by_name = {plain(name): config.path for name, config in of_pair.items()}
    unknown = [method for method in methods if method not in by_name]
    if unknown:
        raise BenchmarkError(
            f'--methods {" ".join(unknown)}: {found[0]} has no such config, but those of '
            f'{", ".join(sorted(of_pair))}'
        )
    return [by_name[method] for method in methods]
