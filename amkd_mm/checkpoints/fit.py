"""Which weights of a checkpoint belong to a model, and whether they fit.

A distillation's checkpoint holds its networks under the prefixes ``architecture.`` (the student)
and ``teacher.``, that of a classifier alone has no prefix. MMEngine compares names only and goes on
with random weights where none is alike.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

STUDENT, TEACHER = 'architecture.', 'teacher.'
# The least share of a backbone's weights, the model's and the file's, that must find a place. In a
# distillation it is the same network, but for a token or the like that some are trained with. Alone
# a network may begin with whatever fits of another, as in MMEngine, if anything does.
DISTILLED, ALONE = 0.9, 0.1
# A network with this attribute is part of a distillation.
MUST_FIT = '_must_fit'
# How many keys a message lists.
SHOWN = 3


class Chosen(NamedTuple):
    """Weights of a checkpoint, named as a model names them.

    Attributes:
        weights (dict[str, Tensor]): By the model's names.
        within (str): The prefix of the part of the model that they are for; ``''`` for all of it.
        what (str): What was done, to be logged; ``''`` if they are as they were in the file.
        part (str): The prefix of the part of the file that they are; ``''`` for all of it.
    """

    weights: Mapping[str, Tensor]
    within: str = ''
    what: str = ''
    part: str = ''


def is_algorithm(model: nn.Module) -> bool:
    """Whether a model is an algorithm of MMRazor, with the student in ``architecture``."""
    return isinstance(getattr(model, 'architecture', None), nn.Module)


def has_teacher(model: nn.Module) -> bool:
    """Whether an algorithm has one teacher."""
    return isinstance(getattr(model, 'teacher', None), nn.Module)


def holds(weights: Mapping[str, Tensor], network: nn.Module) -> bool:
    """Whether weights are all that such a network has, or there are none."""
    return not weights or fitting(weights, network) == len(weights) == len(own_weights(network))


def has_part(weights: Iterable[str], prefix: str) -> bool:
    """Whether names of weights begin with a prefix."""
    return any(name.startswith(prefix) for name in weights)


def choose(weights: Mapping[str, Tensor], model: nn.Module) -> Chosen:
    """Choose the weights of a checkpoint that are meant for a model.

    A classifier's weights go into the student of an algorithm. Of a distillation, a classifier gets
    the student, the teacher only if that fits better; a distillation by another teacher gets the
    student, too.

    Args:
        weights (Mapping[str, Tensor]): A state dict; ``module.``, which parallel wrappers and
            averaged models put before every name, is taken off.
        model (nn.Module): An algorithm, or a network.

    Returns:
        Chosen: The weights; they need not fit.
    """
    if not fitting(weights, model):
        weights = without_wrapper(weights)
    from_algorithm = has_part(weights, STUDENT)
    if is_algorithm(model) and from_algorithm:
        if not has_teacher(model) or holds(moved(weights, TEACHER, ''), model.teacher):
            return Chosen(weights)
        what = 'the file is of a distillation by another teacher: only its student is taken'
        return Chosen(moved(weights, STUDENT, STUDENT), STUDENT, what)
    if is_algorithm(model):
        if not weights or fitting(weights, model):
            return Chosen(weights)
        what = 'the file holds one network: its weights go into the student, `model.architecture`'
        return Chosen(moved(weights, '', STUDENT), STUDENT, what)
    if not from_algorithm or fitting(weights, model):
        return Chosen(weights)
    parts = {prefix: moved(weights, prefix, '') for prefix in (STUDENT, TEACHER)}
    # The first of equals: the student of one distillation teaches the next.
    prefix = max(parts, key=lambda part: fitting(parts[part], model))
    name = 'student' if prefix == STUDENT else 'teacher'
    what = f'of the distillation in the file, the {name} is taken'
    return Chosen(parts[prefix], what=what, part=prefix)


def weights_in(checkpoint: Mapping) -> Mapping[str, Tensor]:
    """The weights of a checkpoint, which may be a plain state dict, without a wrapper's prefix."""
    return without_wrapper(checkpoint.get('state_dict', checkpoint))


