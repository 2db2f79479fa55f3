"""The training of a Runner, an iteration at a time."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from uuid import uuid4

from mmengine.config import Config
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn


@LOOPS.register_module()
class SteppedTrainLoop(EpochBasedTrainLoop):
    """Trains when it is told to, and never ends: for whoever wants trainings to take turns."""

    def run(self) -> nn.Module:
        """Only do what comes before the first iteration."""
        self.runner.call_hook('before_train')
        return self.runner.model

    def iterations(self) -> Iterator[None]:
        """Do an iteration, loading of data and all hooks included, for each item."""
        while True:
            self.runner.call_hook('before_train_epoch')
            self.runner.model.train()
            for batch_idx, batch in enumerate(self.dataloader):
                self.run_iter(batch_idx, batch)
                yield
            self._epoch += 1


def stepped(cfg: Config, name: str) -> Config:
    """A config of a Runner that trains by :class:`SteppedTrainLoop`.

    Args:
        cfg (Config): Of the training.
        name (str): Of its folder in ``cfg.work_dir``.
    """
    cfg = deepcopy(cfg)
    cfg.work_dir = str(Path(cfg.work_dir) / name)
    # Runners of one name share a log.
    cfg.experiment_name = uuid4().hex
    # Of a training by iterations the number of epochs is not known, nor needed.
    epochs = cfg.train_cfg.get('max_epochs', 1)
    cfg.train_cfg = dict(type='mmengine.SteppedTrainLoop', max_epochs=epochs)
    # No worker of one training is to disturb another.
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    # There is no validation in between.
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        cfg[key] = None
    return cfg


def iterations(runner: Runner) -> Iterator[None]:
    """Iterations of a Runner with a stepped config; the first does what comes before, too."""
    runner.train()
    yield from runner.train_loop.iterations()
