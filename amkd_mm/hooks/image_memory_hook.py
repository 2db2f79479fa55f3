"""ImageMemoryHook: compares memories of images with the images of the training."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmrazor.models.losses import CRDLoss
from mmrazor.registry import HOOKS

from ..datasets.image_numbers import count_images


@HOOKS.register_module()
class ImageMemoryHook(Hook):
    """Refuses a training whose losses keep another number of images than it has.

    ``CRDLoss`` keeps the embeddings of all training images, ``sample_n`` of them. An image beyond
    that has no place, and a place without an image stays a random negative. Images are counted
    once, however often ``RepeatDataset`` or ``ClassBalancedDataset`` shows them.

    Raises:
        ValueError: If ``sample_n`` of a ``CRDLoss`` is not the number of training images.
        TypeError: If images of several data sets cannot be told apart.
    """

    def before_train(self, runner) -> None:
        """Compare."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name, loss in model.named_modules():
            if not isinstance(loss, CRDLoss):
                continue
            key, size = f'model.{name}.sample_n', loss.contrast.n_sample
            try:
                found = count_images(runner.train_dataloader.dataset)
            except TypeError as error:
                raise TypeError(f'{key}: {error}') from None
            if size != found:
                raise ValueError(
                    f'{key} is {size}, but `train_dataloader` has {found} different images: set '
                    f'it to {found}'
                )
