"""Configs of distillers that compare logits."""


def from_both(recorder='logits', **kwargs):
    """A loss's mapping of ``preds_S`` and ``preds_T`` to what one recorder has of each network."""
    return dict(
        preds_S=dict(recorder=recorder, from_student=True, **kwargs),
        preds_T=dict(recorder=recorder, from_student=False, **kwargs),
    )


def logit_distiller(recorder=None, **losses):
    """Config of a distiller of ``KLDivergence`` losses by name, each on the pass of its number.

    ``logit_distiller(loss_kl=0, loss_boundary=1)`` has one on the clean images, and one on the
    samples of the first hook. Logits are recorded by ``recorder``, which is ``Logits`` by default.
    """
    recorders = dict(logits=recorder or dict(type='Logits'))
    return dict(
        _scope_='mmrazor',
        type='ConfigurableDistiller',
        student_recorders=recorders,
        teacher_recorders=dict(recorders),
        distill_losses={name: dict(type='KLDivergence') for name in losses},
        loss_forward_mappings={
            name: from_both(record_idx=number) for name, number in losses.items()
        },
    )
