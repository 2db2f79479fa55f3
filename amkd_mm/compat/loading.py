"""Checkpoints go where they belong, or are refused; what is damaged is passed over."""

import logging
from functools import wraps

import mmengine.runner
import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner, _flexible_runner, checkpoint, runner

from ..checkpoints.files import newest_whole
from ..checkpoints.fit import (
    MUST_FIT,
    STUDENT,
    TEACHER,
    check_fit,
    choose,
    has_teacher,
    is_algorithm,
    own_weights,
    shape,
)
from ..checkpoints.weight_checks import check_weights


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    load_what_fits()
    insist_on_teachers()
    load_plain_weights()
    resume_training_states()
    resume_the_newest_whole_checkpoint()


def load_what_fits():
    """A training starts from noise, and its log says that the checkpoint was loaded.

    MMEngine 0.10.7: whatever does not match by name and shape is a warning of hundreds of names.
    A student's own checkpoint as ``load_from`` of its distillation, or the other way round, matches
    nowhere. Everything that loads weights does so through one function: the Runner, ``init_cfg``,
    ``EMAHook``, MMRazor's ``teacher_ckpt``, MMPretrain's inferencers.
    """
    upstream_load = checkpoint.load_state_dict
    if upstream_load.__module__ == __name__:
        return

    @wraps(upstream_load)
    def load_state_dict(module, state_dict, strict=False, logger=None):
        model = module
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        chosen = choose(state_dict, model)
        check_weights(chosen.weights, model.state_dict(), 'the checkpoint')
        before = {
            name: value.clone()
            for name, value in own_weights(model).items()
            if has_another_shape(chosen.weights, name, value)
        }
        found = []
        handle = model.register_load_state_dict_post_hook(lambda _, keys: found.append(keys))
        was = teacher_of(model) if chosen.within != STUDENT else {}
        try:
            upstream_load(module, chosen.weights, strict, QUIET)
        finally:
            handle.remove()
        (keys,) = found
        after = own_weights(model)
        # A backbone may have resized what has another shape, such as position embeddings.
        failed = {name for name, value in before.items() if torch.equal(value, after[name])}
        failed.update(keys.missing_keys)
        warning = check_fit(chosen, model, failed, keys.unexpected_keys)
        if chosen.what:
            print_log(f'Checkpoint: {chosen.what}', logger='current')
        if warning:
            print_log(f'Checkpoint: {warning}', logger='current', level=logging.WARNING)
        if any(not torch.equal(value, after[TEACHER + name]) for name, value in was.items()):
            print_log(
                'Checkpoint: its teacher has other weights than `model.teacher_ckpt`, and '
                'replaces it',
                logger='current',
                level=logging.WARNING,
            )

    # Its module is how a second call knows the repair.
    load_state_dict.__module__ = __name__
    checkpoint.load_state_dict = load_state_dict


def insist_on_teachers():
    """A distillation by a teacher whose checkpoint is of another network, and fits in part.

    MMRazor 1.0.0 loads teachers as MMEngine loads any network.
    """
    from mmrazor.models.algorithms.distill.configurable import (
        datafree_distillation,
        single_teacher_distill,
    )

    for module in (datafree_distillation, single_teacher_distill):
        if module.load_checkpoint.__module__ != __name__:
            module.load_checkpoint = _insisting(module.load_checkpoint)


def _insisting(upstream_load):
    """A function that loads a checkpoint, and takes nothing for a part of it."""

    def load_checkpoint(model, *args, **kwargs):
        setattr(model, MUST_FIT, True)
        try:
            return upstream_load(model, *args, **kwargs)
        finally:
            delattr(model, MUST_FIT)

    return load_checkpoint


# MMEngine's own warning, of every name, is replaced by one of a line.
QUIET = logging.getLogger(f'{__name__}.quiet')
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


def has_another_shape(weights, name, value) -> bool:
    """Whether weights have something of this name that is no tensor of the shape of ``value``."""
    # The second is how MMPretrain saves networks of timm and Hugging Face.
    for written in (name, name.replace('model.', '', 1)):
        if written in weights:
            return shape(weights[written]) != value.shape
    return False


def teacher_of(model) -> dict:
    """Copies of the weights that an algorithm's teacher got from a checkpoint of its own."""
    if is_algorithm(model) and has_teacher(model) and getattr(model.teacher, '_is_init', False):
        return {name: value.clone() for name, value in own_weights(model.teacher).items()}
    return {}


def load_plain_weights():
    """``KeyError: 'state_dict'`` from ``EMAHook`` for a ``load_from`` that is a plain state dict.

    MMEngine 0.10.7 takes such files everywhere else.
    """
    upstream_load = runner._load_checkpoint
    if getattr(upstream_load, 'takes_plain_weights', False):
        return

    @wraps(upstream_load)
    def load(*args, **kwargs):
        found = upstream_load(*args, **kwargs)
        plain = found and all(isinstance(value, torch.Tensor) for value in found.values())
        return dict(state_dict=found) if plain else found

    # Copied by those who wrap it in turn.
    load.takes_plain_weights = True
    runner._load_checkpoint = load


class RequireTrainingState(Hook):
    """Refuses to resume from weights alone, which have no epoch, optimiser or random seed."""

    def __init__(self, filename: str) -> None:
        self.filename = filename

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Look at the checkpoint before anything takes it over."""
        # By operators: attributes of what the file holds may stand in for methods.
        meta = checkpoint['meta'] if 'meta' in checkpoint else {}  # noqa: SIM401
        missing = [f'meta.{name}' for name in ('epoch', 'iter') if name not in meta]
        missing += [name for name in ('state_dict', 'message_hub') if name not in checkpoint]
        if missing:
            raise ValueError(
                f'{self.filename} cannot be resumed: it lacks {", ".join(missing)}, so it is not '
                'the state of a training but weights; to begin a training with them, set '
                '`load_from` instead'
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = {name.removeprefix('module.') for name in checkpoint['state_dict']}
        of_algorithm = any(name.startswith(STUDENT) for name in weights)
        if of_algorithm != is_algorithm(model):
            kinds = ['of a network alone', 'a distillation']
            raise ValueError(
                f'{self.filename} cannot be resumed: it is the state of a training that was '
                f'{kinds[of_algorithm]}, and this one is {kinds[not of_algorithm]}; to begin with '
                'its weights, set `load_from` instead'
            )


def resume_training_states():
    """``KeyError: 'epoch'`` or ``'message_hub'``, or a training that goes on from noise.

    MMEngine 0.10.7: ``Runner.resume`` takes any file for the state of this training.
    """
    upstream_resume = Runner.resume
    if getattr(upstream_resume, 'requires_training_state', False):
        return

    @wraps(upstream_resume)
    def resume(self, filename, *args, **kwargs):
        hook = RequireTrainingState(filename)
        self._hooks.insert(0, hook)
        try:
            return upstream_resume(self, filename, *args, **kwargs)
        finally:
            self._hooks.remove(hook)

    resume.requires_training_state = True
    Runner.resume = resume


def resume_the_newest_whole_checkpoint():
    """``[Errno 22]``, ``EOFError`` or ``can not be found``, beside a good older checkpoint.

    MMEngine 0.10.7 resumes from the path in ``last_checkpoint``, whatever is there.
    """
    for module in (checkpoint, mmengine.runner, runner, _flexible_runner):
        module.find_latest_checkpoint = newest_whole
