"""What a run left in its folder."""

import json
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass, field, fields
from pathlib import Path

TEACHER = 'teacher.accuracy/top1'
# Written by `measured.py`: a line for each time that training was started.
NOTES = 'processes.jsonl'


@dataclass
class Setting:
    """A config with its options; its runs differ in the seed only.

    Args:
        name (str): Name in tables and pictures.
        config (Path): Config file.
        folder (Path): Holds a folder for each seed.
        unit (str): 'epoch' or 'iter', what ``length`` counts.
        length (int): Epochs or iterations of a whole run.
        val_interval (int): Epochs or iterations between validations.
        data (str): Identifies the validation data.
        options (Sequence[str]): ``KEY=VALUE`` as of ``--cfg-options``.
        networks (dict): By 'student' and 'teacher': ``parameters`` and ``macs``, both in millions,
            and ``identity`` of the architecture; and ``alone``, whether there is no distillation.
            Empty if they could not be counted.
    """

    name: str
    config: Path
    folder: Path
    unit: str = 'epoch'
    length: int = 1
    val_interval: int = 1
    data: str = ''
    options: list[str] = field(default_factory=list)
    networks: dict = field(default_factory=dict)

    def identity(self, network: str) -> str | None:
        """Identifies the architecture of the 'student' or 'teacher', None if unknown."""
        return (self.networks.get(network) or {}).get('identity')


@dataclass(eq=False)
class Run:
    """One training of a setting, in a folder of its own. Accuracies in percent."""

    setting: Setting
    seed: int
    folder: Path
    # 'waiting', 'complete' or 'failed'.
    status: str = 'waiting'
    error: str = ''
    curve: dict[int, float] = field(default_factory=dict)
    teacher: float | None = None
    epoch_seconds: list[float] = field(default_factory=list)
    seconds: float | None = None
    peak_memory_mib: float | None = None
    memory_kind: str = ''

    @property
    def title(self) -> str:
        """Name in messages."""
        return f'{self.setting.name}, seed {self.seed}'

    @property
    def last(self) -> float:
        """Accuracy after the last epoch."""
        return self.curve[max(self.curve)]

    @property
    def best(self) -> float:
        """Highest accuracy of all epochs."""
        return max(self.curve.values())

    def is_complete(self) -> bool:
        """Whether there are the last checkpoint and the validation results that belong to it."""
        unit, length = self.setting.unit, self.setting.length
        checkpoint = checkpoint_written(self.folder)
        if checkpoint is None:
            return False
        number = re.fullmatch(rf'{unit}_(\d+)', checkpoint.stem)
        if number and int(number[1]) != length:
            return False
        return accuracy_in(read_scalars(self.folder)[1].get(length, {})) is not None

    def read(self) -> 'Run':
        """Fill in all about a complete run; returns it."""
        training, validation = read_scalars(self.folder)
        notes = read_lines(self.folder / NOTES)
        curve = {step: accuracy_in(line) for step, line in validation.items()}
        self.status = 'complete'
        self.curve = {step: accuracy for step, accuracy in curve.items() if accuracy is not None}
        self.teacher = validation[max(self.curve)].get(TEACHER)
        by_iter = self.setting.unit == 'iter'
        iterations = self.setting.val_interval if by_iter else epoch_length(self.folder)
        if iterations:
            self.epoch_seconds = epoch_seconds(training, iterations)
        if notes:
            self.seconds = sum(note['seconds'] for note in notes)
        on_gpu = [line['memory'] for line in training.values() if 'memory' in line]
        if on_gpu:
            self.peak_memory_mib, self.memory_kind = float(max(on_gpu)), 'GPU'
        elif notes:
            self.peak_memory_mib = max(note['peak_rss_mib'] for note in notes)
            self.memory_kind = 'process'
        return self

    def described(self) -> dict:
        """Plain values, for files."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values.update(setting=self.setting.name, folder=str(self.folder))
        return dict(values, last=self.last, best=self.best) if self.curve else values

    def reached(self) -> float:
        """Epochs or iterations done so far, the part of an epoch included that was logged."""
        training, validation = read_scalars(self.folder)
        logged = max(training, default=0)
        if self.setting.unit == 'epoch':
            logged /= epoch_length(self.folder) or float('inf')
        return max(logged, max(validation, default=0))


def read_lines(path: Path) -> list[dict]:
    """All whole lines of a file of JSON lines; the last may have been cut off."""
    lines = []
    for line in path.read_text(encoding='utf-8').splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def read_scalars(folder: Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """What a run logged, over all times that it was resumed; the newest of each step counts.

    Returns:
        tuple[dict, dict]: Of training by iteration and of validation by epoch, or by iteration
        where the training loop counts these.
    """
    training, validation = {}, {}
    # Folders are named by the time, so that this is their order.
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in read_lines(path):
            (training if 'iter' in line else validation)[line['step']] = line
    return dict(sorted(training.items())), dict(sorted(validation.items()))


def accuracy_in(line: dict) -> float | None:
    """The student's accuracy in percent among results of validation."""
    # The second is what MMRazor's SelfDistillValLoop writes.
    return line.get('accuracy/top1', line.get('student.accuracy/top1'))


def checkpoint_written(folder: Path) -> Path | None:
    """The latest checkpoint of a run, found by name: the folder may have been moved."""
    note = folder / 'last_checkpoint'
    if not note.exists():
        return None
    path = folder / Path(note.read_text(encoding='utf-8').strip()).name
    return path if path.is_file() else None


def epoch_length(folder: Path) -> int | None:
    """Iterations of an epoch, from MMEngine's log; None for training by iterations."""
    for path in sorted(folder.glob('*/*.log'), reverse=True):
        text = path.read_text(encoding='utf-8', errors='replace')
        if found := re.search(r'Epoch\(train\)\s+\[\s*\d+\]\[\s*\d+/(\d+)\]', text):
            return int(found[1])
    return None


def epoch_seconds(training: dict[int, dict], iterations: int) -> list[float]:
    """Seconds of training in each epoch of so many iterations."""
    logged = defaultdict(list)
    for step, line in training.items():
        if 'time' in line:
            logged[(step - 1) // iterations].append(line['time'])
    return [iterations * statistics.mean(times) for times in logged.values()]
