"""TeacherEnsemble: several classifiers as one, whose logits are the mean of theirs."""

from collections.abc import Mapping

from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmpretrain.models.heads import ClsHead
from mmrazor.registry import MODELS
from torch import Tensor, nn

from ..config.argument_checks import check_kind, check_number
from .outputs import Outputs, class_count_key, find_outputs, num_classes, to_logits

EXAMPLE = 'dict(resnet=dict(...), vit=dict(...))'


class MeanClsHead(ClsHead):
    """The weighted mean of several classifiers' logits.

    Args:
        weights (Mapping[str, float]): Of each classifier, by its name; they need not sum to 1.
        num_classes (int, optional): Number of classes, if it is known.
    """

    def __init__(self, weights: Mapping[str, float], num_classes: int | None = None) -> None:
        super().__init__(loss=dict(type='mmpretrain.CrossEntropyLoss'))
        total = sum(weights.values())
        self.weights = {name: weight / total for name, weight in weights.items()}
        self.num_classes = num_classes

    def forward(self, logits: Mapping[str, Tensor]) -> Tensor:
        """The mean, (N, K), of the classifiers' logits by name, each (N, K)."""
        return sum(weight * logits[name] for name, weight in self.weights.items())


@MODELS.register_module()
class TeacherEnsemble(BaseModel):
    """Several teachers of one student, which are one classifier: the mean of their logits.

    ``model.teacher`` of :class:`~amkd_mm.algorithms.AMKD`. ``model.teacher_ckpt`` then has a file
    for each member, and each gets the images as it was trained on them, in the size that
    ``model.teacher_input_size`` says of it. Recorders read the mean, as of any teacher, or one
    member: ``dict(type='Logits', teacher='vit')``, or the name of a module,
    ``source='vit.backbone.layer4'``. Boundary samples are those of the mean, or of one member
    (``BoundarySampleHook(teacher='vit')``).

    The mean of the logits, and not of the probabilities: its softmax is the geometric mean of the
    members' predictions, normalised, at any temperature, one of the two means that Hinton et al.
    (Distilling the Knowledge in a Neural Network, 2015) name for ensembles of teachers. The other,
    the arithmetic mean, is had by one KL divergence for each member, whose gradients add up to that
    of the divergence from the mean of their softened predictions.

    Args:
        members (dict[str, dict | BaseModel]): Configs of classifiers, or classifiers, by names,
            which are identifiers of Python.
        weights (dict[str, float], optional): Weight of each member in the mean, > 0; they need not
            sum to 1. Defaults to None, all the same.

    Raises:
        TypeError: If ``members`` or ``weights`` is no dict, or a weight no number.
        ValueError: If there is no member, a name cannot be used, the members have different numbers
            of classes, or ``weights`` is not of these members.
    """

    def __init__(
        self,
        members: Mapping[str, dict | BaseModel],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        # So that no member can have these names.
        self.names: tuple[str, ...] = ()
        self.head: MeanClsHead | None = None
        check_kind('model.teacher.members', members, Mapping, EXAMPLE)
        if not members:
            raise ValueError(f'model.teacher.members is empty: name some, such as {EXAMPLE}')
        for name in members:
            if not str(name).isidentifier() or hasattr(self, name):
                raise ValueError(
                    f'model.teacher.members.{name}: a member cannot be called {name!r}: use '
                    'letters, digits and underscores, and no name that a module has already, such '
                    f'as teacher_{"".join(c if c.isalnum() else "_" for c in str(name))}'
                )
        self.names = tuple(members)
        for name, member in members.items():
            # Building the model adds to a dict.
            built = MODELS.build(dict(member)) if isinstance(member, dict) else member
            self.add_module(name, built)
        self.head = MeanClsHead(self._checked(weights), self._count_classes())

    @property
    def members(self) -> dict[str, nn.Module]:
        """The classifiers by their names."""
        return {name: getattr(self, name) for name in self.names}

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[BaseDataElement]:
        """As any classifier of MMPretrain; its loss is the cross entropy of the mean.

        Args:
            inputs (Tensor): Preprocessed images, (N, C, H, W).
            data_samples (list[BaseDataElement], optional): N data samples.
            mode (str): ``'tensor'``, the default, for the logits, (N, K); ``'loss'`` or
                ``'predict'``.
        """
        logits = {
            name: to_logits(member(inputs, data_samples, mode='tensor'))
            for name, member in self.members.items()
        }
        if mode == 'tensor':
            return self.head(logits)
        return getattr(self.head, mode)(logits, data_samples)

    def find_outputs(self) -> Outputs:
        """See :func:`find_outputs`; the embedding is that of all members, concatenated."""
        layers = (
            f'{name}.{layer}'
            for name, member in self.members.items()
            for layer in find_outputs(member).layers
        )
        return Outputs('head', to_logits, tuple(layers))

    def _count_classes(self) -> int | None:
        """The number of classes, if it is known."""
        counts = {name: num_classes(member) for name, member in self.members.items()}
        known = {name: count for name, count in counts.items() if count is not None}
        if len(set(known.values())) > 1:
            keys = (
                f'`model.teacher.members.{name}.{class_count_key(self.members[name])}` is {count}'
                for name, count in known.items()
            )
            raise ValueError(f'{" and ".join(keys)}: teachers must have the same classes')
        return next(iter(known.values()), None)

    def _checked(self, weights: Mapping[str, float] | None) -> Mapping[str, float]:
        """The weight of each member, checked."""
        if weights is None:
            return dict.fromkeys(self.names, 1.0)
        check_kind('model.teacher.weights', weights, Mapping, 'dict(resnet=2, vit=1)')
        if set(weights) != set(self.names):
            raise ValueError(
                f'model.teacher.weights has {sorted(weights)}, but the members are '
                f'{sorted(self.names)}: give each a weight, or leave `weights` out'
            )
        for name, weight in weights.items():
            check_number(f'model.teacher.weights.{name}', weight, above=0)
        return {name: weights[name] for name in self.names}


def members_of(teacher: nn.Module) -> dict[str, nn.Module]:
    """The classifiers of which a teacher consists, by name; a single one is called ``''``."""
    return teacher.members if isinstance(teacher, TeacherEnsemble) else {'': teacher}
