"""The meaning of class numbers, of which MMEngine and MMPretrain only check the count."""

from functools import wraps


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    check_classes_in_every_runner()
    keep_classes_of_checkpoints()
    name_missing_folders()


def check_classes_in_every_runner():
    """An accuracy of 100% and the wrong name of every class, or of chance without a message.

    MMPretrain 1.2.0 numbers the sorted names of folders, and of ``classes`` compares only the
    number with them. Nothing compares the classes of training, validation and teacher.
    """
    from mmengine.runner import Runner

    upstream_register_hooks = Runner.register_hooks
    if upstream_register_hooks.__module__ == __name__:
        return

    def register_hooks(self, default_hooks=None, custom_hooks=None):
        # Not before: MMRazor is not imported while its repairs are applied.
        from ..hooks.class_check_hook import ClassCheckHook

        upstream_register_hooks(self, default_hooks, custom_hooks)
        self.register_hook(ClassCheckHook())

    Runner.register_hooks = register_hooks


def keep_classes_of_checkpoints():
    """A network does not know the classes that its checkpoint was trained on.

    MMPretrain's ``get_model`` keeps them as ``_dataset_meta``; MMEngine 0.10.7 forgets them.
    """
    from mmengine.runner import checkpoint

    upstream_load = checkpoint._load_checkpoint_to_model
    if upstream_load.__module__ == __name__:
        return

    @wraps(upstream_load)
    def load(model, checkpoint, *args, **kwargs):
        from ..datasets.class_numbers import recorded_classes

        loaded = upstream_load(model, checkpoint, *args, **kwargs)
        classes = recorded_classes(checkpoint)
        if classes is not None:
            model._dataset_meta = dict(classes=classes)
        return loaded

    load.__module__ = __name__
    checkpoint._load_checkpoint_to_model = load


def name_missing_folders():
    """``AssertionError: The number of subfolders (9) doesn't match``, without their names."""
    from mmpretrain.datasets import CustomDataset
    from mmpretrain.datasets.custom import find_folders

    upstream_find_samples = CustomDataset._find_samples
    if upstream_find_samples.__module__ == __name__:
        return

    def find_samples(self):
        if self.with_label and self.CLASSES is not None:
            from ..datasets.class_numbers import listed, missing

            folders, _ = find_folders(self.img_prefix)
            if len(folders) != len(self.CLASSES):
                text = f'{self.img_prefix} has {len(folders)} folders, but `classes` has '
                text += f'{len(self.CLASSES)} names'
                gone, extra = missing(folders, self.CLASSES), missing(self.CLASSES, folders)
                if len(gone) < len(self.CLASSES):
                    text += f': no folder is called {listed(gone)}' if gone else ''
                    text += f': `classes` lacks {listed(extra)}' if extra else ''
                raise ValueError(
                    f'{type(self).__name__}: {text}. Each class needs a folder, even if it is '
                    'empty, and each folder is a class'
                )
        return upstream_find_samples(self)

    CustomDataset._find_samples = find_samples
