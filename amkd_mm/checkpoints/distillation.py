"""The networks of a distillation in its checkpoint."""

from collections.abc import Mapping

from torch import Tensor, nn

from .files import exists, teacher_checkpoints
from .fit import moved, weights_in


def network_weights(source: str, checkpoint: Mapping, prefix: str) -> dict[str, Tensor]:
    """The weights of one network of a distillation, by its own names.

    Args:
        source (str): What the checkpoint is, for messages.
        checkpoint (Mapping): Of a distillation.
        prefix (str): ``STUDENT`` or ``TEACHER`` of :mod:`amkd_mm.checkpoints.fit`.

    Raises:
        ValueError: If the checkpoint has no such network.
    """
    weights = moved(weights_in(checkpoint), prefix, '')
    if not weights:
        raise ValueError(
            f'{source} has no key that begins with "{prefix}": give a checkpoint that the '
            'distillation wrote, not that of a student or a teacher alone'
        )
    return weights


def load_all(source: str, network: nn.Module, weights: Mapping[str, Tensor], key: str) -> None:
    """Load weights into a network that has exactly these.

    Args:
        source (str): What the checkpoint is, for messages.
        network (nn.Module): Gets the weights.
        weights (Mapping[str, Tensor]): By the network's names.
        key (str): Config key of the network, for messages.

    Raises:
        ValueError: If they do not fit.
    """
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f'{source} does not fit `{key}`: {error}') from None


def lacks_teacher_file(model: Mapping) -> bool:
    """Whether ``teacher_ckpt`` of a model's config names a file that is gone."""
    return any(not exists(path) for _, path in teacher_checkpoints(model))


def existing_teacher_files(model: Mapping) -> str | dict[str, str | None] | None:
    """``teacher_ckpt`` of a model's config, with None for files that are gone.

    The checkpoint of a distillation holds the teacher, too. Only how the images of the teacher were
    normalised may stand nowhere else.
    """
    gone = {path for _, path in teacher_checkpoints(model) if not exists(path)}
    given = model.get('teacher_ckpt')
    if isinstance(given, Mapping):
        return {name: None if path in gone else path for name, path in given.items()}
    return None if given in gone else given
