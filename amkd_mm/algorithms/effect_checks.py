"""Checks for what is configured and has no effect: losses, records and samples nobody reads."""

import warnings

from mmrazor.models.task_modules.recorder import ParameterRecorder
from torch import nn

# Distillers that read recorders and connectors by their mappings alone.
BY_MAPPINGS = ('ConfigurableDistiller', 'mmrazor.ConfigurableDistiller')
MAPPINGS = 'model.distiller.loss_forward_mappings'


def check_effects(distiller: dict, student_is_trained: bool = True) -> None:
    """Check a distiller's config for losses that are never computed and records nobody reads.

    Recorders and connectors without a reader only cost time and memory: a warning, unless the
    student is not trained, and they are those of a later stage.

    Raises:
        ValueError: If a loss has no entry in ``loss_forward_mappings``.
    """
    mappings = distiller.get('loss_forward_mappings') or {}
    for name in distiller.get('distill_losses') or {}:
        if name not in mappings:
            raise ValueError(
                f'model.distiller.distill_losses.{name} is never computed, because it has no entry '
                f'in `{MAPPINGS}`: add one, or remove the loss'
            )
    if distiller.get('type') not in BY_MAPPINGS or not student_is_trained:
        return
    records = [record for mapping in mappings.values() for record in mapping.values()]
    read = dict(connectors={record.get('connector') for record in records})
    for side in ('student', 'teacher'):
        read[f'{side}_recorders'] = {
            record['recorder']
            for record in records
            if record['from_student'] == (side == 'student')
        }
    for part, names in read.items():
        unread = [name for name in distiller.get(part) or {} if name not in names]
        if unread:
            warn(f'model.distiller.{part}: no loss reads {unread}: remove what is not needed')


def check_records(distiller: nn.Module, hooks: int | None = None) -> None:
    """Check, in the first step, that the records which the losses read can exist.

    Args:
        distiller (BaseDistiller): Its recorders hold those of the clean batch and of the samples of
            each hook, empty records where there were none.
        hooks (int, optional): Number of hooks with samples. If it is 0, records of one are awaited.
            Defaults to None, the algorithm takes no samples.

    Raises:
        ValueError: If a loss reads a record that no step makes, so that it is never computed.
    """
    passes = 1 if hooks is None else 1 + max(1, hooks)
    read = set()
    for loss, mapping in getattr(distiller, 'loss_forward_mappings', {}).items():
        for argument, record in mapping.items():
            side = 'student_recorders' if record['from_student'] else 'teacher_recorders'
            recorder = getattr(distiller, side).get_recorder(record['recorder'])
            index = record.get('record_idx', 0)
            number, runs = len(recorder.data_buffer), 1
            if not isinstance(recorder, ParameterRecorder):
                runs = number // passes
                if index >= number:
                    samples = "and none of samples, which take model=dict(type='AMKD', ...)"
                    if hooks is not None:
                        samples = f'and {runs} for each hook with samples, of which '
                        samples += f'`default_hooks` and `custom_hooks` have {hooks}'
                    raise ValueError(
                        f'{MAPPINGS}.{loss}.{argument}: record_idx={index}, so that the loss is '
                        f'never computed: {record["recorder"]!r} records {runs} for the clean '
                        f'batch {samples}: '
                        + (f'at most {number - 1}' if number else 'its source does not run')
                    )
            read.add(index // max(1, runs))
    unread = [number for number in range(1, (hooks or 0) + 1) if number not in read]
    if unread:
        warn(
            f'no loss reads the samples of hook {unread} of {hooks} that have some: let a loss '
            f'read them by `record_idx` in `{MAPPINGS}`, or leave out the hook, as by '
            '`default_hooks.NAME=None`'
        )
    for name, loss in getattr(distiller, 'distill_losses', {}).items():
        weight = getattr(loss, 'loss_weight', None)
        scheduled = getattr(loss, 'has_weight_schedule', False)
        if isinstance(weight, (int, float)) and weight == 0 and not scheduled:
            warn(
                f'model.distiller.distill_losses.{name}: loss_weight=0, so that the loss has no '
                'effect: give a weight, or remove the loss'
            )


def warn(text: str) -> None:
    """Warn of something that has no effect."""
    warnings.warn(text, stacklevel=3)
