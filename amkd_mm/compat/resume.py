"""A checkpoint is data: neither resuming nor inference runs, builds or deletes what it names."""

import os.path as osp
from functools import wraps

import mmengine._strategy
from mmengine.hooks import CheckpointHook
from mmengine.infer import BaseInferencer
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import runner as mmengine_runner

from ..checkpoints.recorded_config import assignments, literal


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    resume_without_running_configs()
    infer_without_running_configs()
    load_only_values_of_schedules()
    keep_best_checkpoints_of_other_folders()


def resume_without_running_configs():
    """``--resume`` runs the text in ``meta['config']`` of the checkpoint as a program.

    MMEngine 0.10.7 looks there for ``gpu_ids``, which old versions recorded, by
    ``Config.fromstring``. It also takes over the checkpoint's ``cfg`` in the message hub, which
    MMRazor 1.0.0 runs in the same way (``RuntimeInfo.config``), though the training has another.
    """
    if mmengine_runner._load_checkpoint.__module__ == __name__:
        return
    mmengine_runner._load_checkpoint = _as_data(mmengine_runner._load_checkpoint)
    for strategy in vars(mmengine._strategy).values():
        if isinstance(strategy, type) and 'resume' in vars(strategy):
            strategy.resume = _as_data(strategy.resume)


def _as_data(load):
    """A function that loads a checkpoint, without what MMEngine would run or mistake."""

    @wraps(load)
    def load_data(*args, **kwargs):
        checkpoint = load(*args, **kwargs)
        if isinstance(checkpoint, dict):
            for name, reduce in (('meta', _reduce_config), ('message_hub', _reduce_runtime_info)):
                if name in checkpoint and isinstance(checkpoint[name], dict):
                    checkpoint[name] = reduce(_plain(checkpoint[name]))
        return checkpoint

    load_data.__module__ = __name__
    return load_data


def _plain(mapping):
    """A dict of the same entries.

    A file may give an OrderedDict attributes, ``get`` for example, that stand in for its methods.
    """
    return {key: mapping[key] for key in mapping}


def _reduce_config(meta):
    """Keep of the recorded config only how many GPUs it names, which MMEngine compares."""
    if 'config' in meta:
        count = _recorded_gpus(meta['config'])
        meta['config'] = '' if count is None else f'gpu_ids = range({count})'
    return meta


def _recorded_gpus(text):
    """Length of ``gpu_ids = [0, 1]`` or ``gpu_ids = range(0, 2)``; None if there is none."""
    try:
        node = assignments(text).get('gpu_ids')
        if getattr(getattr(node, 'func', None), 'id', None) == 'range':
            return len(range(*map(literal, node.args)))
        return len(literal(node))
    except (ValueError, TypeError, OverflowError):
        return None


def _reduce_runtime_info(hub):
    """Remove the recorded config, and the numbers of checkpoints to delete if they are none."""
    if isinstance(hub.get('runtime_info'), dict):
        info = hub['runtime_info'] = _plain(hub['runtime_info'])
        info.pop('cfg', None)
        steps = info.get('keep_ckpt_ids', [])
        if not isinstance(steps, list) or not all(type(step) is int for step in steps):
            del info['keep_ckpt_ids']
    return hub


def infer_without_running_configs():
    """``BaseInferencer(weights=...)`` without a model runs the config in the checkpoint.

    MMEngine 0.10.7. A config is a program, and names what is imported and built. So it must be
    given by the user. MMPretrain's own inferencers never take it from a checkpoint.
    """
    upstream_init_model = BaseInferencer._init_model
    if upstream_init_model.__module__ == __name__:
        return

    def init_model(self, cfg, weights, device='cpu'):
        if not cfg:
            raise ValueError(
                'model: give the config of the network, not only `weights`: the config in a '
                'checkpoint is a program, which would be run'
            )
        return upstream_init_model(self, cfg, weights, device)

    BaseInferencer._init_model = init_model


def load_only_values_of_schedules():
    """A checkpoint's ``param_schedulers`` replace methods of the scheduler.

    MMEngine 0.10.7 sets whatever attributes the checkpoint names. Here these are the ones that the
    scheduler saves, and a function stays what the config made it.
    """
    upstream_load_state_dict = _ParamScheduler.load_state_dict
    if upstream_load_state_dict.__module__ == __name__:
        return

    def load_state_dict(self, state_dict):
        known = self.state_dict()
        upstream_load_state_dict(
            self,
            {
                name: value
                for name, value in state_dict.items()
                if name in known and not callable(known[name]) and not callable(value)
            },
        )

    _ParamScheduler.load_state_dict = load_state_dict


def keep_best_checkpoints_of_other_folders():
    """A resumed training deletes the file or folder that its checkpoint calls ``best_ckpt``.

    MMEngine 0.10.7 with ``save_best``: as soon as a score is better. The path is that of the
    folder of the earlier training, which may be another one, or whatever the checkpoint says.
    """
    upstream_before_train = CheckpointHook.before_train
    if upstream_before_train.__module__ == __name__:
        return

    def before_train(self, runner):
        upstream_before_train(self, runner)
        if hasattr(self, 'best_ckpt_path'):
            self.best_ckpt_path = _own_best(self, self.best_ckpt_path)
        for name, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[name] = _own_best(self, path)

    CheckpointHook.before_train = before_train


def _own_best(hook, path):
    """The best checkpoint of this name in the hook's own folder; None if it has none."""
    name = osp.basename(path) if isinstance(path, str) else ''
    own = hook.file_backend.join_path(hook.out_dir, name)
    return own if name.startswith('best_') and hook.file_backend.exists(own) else None
