"""ClassCheckHook: a class number means the same class to data and networks."""

from collections.abc import Iterable

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpretrain.models import BaseSelfSupervisor
from torch import nn

from ..classifiers import members_of, num_classes
from ..datasets.batches import labels_of
from ..datasets.class_numbers import (
    ClassNumbers,
    check_class_numbers,
    check_labels,
    class_numbers,
    number,
    recorded_classes,
)
from ..teachers import TeacherKeys


class ClassCheckHook(Hook):
    """Checks names and numbers of classes, of which only the count is checked otherwise.

    Before a training: whether ``classes`` of a data set contradicts its folders, and the classes of
    the training data those of validation or of the teacher's checkpoint. Before a test: whether the
    data contradicts the checkpoint. In each batch: whether labels are numbers of classes. Labels
    that are not on the CPU are left alone, because to look at them would wait for the device.

    Every Runner has it (:mod:`amkd_mm.compat.class_numbers`).

    Raises:
        ValueError: If a class has several numbers, or a label is that of no class.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.checked = set()
        self.recorded = None
        self.count = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the names of the classes that the model was trained on."""
        self.recorded = recorded_classes(checkpoint)

    def before_train(self, runner) -> None:
        """Compare training data, validation data and teacher."""
        model = self.begin(runner)
        # A head that is trained from here on need not be for the classes of what was loaded.
        self.recorded = None
        found = list(class_numbers(runner.train_dataloader.dataset, 'train_dataloader.dataset'))
        if runner.val_loop is not None:
            found += class_numbers(runner.val_dataloader.dataset, 'val_dataloader.dataset')
        self.warn(runner, check_class_numbers([*found, *teacher_numbers(model)]))
        self.checked |= {'train', 'val'}

    def before_val(self, runner) -> None:
        """Compare the data with the checkpoint, outside a training."""
        self.compare_with_checkpoint(runner, 'val')

    def before_test(self, runner) -> None:
        """Compare the data with the checkpoint."""
        self.compare_with_checkpoint(runner, 'test')

    def compare_with_checkpoint(self, runner, split: str) -> None:
        """Compare the data of a split with the classes that the loaded checkpoint knows."""
        self.begin(runner)
        if split in self.checked:
            return
        loader = getattr(runner, f'{split}_dataloader')
        found = list(class_numbers(loader.dataset, f'{split}_dataloader.dataset'))
        if self.recorded and self.count in (None, len(self.recorded)):
            found.append(ClassNumbers('the checkpoint', number(self.recorded), is_teacher=True))
        self.warn(runner, check_class_numbers(found))
        self.checked.add(split)

    def begin(self, runner) -> nn.Module:
        """Count the classes of the model, and return it."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        student = student_of(model)
        # Those learn without labels, and of their width nothing follows.
        is_classifier = not isinstance(student, BaseSelfSupervisor)
        self.count = num_classes(student) if is_classifier else None
        return model

    @master_only
    def warn(self, runner, notes: Iterable[str]) -> None:
        """Log what cannot be known."""
        for note in notes:
            runner.logger.warning(note)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the labels of a batch."""
        self.check_batch(data_batch, 'train_dataloader')

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the labels of a batch."""
        self.check_batch(data_batch, 'val_dataloader')

    def before_test_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the labels of a batch."""
        self.check_batch(data_batch, 'test_dataloader')

    def check_batch(self, data_batch, reader: str) -> None:
        """Check the labels of what MMPretrain's data sets give; leave anything else alone."""
        if self.count is None or not isinstance(data_batch, dict):
            return
        labels = labels_of(data_batch.get('data_samples'))
        if labels is not None and labels.device.type == 'cpu' and not labels.is_floating_point():
            check_labels(labels, self.count, reader)


def student_of(model: nn.Module) -> nn.Module:
    """The network that learns: the student of an algorithm, or the model itself."""
    students = [getattr(model, name, None) for name in ('student', 'architecture')]
    return next((network for network in students if isinstance(network, nn.Module)), model)


def teachers_of(model: nn.Module) -> dict[str, nn.Module]:
    """The teachers of an algorithm by config key: one, or several."""
    found = {}
    if isinstance(getattr(model, 'teacher', None), nn.Module):
        for name, network in members_of(model.teacher).items():
            found[TeacherKeys(name).settings] = network
    several = getattr(model, 'teachers', None)
    if isinstance(several, nn.ModuleDict):
        found.update({f'model.teachers.{name}': network for name, network in several.items()})
    return found


def teacher_numbers(model: nn.Module) -> list[ClassNumbers]:
    """What the teachers' checkpoints say of their classes."""
    found = []
    for key, teacher in teachers_of(model).items():
        # MMPretrain keeps it there, too.
        names = (getattr(teacher, '_dataset_meta', None) or {}).get('classes')
        count = num_classes(teacher)
        # Of other weights the last layer was not loaded.
        known = names if count in (None, len(names or ())) else None
        # One that is trained, too, learns the classes of the training data.
        if known or not getattr(model, 'teacher_trainable', False):
            found.append(ClassNumbers(key, number(known), is_teacher=True))
    return found
