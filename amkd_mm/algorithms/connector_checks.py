"""Build-time checks of a connector's width, where what it gets is known for certain."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..classifiers import embedding_width, members_of, num_classes
from ..classifiers.outputs import LAYERS

# What the settings of connectors call the width of what they get.
WIDTHS = ('in_features', 'in_channels', 'in_channel', 'dim_in', 'student_channels')


def check_connectors(distiller: dict, connectors: nn.ModuleDict, networks: dict) -> None:
    """Raise ``ValueError`` if the first layer of a connector does not fit what it gets.

    Args:
        distiller (dict): ``model.distiller`` of the config.
        connectors (nn.ModuleDict): Its connectors, built.
        networks (dict[str, nn.Module]): ``student`` and ``teacher``.
    """
    for mapping in (distiller.get('loss_forward_mappings') or {}).values():
        for record in mapping.values():
            if record.get('connector') not in connectors:
                continue
            name, side = record['connector'], 'student' if record['from_student'] else 'teacher'
            place = f'{side}_recorders.{record["recorder"]}'
            recorder = distiller[f'{side}_recorders'][record['recorder']]
            kind, width = recorded_width(recorder, networks[side])
            layers = [m for m in connectors[name].modules() if isinstance(m, LAYERS)]
            if width is None or not layers or not isinstance(layers[0], kind):
                continue
            is_linear = isinstance(layers[0], nn.Linear)
            taken = layers[0].in_features if is_linear else layers[0].in_channels
            if taken != width:
                key = f'model.distiller.connectors.{name}'
                write = width_key(distiller['connectors'][name], taken)
                raise ValueError(
                    f'{key} takes {taken} {"features" if is_linear else "channels"}, but '
                    f'`model.distiller.{place}` has {width}: set `{key}{write}={width}`'
                )


def recorded_width(recorder: dict, model: nn.Module) -> tuple[type, int | None]:
    """The kind of layer that can follow, and the width of what is recorded, None if not certain."""
    kind = recorder.get('type')
    if kind == 'Embedding':
        teacher = recorder.get('teacher')
        return nn.Linear, embedding_width(model if teacher is None else members_of(model)[teacher])
    if kind == 'Logits':
        return nn.Linear, num_classes(model)
    module = dict(model.named_modules()).get(recorder.get('source'))
    side = dict(ModuleInputs='in', ModuleOutputs='out').get(kind)
    if side is None or not isinstance(module, (*LAYERS, _BatchNorm)):
        return nn.Module, None
    if isinstance(module, nn.Linear):
        return nn.Linear, getattr(module, f'{side}_features')
    width = getattr(module, f'{side}_channels', getattr(module, 'num_features', None))
    # A linear layer may get a feature map flattened.
    return nn.Conv2d, width


def width_key(settings: dict | list, width: int, prefix: str = '') -> str:
    """Where the settings of a connector have the width of what it gets, as the end of a key."""
    entries = enumerate(settings) if isinstance(settings, list) else settings.items()
    for name, value in entries:
        if name in WIDTHS and value == width:
            return f'{prefix}.{name}'
        found = (
            width_key(value, width, f'{prefix}.{name}') if isinstance(value, (dict, list)) else ''
        )
        if found:
            return found
    return ''
