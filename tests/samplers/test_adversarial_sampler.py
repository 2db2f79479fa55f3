"""AdversarialSampler against the searches of RSLAD and AdaAD, written in pixels."""

import pytest
import torch

from amkd_mm.samplers import AdversarialSampler
from clean_batches import MEAN, STD, clean_batch

RADIUS, STEP, STEPS = 12 / 255, 5 / 255, 4


def share_of_range(values):
    """Per channel, as pixels are divided by in this form."""
    return torch.tensor(values, dtype=torch.float64).view(3, 1, 1) / 255


def by_hand(batch, teacher_answers, noise):
    """Pixels in [0, 1], in double precision, one image at a time."""
    mean, std = share_of_range(MEAN), share_of_range(STD)
    clean = batch.inputs.double() * std + mean

    def probabilities(network, pixels):
        logits = network(((pixels - mean) / std).float()[None]).double()[0]
        return torch.exp(logits) / torch.exp(logits).sum()

    found, divergences = [], []
    for image, start, logits in zip(
        clean, clean + 0.001 * noise, batch.teacher_logits, strict=True
    ):

        def divergence(pixels, logits=logits):
            student = probabilities(batch.student, pixels)
            if teacher_answers == 'adversarial':
                teacher = probabilities(batch.teacher, pixels)
            else:
                teacher = logits.double().softmax(0)
            return (teacher * (teacher / student).log()).sum()

        point = start
        for _ in range(STEPS):
            point = point.detach().requires_grad_()
            divergence(point).backward()
            point = point.detach() + STEP * point.grad.sign()
            point = torch.min(torch.max(point, image - RADIUS), image + RADIUS).clamp(0, 1)
        found.append(point)
        divergences.append(divergence(point).item())
    return torch.stack(found), sum(divergences) / len(divergences)


@pytest.mark.parametrize('teacher_answers', ['clean', 'adversarial'])
def test_samples_and_statistics(teacher_answers):
    batch = clean_batch(size=6)
    sampler = AdversarialSampler(teacher_answers, RADIUS, STEP, STEPS)
    found = sampler(batch, torch.Generator().manual_seed(3))
    noise = torch.randn(batch.inputs.shape, generator=torch.Generator().manual_seed(3)).double()
    pixels, divergence = by_hand(batch, teacher_answers, noise)

    moved = found.inputs.double() * share_of_range(STD) + share_of_range(MEAN)
    # Where a gradient is as good as zero, rounding decides its sign.
    assert ((moved - pixels).abs() < 1e-5).double().mean() > 0.999
    assert found.statistics['divergence'].item() == pytest.approx(divergence, rel=1e-3)
    with torch.no_grad():
        right = batch.student(found.inputs).argmax(1) == batch.labels
        logits = batch.teacher(found.inputs)
    assert found.statistics['correct'] == right.float().mean()
    assert torch.equal(found.origins, batch.inputs) and torch.equal(found.labels, batch.labels)
    assert found.rows.tolist() == list(range(12)) and set(found.targets.tolist()) == {-1}
    # That the teacher need not see the samples again, where the search has let it.
    if teacher_answers == 'adversarial':
        torch.testing.assert_close(found.teacher_logits, logits)
    else:
        assert found.teacher_logits is None


def test_the_two_methods_differ():
    batch = clean_batch(size=6)
    ends = [
        AdversarialSampler(answers, RADIUS, STEP, STEPS)(batch, torch.Generator().manual_seed(3))
        for answers in ('clean', 'adversarial')
    ]
    assert (ends[0].inputs - ends[1].inputs).abs().mean() > 0.01


def test_a_teacher_that_is_sure_gives_no_nan():
    """Of a probability that is 0 in float32 the logarithm is not used."""
    batch = clean_batch(size=6)
    teacher = batch.teacher
    batch = batch._replace(
        teacher=lambda points: 1000 * teacher(points), teacher_logits=1000 * batch.teacher_logits
    )
    for answers in ('clean', 'adversarial'):
        found = AdversarialSampler(answers, RADIUS, STEP, STEPS)(batch, torch.Generator())
        assert torch.isfinite(found.inputs).all()
        assert torch.isfinite(found.statistics['divergence'])
