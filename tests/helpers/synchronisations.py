"""Counts what would make the host wait for a GPU, where there is none: by the operators that run.

On a GPU, ``torch.cuda.set_sync_debug_mode`` tells the same of what runs there.
"""

import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

PACKAGE = str(Path(__file__).parents[2] / 'amkd_mm')
# Operators whose result's shape, or whose answer for the host, depends on values; `multinomial`
# and `bincount` check their arguments' values.
READING = {
    '_local_scalar_dense',  # item(), bool(), int(), float()
    'allclose',
    'argwhere',
    'bincount',
    'equal',
    'is_nonzero',
    'masked_select',
    'multinomial',
    'nonzero',
    'nonzero_numpy',
    '_unique',
    '_unique2',
    'unique_consecutive',
    'unique_dim',
    'unique_dim_consecutive',
}
INDEXING = {'index', '_unsafe_index', 'index_put', 'index_put_', '_index_put_impl_'}
MASKS = (torch.bool, torch.uint8)
# Copies to the host, of which nothing is left to see below Python where all is on the host.
COPYING = {'cpu', 'numpy', 'tolist', '__array__'}
MAKING = {'tensor', 'as_tensor', 'new_tensor'}


class Synchronisations:
    """What was found.

    Attributes:
        where (Counter): How often what synchronised where: ``'nonzero, attacks/base.py:12'``. The
            line is the innermost one of the package, or else of whoever called PyTorch.
    """

    def __init__(self) -> None:
        self.where: Counter[str] = Counter()

    @property
    def number(self) -> int:
        """How many in all."""
        return sum(self.where.values())

    def add(self, what: str) -> None:
        """Count one of the code that runs now."""
        here = [frame for frame in traceback.extract_stack() if frame.filename != __file__]
        package = [frame for frame in here if frame.filename.startswith(PACKAGE)]
        library = str(Path(torch.__file__).parent)
        others = [frame for frame in here if not frame.filename.startswith(library)]
        frame = (package or others)[-1]
        name = frame.filename
        name = name[len(PACKAGE) + 1 :] if package else Path(name).name
        self.where[f'{what}, {name}:{frame.lineno}'] += 1


class Operators(TorchDispatchMode):
    """Sees each operator, also those of other operators and of the backward pass."""

    def __init__(self, found: Synchronisations) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.rpartition('::')[2]
        if (
            name in READING
            or (name in INDEXING and has_mask(name, args))
            or (name == 'repeat_interleave' and kwargs.get('output_size') is None)
            or (name in ('_to_copy', 'copy_') and crosses(name, args, kwargs))
        ):
            self.found.add(name)
        return func(*as_declared(func, args), **kwargs)


class Calls(TorchFunctionMode):
    """Sees the calls in Python that copy between host and device."""

    def __init__(self, found: Synchronisations) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, '__name__', '')
        from_host = bool(args) and not (isinstance(args[0], Tensor) and args[0].is_cuda)
        to_device = kwargs.get('device') is not None or name == 'new_tensor'
        if (
            (name in COPYING and from_host)
            # Data from Python. A tensor of the device itself is not copied.
            or (name in MAKING and to_device and not isinstance(args[-1], Tensor))
            or (name == 'to' and from_host and 'cpu' in (*args[1:2], kwargs.get('device')))
        ):
            self.found.add(name)
        return func(*args, **kwargs)


def as_declared(func, args: tuple) -> list:
    """Arguments as the operator declares them: PyTorch 1 hands over a bool instead of a tensor."""
    return [
        torch.tensor(arg) if isinstance(arg, bool) and str(declared.type) == 'Tensor' else arg
        for arg, declared in zip(args, func._schema.arguments, strict=False)
    ]


def has_mask(name: str, args: tuple) -> bool:
    """Whether there is a mask among the indices, which are counted for the shape of the result."""
    # Filling in a number needs no shape.
    fills = name not in ('index', '_unsafe_index') and args[2].dim() == 0
    return not fills and any(i is not None and i.dtype in MASKS for i in args[1])


def crosses(name: str, args: tuple, kwargs: dict) -> bool:
    """Whether a copy goes from one device to another, and the host waits for it."""
    if name == 'copy_':
        ends = args[1].device, args[0].device
        waits = not (args[2] if len(args) > 2 else kwargs.get('non_blocking', False))
    else:
        ends = args[0].device, kwargs.get('device') or args[0].device
        waits = not kwargs.get('non_blocking', False)
    return ends[0].type != torch.device(ends[1]).type and waits


@contextmanager
def counted_synchronisations():
    """Count, in this thread, what would synchronise host and device if tensors were on a GPU.

    Values of tensors that would be on the host there, such as random numbers of a CPU generator,
    are counted, too. Not counted are copies from the host by ``to(device)``, which cannot be
    told from no copy, and what C++ code does without calling an operator.

    Yields:
        Synchronisations: ``number`` and ``where``, up to date at any time.
    """
    found = Synchronisations()
    with Calls(found), Operators(found):
        yield found