def without_wrapper(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights without the ``module.`` that parallel wrappers put before every name."""
    if all(name.startswith('module.') for name in weights):
        return moved(weights, 'module.', '')
    return weights


def own_weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers of a model by the names of its modules.

    ``state_dict`` of MMPretrain's ``TimmClassifier`` and ``HuggingFaceClassifier`` has other names,
    unless they are within another model.
    """
    found = dict(model.named_parameters())
    for place, module in model.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:
                found[f'{place}.{name}'.lstrip('.')] = buffer
    return found


def fitting(weights: Mapping[str, Tensor], model: nn.Module) -> int:
    """How many weights a model has by the same name, either of its two, and of the same shape."""
    own = {**model.state_dict(), **own_weights(model)}
    return sum(name in own and own[name].shape == shape(value) for name, value in weights.items())


def shape(value) -> tuple | None:
    """The shape of a tensor; None of what a file holds instead."""
    return getattr(value, 'shape', None)


def moved(weights: Mapping[str, Tensor], prefix: str, to: str) -> dict[str, Tensor]:
    """The weights whose names begin with a prefix, which is replaced.

    The versions of modules, which PyTorch keeps beside the weights, move with them.
    """
    found = type(weights)()
    for name, value in weights.items():
        if name.startswith(prefix):
            found[to + name[len(prefix) :]] = value
    versions = getattr(weights, '_metadata', None)
    if versions is not None and hasattr(found, '__dict__'):
        found._metadata = {
            (to + f'{name}.'[len(prefix) :]).rstrip('.'): value
            for name, value in versions.items()
            if f'{name}.'.startswith(prefix)
        }
    return found


def check_fit(
    chosen: Chosen, model: nn.Module, failed: set[str], unexpected: list[str]
) -> str | None:
    """Judge a load by what became of it.

    The backbone of a student must fit, where it has one; of a network alone, a part. A head may be
    for another number of classes, and what was learned without labels may come without a head.

    Args:
        chosen (Chosen): What was loaded.
        model (nn.Module): Into what.
        failed (set[str]): The model's weights that were not in the file, or had another shape.
        unexpected (list[str]): Those in the file that the model does not have.

    Returns:
        str | None: What did not fit, to be logged; None if all did.

    Raises:
        ValueError: If the weights are not those of such a network; names both sides.
    """
    # PyTorch fills in a missing counter of batch norm.
    expected, unexpected, given = (
        [name for name in names if not name.endswith('num_batches_tracked')]
        for names in (own_weights(model), unexpected, chosen.weights)
    )
    expected = [name for name in expected if name.startswith(chosen.within)]
    failed = [name for name in expected if name in failed]
    network = chosen.within or (STUDENT if is_algorithm(model) else '')
    backbone = f'{network}backbone.'
    judged = backbone if has_part(expected, backbone) else network
    least = DISTILLED if network or getattr(model, MUST_FIT, False) else ALONE
    ours, lost, foreign = (
        sum(name.startswith(judged) for name in names) for names in (expected, failed, unexpected)
    )
    if ours - lost < least * (ours + foreign):
        own, kept, found = (
            [name.removeprefix(network) for name in names if name.startswith(network)]
            for names in (expected, set(expected) - set(failed), given)
        )
        raise ValueError(
            f'the checkpoint does not fit {title(model, network)}: of its {len(own)} weights, '
            f'{listed(own)}, {len(kept)} are in the file, which has {len(found)}, '
            f'{listed(found)}{hint(chosen, model, len(kept))}'
        )
    if not failed and not unexpected:
        return None
    fitted, part = len(expected) - len(failed), title(model, chosen.within)
    text = f'{fitted} of the {len(expected)} weights of {part} were loaded'
    if failed:
        text += f'; {len(failed)} are not in the file or have another shape there, '
        text += f'{listed(failed)}: they stay as they were'
    if unexpected:
        text += f'; {len(unexpected)} weights in the file have no place, {listed(unexpected)}'
    return text


def title(model: nn.Module, part: str) -> str:
    """The part of a model with a prefix, in words."""
    if part == STUDENT:
        return f'the student ({type(model.architecture).__name__})'
    return f'the model ({type(model).__name__})'


def hint(chosen: Chosen, model: nn.Module, kept: int) -> str:
    """What else the weights may be, or how a part of them can be taken."""
    plain = moved(chosen.weights, chosen.within, '')
    if plain and has_teacher(model) and holds(plain, model.teacher):
        return '. They are of the teacher: give their file as `model.teacher_ckpt`'
    for part in dict.fromkeys(name.partition('.')[0] for name in plain):
        part_weights = moved(plain, f'{part}.', '')
        if part_weights and holds(part_weights, model):
            return f". Its weights below '{part}.' fit: set `prefix='{part}.'` in the `init_cfg`"
    if kept and is_algorithm(model):
        return (
            ". To begin with what fits of another network, set `init_cfg=dict(type='Pretrained', "
            'checkpoint=...)` in `model.architecture`'
        )
    return ''


def listed(names: Iterable[str]) -> str:
    """The first of some names."""
    names = list(names)
    more = [] if len(names) <= SHOWN else ['...']
    return f'[{", ".join(names[:SHOWN] + more)}]'
