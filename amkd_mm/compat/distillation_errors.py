"""Errors of MMRazor's distiller with the key of the config that they are about."""

import torch
from mmengine.utils import apply_to


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    name_inputs_of_losses()
    name_failing_connectors()
    name_failing_losses()


def name_inputs_of_losses():
    """``AssertionError: preds_S is not in the signature of DISTLoss forward``, but what is?

    MMRazor 1.0.0. An input that is not given fails only in the first step.
    """
    from mmrazor.models.distillers import ConfigurableDistiller

    upstream_check = ConfigurableDistiller._check_loss_forward_mappings
    if upstream_check.__module__ == __name__:
        return

    def check(self, losses, loss_forward_mappings, *recorders):
        from ..algorithms.distiller_checks import check_loss_inputs

        for name, mapping in loss_forward_mappings.items():
            if name in losses and isinstance(mapping, dict):
                check_loss_inputs(
                    type(losses[name]), mapping, f'distiller.loss_forward_mappings.{name}'
                )
        return upstream_check(self, losses, loss_forward_mappings, *recorders)

    ConfigurableDistiller._check_loss_forward_mappings = check


def name_failing_connectors():
    """``RuntimeError: Given groups=1, weight of size [...]``: of which connector?

    MMRazor 1.0.0 does not say.
    """
    from mmrazor.models.distillers import ConfigurableDistiller

    upstream_get_record = ConfigurableDistiller.get_record
    if upstream_get_record.__module__ == __name__:
        return

    def get_record(
        self,
        recorder,
        from_student,
        record_idx=0,
        data_idx=None,
        connector=None,
        connector_idx=None,
    ):
        record = upstream_get_record(self, recorder, from_student, record_idx, data_idx)
        if connector:
            try:
                record = self.connectors[connector](record)
            except ValueError as error:
                # It says what it wants; of the connectors of a kind this is one.
                raise ValueError(f'distiller.connectors.{connector}: {error}') from error
            except (RuntimeError, TypeError, AttributeError) as error:
                if 'out of memory' in str(error):
                    raise
                side = 'student' if from_student else 'teacher'
                raise ValueError(
                    f'distiller.connectors.{connector} fails on {shapes(record)}, which '
                    f'distiller.{side}_recorders.{recorder} recorded: {error}. Set its widths to '
                    'fit, or choose another connector'
                ) from error
        return record if connector_idx is None else record[connector_idx]

    ConfigurableDistiller.get_record = get_record


def name_failing_losses():
    """``RuntimeError: The size of tensor a (64) must match the size of tensor b (16)``: which loss?

    MMRazor 1.0.0 does not say.
    """
    from mmrazor.models.distillers import ConfigurableDistiller

    if ConfigurableDistiller.compute_distill_losses.__module__ == __name__:
        return

    def compute_distill_losses(self):
        losses = {}
        for name, mapping in self.loss_forward_mappings.items():
            inputs = {key: self.get_record(**record) for key, record in mapping.items()}
            try:
                losses[name] = self.distill_losses[name](**inputs)
            except ValueError as error:
                raise ValueError(f'distiller.distill_losses.{name}: {error}') from error
            except RuntimeError as error:
                is_shape = 'size' in str(error) or 'shape' in str(error)
                if not is_shape or 'out of memory' in str(error):
                    raise
                given = ', '.join(f'{key} {shapes(value)}' for key, value in inputs.items())
                raise ValueError(
                    f'distiller.distill_losses.{name} fails on {given}: {error}. Where the widths '
                    'of student and teacher differ, give one of them a connector: for embeddings '
                    'see configs/_base_/distillers/amkd_teacher_embedding.py, for maps and tokens '
                    "dict(type='FeatureAlignConnector', ...)"
                ) from error
        return losses

    ConfigurableDistiller.compute_distill_losses = compute_distill_losses


def shapes(value):
    """Shapes of the tensors in nested records, for messages."""
    found = []
    apply_to(value, lambda part: isinstance(part, torch.Tensor), found.append)
    text = ', '.join(str(tuple(tensor.shape)) for tensor in found)
    return f'a tensor of shape {text}' if len(found) == 1 else f'tensors of shapes {text}'
