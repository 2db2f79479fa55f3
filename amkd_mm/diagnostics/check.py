"""Whether a distillation can be trained as its config says."""

import io
import warnings
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS, METRICS, DefaultScope
from mmengine.runner import set_random_seed

from ..config.errors import ConfigError
from ..config.unread_keys import unread_keys
from .errors import advice, describe
from .pair import check_pair
from .report import Report
from .single import check_single

PACKAGE = Path(__file__).parents[1]


def check(cfg: Config, batch_size: int = 8) -> Report:
    """Build the networks of a distillation, let them see images, and do a training step.

    No data is downloaded: where it is missing, the images are random. A teacher is asked about
    images from all over the data. The random seeds are set to 0.

    Args:
        cfg (Config): Of a distillation, with ``model.architecture``.
        batch_size (int): Images of the step, at least 2. Defaults to 8.

    Returns:
        Report: What was found; as a text it is what ``check_pair.py`` prints. Nothing is raised for
        a pair that does not fit.
    """
    set_random_seed(0)
    report = Report()
    for key, place in unread_keys(cfg).items():
        report.note(f'nothing reads `{key}` at the top of the config', place)
    with (
        DefaultScope.overwrite_default_scope(cfg.get('default_scope')),
        redirect_stdout(io.StringIO()),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter('always')
        MMLogger.get_instance(f'check_{id(report)}', log_level='WARNING').addHandler(report)
        try:
            check_parts(report, cfg)
            (check_pair if cfg.model.get('teacher') else check_single)(report, cfg, batch_size)
        except Exception as error:  # Networks, losses and hooks may fail in many ways.
            text = describe(error, cfg)
            if text not in report.problems:
                report.problem(f'the step fails: {text}', advice(text))
    for warning in caught:
        if PACKAGE in Path(warning.filename).parents:
            report.note(' '.join(str(warning.message).split()))
    return report


def check_parts(report: Report, cfg: Config) -> None:
    """Report hooks and metrics that cannot be built, of which a step needs only some."""
    for key, registry in dict(hooks=HOOKS, evaluator=METRICS).items():
        for section in (name for name in cfg if name.endswith(f'_{key}')):
            entries = cfg[section] or []
            if isinstance(entries, dict):
                entries = [entries] if 'type' in entries else entries.values()
            for entry in entries:
                try:
                    registry.build(deepcopy(entry)) if isinstance(entry, dict) else None
                except ConfigError as error:
                    report.problem(describe(error, cfg))
                except Exception:  # Of what is to come, the step or the training says more.
                    continue
