"""Repairs for the distillers of MMRazor 1.0.0: losses, connectors and algorithms.

Where a method gave a right value before, it gives the same one now. Losses are repaired in
:mod:`amkd_mm.losses.repaired`, as subclasses.
"""

import math

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    import_repaired_losses()
    distil_before_residual_activations()
    generate_in_one_process()
    drop_gradients_of_the_generator_step()
    freeze_untrained_students()


# --- Losses ---------------------------------------------------------------------------------------


def import_repaired_losses():
    """``from mmrazor.models.losses import KLDivergence`` gives a pure Python config MMRazor's own.

    The repaired losses of :mod:`amkd_mm.losses.repaired` are in the registry under the names of
    MMRazor's, but such a config names classes. Here what it imports is the repaired one.
    """
    import mmrazor.models.losses as upstream

    from ..losses import repaired

    for name in repaired.__all__:
        setattr(upstream, name, getattr(repaired, name))


# --- Connectors -----------------------------------------------------------------------------------


def distil_before_residual_activations():
    """``AssertionError: Overhaul distillation only support connection on layers: ...``.

    MMRazor 1.0.0 distils outputs of batch norm, as in networks that begin their blocks with it. In
    other residual networks the paper takes what enters the block's last activation, and the margin
    from the block's last batch norm; that is now what the recorder of such an activation's input
    means. A batch norm of weight 0, with which blocks may begin, no longer divides by it.
    """
    from mmrazor.models.distillers import OFDDistiller

    OFDDistiller.init_ofd_connectors = _init_ofd_connectors
    OFDDistiller._get_margin_from_BN = _margin


def _init_ofd_connectors(self, teacher):
    """Set the margins of the connectors on the teacher's side."""
    from mmrazor.models.losses import OFDLoss

    for loss, mapping in self.loss_forward_mappings.items():
        if not isinstance(self.distill_losses[loss], OFDLoss):
            continue
        for record in mapping.values():
            if record['from_student'] or 'connector' not in record:
                continue
            source = self.teacher_recorders.get_recorder(record['recorder']).source
            margin = self._get_margin_from_BN(_batch_norm_of(teacher, source))
            self.connectors[record['connector']].init_margin(margin)


def _batch_norm_of(model, source):
    """A batch norm itself; of another module, the last one beside it."""
    module = model.get_submodule(source)
    if isinstance(module, _BatchNorm):
        return module
    block = model.get_submodule(source.rpartition('.')[0])
    norms = [child for child in block.children() if isinstance(child, _BatchNorm)]
    if not norms:
        raise ValueError(f'OFD: there is no batch norm at or beside {source!r} of the teacher')
    return norms[-1]


def _margin(self, bn):
    """Mean of the negative part of what a batch norm gives, (1, C, 1, 1), if it is normal."""
    std, mean = bn.weight.data.abs().double().cpu(), bn.bias.data.double().cpu()
    ratio = mean / std.clamp_min(torch.finfo(std.dtype).tiny)
    below = torch.special.ndtr(-ratio)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    margin = torch.where(below > 0.001, mean - std * density / below.clamp_min(0.001), -3 * std)
    return margin.float().reshape(1, -1, 1, 1)


# --- Algorithms -----------------------------------------------------------------------------------


def generate_in_one_process():
    """``AttributeError: 'DAFLGenerator' object has no attribute 'module'`` without distribution.

    MMRazor 1.0.0 expects the generator in PyTorch's wrapper for several processes.
    """
    from mmrazor.models.architectures.generators.base_generator import BaseGenerator

    BaseGenerator.module = property(lambda self: self)


def drop_gradients_of_the_generator_step():
    """A data-free student first moves away from its teacher: it takes the generator's gradients.

    MMRazor 1.0.0: the step of the generator, whose loss is the negative of the student's, leaves
    its gradients in the student, and the student's next step adds them to its own.
    """
    from mmrazor.models.algorithms import DataFreeDistillation

    upstream_train_student = DataFreeDistillation.train_student
    if upstream_train_student.__module__ == __name__:
        return

    def train_student(self, data, optimizer):
        optimizer.zero_grad()
        return upstream_train_student(self, data, optimizer)

    DataFreeDistillation.train_student = train_student


def freeze_untrained_students():
    """A student with ``student_trainable=False`` comes out of a first stage with other statistics.

    MMRazor 1.0.0 runs it without gradients, but its batch norm goes on averaging.
    """
    from mmrazor.models.algorithms import SingleTeacherDistill

    upstream_train = SingleTeacherDistill.train
    if upstream_train.__module__ == __name__:
        return

    def train(self, mode=True):
        upstream_train(self, mode)
        if not self.student_trainable:
            for module in self.student.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    SingleTeacherDistill.train = train
