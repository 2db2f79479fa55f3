"""Build-time checks of a distiller config against the two models.

MMRazor finds some of these mistakes by ``assert`` and others not at all.
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from inspect import isclass, signature

from mmengine.hub import get_config
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.registry import MODELS, TASK_UTILS
from torch import nn

from ..classifiers import find_outputs, members_of
from ..config.argument_checks import check_bool, check_int, check_number
from ..recorders.names import recorder_name

# Recorders that look their source up in a model, and where.
SOURCES = dict(
    ModuleInputs=nn.Module.named_modules,
    ModuleOutputs=nn.Module.named_modules,
    Parameter=nn.Module.named_parameters,
)

# Recorders that find what they record in a classifier.
OUTPUTS = ('Logits', 'Embedding')


def check_distiller(
    distiller: dict, student: nn.Module, teacher: nn.Module, teacher_trainable: bool = False
) -> None:
    """Check recorders, connectors and mappings of a ``ConfigurableDistiller`` config.

    Raises:
        KeyError: If a mapping names an unknown loss, input, recorder or connector, or a recorder
            an unknown module, parameter or teacher; the message names the config key.
        ValueError: If a recorder of a teacher that is not trained needs its loss, or the logits or
            the embedding of a model cannot be found.
        TypeError: If an entry of a mapping is not a dict with ``recorder`` and ``from_student``, or
            an entry of it, a weight or a temperature is of another type.
    """
    for side, model in (('student', student), ('teacher', teacher)):
        for name, recorder in (distiller.get(f'{side}_recorders') or {}).items():
            key = f'model.distiller.{side}_recorders.{name}'
            kind = recorder_name(recorder.get('type'))
            check_recorder_type(kind, f'{key}.type')
            if kind in OUTPUTS:
                check_outputs(model, key)
                check_member(recorder.get('teacher'), model, key, side)
            if kind == 'Stages':
                names = [source for source, _ in model.named_modules()]
                sources = recorder.get('sources', '(none)')
                for source in [sources] if isinstance(sources, str) else sources:
                    require(source, names, f'{key}.sources', f'the {side}')
            if kind in SOURCES:
                names = [source for source, _ in SOURCES[kind](model)]
                key = f'{key}.source'
                require(recorder.get('source', '(none)'), names, key, f'the {side}')
                unused = side == 'teacher' and not teacher_trainable
                if unused and 'loss_module' in recorder['source'].split('.'):
                    raise ValueError(
                        f'{key}: the loss of a teacher that is not trained is not computed, so '
                        f'{recorder["source"]!r} never runs; record it in '
                        '`model.distiller.student_recorders`'
                    )

    losses = distiller.get('distill_losses') or {}
    for name, loss in losses.items():
        key = f'model.distiller.distill_losses.{name}'
        # A generator may be trained by a negative weight, but not at a negative temperature.
        check_number(f'{key}.loss_weight', loss.get('loss_weight', 1.0))
        for temperature in ('tau', 'temperature'):
            check_number(f'{key}.{temperature}', loss.get(temperature, 1.0), above=0)
    connectors = distiller.get('connectors') or {}
    for loss, mapping in (distiller.get('loss_forward_mappings') or {}).items():
        key = f'model.distiller.loss_forward_mappings.{loss}'
        require(loss, losses, key, 'model.distiller.distill_losses')
        if not isinstance(mapping, dict):
            raise TypeError(
                f'{key} must be a dict of inputs of the loss, each a dict with `recorder` and '
                f'`from_student`, not {mapping!r}'
            )
        kind = losses[loss].get('type')
        if isinstance(kind, str):
            with MODELS.switch_scope_and_registry(distiller.get('_scope_')) as registry:
                kind = registry.get(kind)
        if isclass(kind):
            check_loss_inputs(kind, mapping, key)
        for argument, record in mapping.items():
            if not isinstance(record, dict) or not {'recorder', 'from_student'} <= set(record):
                raise TypeError(
                    f'{key}.{argument} must be a dict with `recorder` and `from_student`, '
                    f'not {record!r}'
                )
            settings = list(signature(ConfigurableDistiller.get_record).parameters)[1:]
            for setting in record:
                require(setting, settings, f'{key}.{argument}', 'the settings of a record')
            check_bool(f'{key}.{argument}.from_student', record['from_student'])
            check_int(f'{key}.{argument}.record_idx', record.get('record_idx', 0))
            side = 'student' if record['from_student'] else 'teacher'
            recorders = f'{side}_recorders'
            require(
                record['recorder'],
                distiller.get(recorders) or {},
                f'{key}.{argument}.recorder',
                f'model.distiller.{recorders}',
            )
            if record.get('connector'):
                require(
                    record['connector'],
                    connectors,
                    f'{key}.{argument}.connector',
                    'model.distiller.connectors',
                )


def check_loss_inputs(loss: type, mapping: Iterable[str], key: str) -> None:
    """Compare the inputs that a mapping gives to a loss with those that it takes.

    Args:
        loss (type): Class of the loss.
        mapping (Iterable[str]): Names of the inputs.
        key (str): Config key of the mapping, for the message.

    Raises:
        KeyError: If the loss has no such input, or needs another one.
    """
    inputs = list(signature(loss.forward).parameters.values())[1:]
    names = [one.name for one in inputs if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if not any(one.kind is one.VAR_KEYWORD for one in inputs):
        for name in mapping:
            if name not in names:
                raise KeyError(
                    f'{key}.{name}: {loss.__name__} has no such input; its inputs are {names}'
                )
    needed = [one.name for one in inputs if one.name in names and one.default is one.empty]
    lacking = [name for name in needed if name not in mapping]
    if lacking:
        raise KeyError(f'{key}: {loss.__name__} needs {lacking}, too; its inputs are {names}')


def check_recorder_type(name: str | None, key: str) -> None:
    """Raise ``KeyError`` naming ``key`` unless there is such a recorder."""
    # MMRazor adds the rest of the class's name.
    if name is None or TASK_UTILS.get(f'{name}Recorder') is None:
        known = [n.removesuffix('Recorder') for n in TASK_UTILS.module_dict if 'Recorder' in n]
        require(str(name), known, key, "MMRazor's recorders")


def check_outputs(model: nn.Module, key: str) -> None:
    """Raise ``ValueError`` unless the logits and the embedding of a model can be found."""
    try:
        find_outputs(model)
    except ValueError as error:
        raise ValueError(
            f"{key}: {error}; or record dict(type='ModuleOutputs', source=...)"
        ) from None


def check_member(name: str | None, model: nn.Module, key: str, side: str) -> None:
    """Raise ``KeyError`` if a recorder names a teacher that the model does not consist of."""
    members = [member for member in members_of(model) if member]
    if name is not None and not members:
        raise KeyError(
            f"{key}.teacher: it names one of several teachers, of type='TeacherEnsemble', and the "
            f'{side} is one network: leave it out'
        )
    if name is not None:
        require(name, members, f'{key}.teacher', '`model.teacher.members`')


def require(value: str, known: Iterable[str], key: str, place: str) -> None:
    """Raise ``KeyError`` naming ``key`` unless ``value`` is one of the ``known`` in ``place``."""
    known = list(known)
    if value in known:
        return
    close = get_close_matches(value, known, n=3) or [name for name in known if name][:10]
    raise KeyError(f'{key}: {value!r} is not in {place}; did you mean one of {close}?')


def check_arguments(arguments: Iterable[str], *constructors: Callable) -> None:
    """Raise ``TypeError`` with a suggestion if no constructor takes one of the ``arguments``."""
    known = {name for call in constructors for name in signature(call).parameters}
    known -= {'self', 'args', 'kwargs'}
    for name in arguments:
        if name not in known:
            close = get_close_matches(name, known, n=3) or sorted(known)
            raise TypeError(f'model.{name}: there is no such setting; did you mean one of {close}?')


def check_cfg_path(key: str, model: dict) -> None:
    """Raise ``ValueError`` if settings beside ``cfg_path`` have no effect.

    MMEngine only fills in what the named config leaves out, and ignores the rest in silence.
    """
    if 'cfg_path' not in model or model.get('type'):
        return
    named = get_config(model['cfg_path'])
    known = set(named.model)
    if key == 'model.architecture' and 'data_preprocessor' in named:
        # AMKD itself looks at that of the teacher.
        known.add('data_preprocessor')
    ignored = sorted(set(model) & known - {'pretrained', 'cfg_path'})
    if ignored:
        raise ValueError(
            f'{key}: MMEngine ignores {ignored} beside `cfg_path`: write the model out in full '
            "instead, dict(_scope_='mmpretrain', type='ImageClassifier', backbone=..., head=...)"
        )
