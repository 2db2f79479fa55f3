"""What ``tools/benchmark.py`` reads from configs and runs, compares and draws."""

from .comparison import mean_and_std, paired_gain, summarise
from .plots import draw_bars, draw_curves
from .records import Run, Setting, checkpoint_written, is_complete, read_run, read_scalars
from .settings import BenchmarkError, find_prerequisites, fingerprint, load_config, span_of
from .tables import write_tables

__all__ = [
    'BenchmarkError',
    'Run',
    'Setting',
    'checkpoint_written',
    'draw_bars',
    'draw_curves',
    'find_prerequisites',
    'fingerprint',
    'is_complete',
    'load_config',
    'mean_and_std',
    'paired_gain',
    'read_run',
    'read_scalars',
    'span_of',
    'summarise',
    'write_tables',
]
