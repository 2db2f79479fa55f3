"""What a config says of each teacher."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from torch import nn

from ..classifiers import TeacherEnsemble, members_of
from ..config.argument_checks import check_kind
from ..config.classes import class_name
from .input_normalization import configured_preprocessor
from .keys import TeacherKeys


class TeacherSettings(NamedTuple):
    """What a config says of a teacher.

    Attributes:
        keys (TeacherKeys): Where it says so.
        network (dict): Settings of the network; empty if the network came built.
        preprocessor (dict | nn.Module, optional): Its ``data_preprocessor``.
        checkpoint (str, optional): Path or URL.
        input_size (int | Sequence[int], optional): Height and width of its images.
    """

    keys: TeacherKeys
    network: Mapping[str, Any]
    preprocessor: dict | nn.Module | None
    checkpoint: str | None
    input_size: int | Sequence[int] | None


def read_teachers(
    teacher: Mapping | nn.Module,
    checkpoints: str | Mapping[str, str] | None = None,
    input_sizes: int | Sequence[int] | Mapping[str, Any] | None = None,
) -> dict[str, TeacherSettings]:
    """Read what a config says of a teacher, or of each member of an ensemble.

    Args:
        teacher (dict | nn.Module): ``model.teacher``, not yet built or built.
        checkpoints (str | dict[str, str], optional): ``model.teacher_ckpt``; of an ensemble a dict,
            with None for a member without one, or None for no checkpoints at all.
        input_sizes (int | Sequence[int] | dict, optional): ``model.teacher_input_size``; of an
            ensemble a dict with some of the members, or one size for all.

    Returns:
        dict[str, TeacherSettings]: By the names of the members; ``''`` for a single teacher.

    Raises:
        KeyError: If a dict names an unknown member.
        TypeError: If an argument is of another type.
        ValueError: If there are checkpoints, and nothing is said of a member's.
    """
    networks = member_settings(teacher)
    is_single = '' in networks
    if is_single:
        example = "'work_dirs/teacher.pth'"
        check_kind('model.teacher_ckpt', checkpoints, (str, type(None)), example)
        checkpoints = {'': checkpoints}
    else:
        example = ', '.join(f"{name}='work_dirs/{name}.pth'" for name in networks)
        kinds = (Mapping, type(None))
        check_kind('model.teacher_ckpt', checkpoints, kinds, f'dict({example})')
        check_names('model.teacher_ckpt', checkpoints or {}, networks)
    if not isinstance(input_sizes, Mapping):
        input_sizes = dict.fromkeys(networks, input_sizes)
    elif is_single:
        example = '224 or (224, 224)'
        raise TypeError(f'model.teacher_input_size must be such as {example}, not {input_sizes!r}')
    else:
        check_names('model.teacher_input_size', input_sizes, networks)

    found = {}
    for name, network in networks.items():
        keys = TeacherKeys(name)
        path = (checkpoints or {}).get(name)
        check_kind(keys.checkpoint, path, (str, type(None)), "'work_dirs/teacher.pth'")
        # None says that a member has none.
        if checkpoints and name not in checkpoints and not has_own_weights(network):
            raise ValueError(
                f'model.teacher_ckpt has no checkpoint of {keys.title}, whose weights would be '
                f"random: set `{keys.checkpoint}='PATH or URL'`"
            )
        found[name] = TeacherSettings(
            keys,
            {} if isinstance(network, nn.Module) else network,
            configured_preprocessor(network),
            path,
            input_sizes.get(name),
        )
    return found


def member_settings(teacher: Mapping | nn.Module) -> dict[str, Mapping | nn.Module]:
    """Of each member of a teacher its settings, or itself; a single teacher is called ``''``."""
    if isinstance(teacher, nn.Module):
        return members_of(teacher)
    # By its name, which means the same in every scope.
    if class_name(teacher) == TeacherEnsemble.__name__:
        members = teacher.get('members')
        # Others are refused when it is built.
        return dict(members) if members and isinstance(members, Mapping) else {}
    return {'': teacher}


def has_own_weights(network: Mapping | nn.Module) -> bool:
    """Whether a network has weights without a checkpoint beside it, as far as its config says."""
    if isinstance(network, nn.Module):
        return True
    return any(
        part.get('pretrained') or part.get('weights') or 'Pretrained' in str(part.get('init_cfg'))
        for part in (network, network.get('backbone') or {})
    )


def check_names(key: str, given: Mapping, members: Mapping) -> None:
    """Raise ``KeyError`` unless all names that a setting has are those of members."""
    for name in given:
        if name not in members:
            close = get_close_matches(str(name), members, 3) or list(members)
            raise KeyError(
                f'{key}.{name}: `model.teacher` has no member {name!r}; did you mean one of '
                f'{close}?'
            )
