"""TripletDistillLoss against loops over pairs, PyTorch's own triplet loss and hand computation."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from mmrazor.registry import MODELS

from amkd_mm.losses import TripletDistillLoss
from amkd_mm.losses.triplet_distill_loss import triplet_distill_loss

DISTANCES = ('euclidean', 'squared', 'cosine')
MINING = ('mean', 'hardest')


def unit(vector):
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def distance_of(name, first, second):
    if name == 'cosine':
        return 1 - sum(a * b for a, b in zip(unit(first), unit(second), strict=True))
    squared = sum((a - b) ** 2 for a, b in zip(first, second, strict=True))
    return squared if name == 'squared' else math.sqrt(squared)


def naive_loss(
    anchors, anchor_labels, references, reference_labels, positives=None, targets=None, *, margin,
    distance, normalize, positive_mining, negative_mining,
):  # fmt: skip
    """The definition, one pair at a time; returns the loss and all hinges before the maximum."""

    def rows(embeddings):
        vectors = embeddings.flatten(1).tolist()
        return [unit(vector) for vector in vectors] if normalize else vectors

    hinges = []
    for i, (anchor, label) in enumerate(zip(rows(anchors), anchor_labels.tolist(), strict=True)):
        near, far = [], []
        for other, other_label in zip(rows(references), reference_labels.tolist(), strict=True):
            to_other = distance_of(distance, anchor, other)
            if other_label == label:
                near.append(to_other)
            elif targets is None or other_label == targets[i]:
                far.append(to_other)
        if positives is not None:
            near = [distance_of(distance, anchor, rows(positives)[i])]
        if near and far:
            positive = max(near) if positive_mining == 'hardest' else sum(near) / len(near)
            negative = min(far) if negative_mining == 'hardest' else sum(far) / len(far)
            hinges.append(positive - negative + margin)
    return sum(max(0, hinge) for hinge in hinges) / max(1, len(hinges)), hinges


def random_batch(dtype=torch.float32, spatial=False):
    """Six anchors and nine references of classes 0 to 3; class 3 has anchors only."""
    generator = torch.Generator().manual_seed(3)
    shape = (5, 1, 1) if spatial else (5,)
    anchor, positive = (torch.randn(6, *shape, generator=generator, dtype=dtype) for _ in 'ap')
    reference = torch.randn(9, *shape, generator=generator, dtype=dtype)
    anchor_labels = torch.tensor([0, 1, 2, 0, 3, 1])
    reference_labels = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0, 1])
    return anchor, anchor_labels, reference, reference_labels, positive


@pytest.mark.parametrize('own_positive', [False, True])
@pytest.mark.parametrize('spatial', [False, True])
@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize('negative_mining', MINING)
@pytest.mark.parametrize('positive_mining', MINING)
@pytest.mark.parametrize('distance', DISTANCES)
def test_equals_loops(distance, positive_mining, negative_mining, normalize, spatial, own_positive):
    *batch, positive = random_batch(spatial=spatial)
    if own_positive:
        batch.append(positive)
    options = dict(
        distance=distance,
        normalize=normalize,
        positive_mining=positive_mining,
        negative_mining=negative_mining,
    )
    expected, hinges = naive_loss(*batch, margin=0.3, **options)
    # Otherwise the comparison says little: the class without references counts only with a
    # positive of its own, and without the maximum the result would be another.
    assert len(hinges) == (6 if own_positive else 5)
    if negative_mining == 'hardest':
        assert max(hinges) > 0
    found = TripletDistillLoss(**options)(*batch)
    assert found.shape == ()
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize('negative_mining', MINING)
def test_negatives_of_the_target_class(negative_mining):
    anchor, labels, reference, reference_labels, _ = random_batch()
    # The fourth is without negatives: there is no reference of class 3.
    targets = torch.tensor([1, 2, 0, 3, 1, 0])
    options = dict(distance='euclidean', positive_mining='mean', negative_mining=negative_mining)
    expected, hinges = naive_loss(
        anchor, labels, reference, reference_labels, targets=targets.tolist(), margin=0.3,
        normalize=True, **options,
    )  # fmt: skip
    # The fifth is without positives.
    assert len(hinges) == 4 and max(hinges) > 0
    loss = TripletDistillLoss(**options)
    found = loss(anchor, labels, reference, reference_labels, anchor_targets=targets)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_gap_of_the_teacher_is_taken_off():
    """The teacher's embeddings have a width of their own, and get no gradient."""
    anchor, labels, reference, reference_labels, _ = random_batch()
    generator = torch.Generator().manual_seed(5)
    taught = [torch.randn(n, 3, generator=generator).requires_grad_() for n in (6, 9)]
    options = dict(
        distance='squared', positive_mining='hardest', negative_mining='mean', normalize=True
    )
    _, own = naive_loss(anchor, labels, reference, reference_labels, margin=0.0, **options)
    embeddings = (value.detach() for value in taught)
    _, gaps = naive_loss(
        next(embeddings), labels, next(embeddings), reference_labels, margin=0.0, **options
    )
    hinges = [one - other + 0.1 for one, other in zip(own, gaps, strict=True)]
    assert min(hinges) < 0 < max(hinges)
    anchor.requires_grad_()
    found = TripletDistillLoss(margin=0.1, **options)(
        anchor,
        labels,
        reference,
        reference_labels,
        teacher_anchor=taught[0],
        teacher_reference=taught[1],
    )
    assert found.item() == pytest.approx(sum(max(0, h) for h in hinges) / 5, rel=1e-5)
    found.backward()
    assert anchor.grad.abs().sum() > 0 and taught[0].grad is None and taught[1].grad is None


def test_the_maximum_is_taken_for_each_anchor():
    """One hinge above and one below zero; a maximum after the mean would give 0."""
    anchor, reference = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [3.0], [15.0], [10.0]])
    batch = anchor, torch.tensor([0, 2]), reference, torch.tensor([0, 1, 1, 2])
    # 1 - 3 + 2.5 = 0.5, and 0 - 5 + 2.5 = -2.5
    loss = TripletDistillLoss(margin=2.5, normalize=False)(*batch)
    assert loss.item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    'options, expected',
    [
        # Positives at distances 5 and 1, negatives at 10 and 2, margin 0.5.
        (dict(), 3 - 2 + 0.5),
        (dict(positive_mining='hardest'), 5 - 2 + 0.5),
        (dict(negative_mining='mean'), 0),
        (dict(distance='squared'), 13 - 4 + 0.5),
        (dict(positive_mining='hardest', negative_mining='mean', margin=1.5), 0.5),
        # Seen from (1, 0) instead, at cosines 0.6 and 0 to the positives, 0.6 and 0 to the others.
        (dict(distance='cosine', anchor=[1.0, 0.0]), 0.7 - 0.4 + 0.5),
        (dict(distance='cosine', anchor=[1.0, 0.0], positive_mining='hardest'), 1 - 0.4 + 0.5),
    ],
)
def test_by_hand(options, expected):
    options = dict(margin=0.5, normalize=False) | options
    anchor = torch.tensor([options.pop('anchor', [0.0, 0.0])])
    reference = torch.tensor([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0], [0.0, 2.0]])
    labels = torch.tensor([7]), torch.tensor([7, 7, 1, 2])
    loss = TripletDistillLoss(**options)(anchor, labels[0], reference, labels[1])
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_defaults_are_the_documented_ones():
    *batch, _ = random_batch()
    options = dict(distance='euclidean', positive_mining='mean', negative_mining='hardest')
    expected, _ = naive_loss(*batch, margin=0.3, normalize=True, **options)
    loss = MODELS.build(dict(type='mmrazor.TripletDistillLoss'))
    assert loss(*batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize('own_positive', [False, True])
def test_equals_pytorch_where_both_apply(own_positive, normalize):
    """One positive and one negative for each anchor: value and gradients."""
    generator = torch.Generator().manual_seed(0)
    anchors, positives = (torch.randn(8, 4, generator=generator) for _ in 'ap')
    negative = torch.randn(1, 4, generator=generator)
    leaves = [x.requires_grad_() for x in (anchors, positives, negative)]
    loss = TripletDistillLoss(margin=4, normalize=normalize)
    if own_positive:
        batch = anchors, torch.zeros(8, dtype=int), negative, torch.ones(1, dtype=int), positives
    else:
        # Each anchor is alone in its class with its positive, and has but one negative.
        batch = anchors[:1], torch.tensor([0]), torch.cat([positives[:1], negative])
        batch = *batch, torch.tensor([0, 1])
    found = loss(*batch)
    gradients = torch.autograd.grad(found, leaves, allow_unused=True)

    a, p, n = (F.normalize(x) if normalize else x for x in leaves)
    used = slice(None) if own_positive else slice(1)
    expected = F.triplet_margin_loss(a[used], p[used], n.expand_as(a[used]), margin=4, eps=0)
    assert expected > 0.1
    torch.testing.assert_close(found, expected)
    others = torch.autograd.grad(expected, leaves)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize('own_positive', [False, True])
@pytest.mark.parametrize('distance', DISTANCES)
def test_gradients(distance, own_positive):
    anchor, anchor_labels, reference, reference_labels, positive = random_batch(torch.float64)
    leaves = [anchor, reference] + [positive] * own_positive
    leaves = [leaf.requires_grad_() for leaf in leaves]
    for positive_mining, negative_mining in product(MINING, MINING):

        def function(first, second, own=None, mining=(positive_mining, negative_mining)):
            return triplet_distill_loss(
                first,
                anchor_labels,
                second,
                reference_labels,
                own,
                margin=2.0,
                distance=distance,
                positive_mining=mining[0],
                negative_mining=mining[1],
            )

        assert torch.autograd.gradcheck(function, leaves)


def no_negatives(anchor, _, reference, *__):
    return anchor, torch.zeros(6, dtype=int), reference, torch.zeros(9, dtype=int)


def no_positives(anchor, _, reference, *__):
    return anchor, torch.zeros(6, dtype=int), reference, torch.ones(9, dtype=int)


def no_anchors(anchor, anchor_labels, reference, reference_labels, _):
    return anchor[:0], anchor_labels[:0], reference, reference_labels


def no_references(anchor, anchor_labels, reference, reference_labels, _):
    return anchor, anchor_labels, reference[:0], reference_labels[:0]


def nothing(anchor, anchor_labels, reference, reference_labels, _):
    return anchor[:0], anchor_labels[:0], reference[:0], reference_labels[:0]


def own_positives_but_no_negatives(anchor, _, reference, __, positive):
    return anchor, torch.zeros(6, dtype=int), reference, torch.zeros(9, dtype=int), positive


def own_positives_but_no_references(anchor, anchor_labels, reference, reference_labels, positive):
    return anchor, anchor_labels, reference[:0], reference_labels[:0], positive


@pytest.mark.parametrize('spatial', [False, True])
@pytest.mark.parametrize('options', [dict(), dict(positive_mining='hardest', distance='cosine')])
@pytest.mark.parametrize(
    'case',
    [
        no_negatives,
        no_positives,
        no_anchors,
        no_references,
        nothing,
        own_positives_but_no_negatives,
        own_positives_but_no_references,
    ],
)
def test_no_triplet(case, options, spatial):
    """Zero, and still attached: a total of nothing else could be differentiated."""
    anchor, anchor_labels, reference, reference_labels, positive = random_batch(spatial=spatial)
    leaves = [leaf.requires_grad_() for leaf in (anchor, reference, positive)]
    batch = case(anchor, anchor_labels, reference, reference_labels, positive)
    loss = TripletDistillLoss(**options)(*batch)
    assert loss.item() == 0
    loss.backward()
    for leaf in leaves[:2]:
        assert torch.equal(leaf.grad, torch.zeros_like(leaf))


@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize('distance, mining', [*product(DISTANCES, MINING)])
def test_identical_embeddings(distance, mining, normalize):
    """At distance zero the root has no derivative."""
    row = torch.tensor([[1.0, -2.0, 0.5]])
    anchor, reference = row.repeat(2, 1).requires_grad_(), row.repeat(4, 1).requires_grad_()
    positive = row.repeat(2, 1).requires_grad_()
    loss = TripletDistillLoss(0.3, distance, normalize, mining, mining)
    labels = torch.tensor([0, 1]), torch.tensor([0, 1, 0, 1])
    for batch in ((reference, labels[1]), (reference, labels[1], positive)):
        value = loss(anchor, labels[0], *batch)
        assert value.item() == pytest.approx(0.3, abs=1e-6)
        for gradient in torch.autograd.grad(value, (anchor, reference)):
            assert gradient.isfinite().all() and gradient.abs().max() < 10


def test_nearly_identical_embeddings_are_exact():
    """Products of norms, the fast way to distances, lose what remains after subtraction."""
    anchor = torch.full((1, 64), 10.0)
    reference = torch.stack([anchor[0] + 1e-3, anchor[0] + 3e-3])
    batch = anchor, torch.tensor([0]), reference, torch.tensor([0, 1])
    loss = TripletDistillLoss(margin=0.1, normalize=False)
    assert loss(*batch).item() == pytest.approx(0.1 - 2e-3 * 8, rel=1e-3)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('distance', DISTANCES)
def test_low_precision_inputs_are_computed_in_float32(distance, dtype):
    anchor, anchor_labels, reference, reference_labels, positive = random_batch()
    low = [x.to(dtype) for x in (anchor, reference, positive)]
    loss = TripletDistillLoss(distance=distance)
    found = loss(low[0], anchor_labels, low[1], reference_labels, low[2])
    assert found.dtype == torch.float32
    full = [x.float() for x in low]
    expected = loss(full[0], anchor_labels, full[1], reference_labels, full[2])
    assert found.item() == expected.item()
    exact = loss(anchor, anchor_labels, reference, reference_labels, positive)
    assert found.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize('distance', DISTANCES)
def test_autocast_changes_nothing(distance):
    *batch, _ = random_batch()
    loss = TripletDistillLoss(distance=distance)
    expected = loss(*batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = loss(*batch)
    assert found.dtype == torch.float32
    assert found.item() == expected.item()


def test_float64_inputs_and_small_integer_labels():
    *batch, _ = random_batch()
    expected = TripletDistillLoss()(*batch)
    anchor, anchor_labels, reference, reference_labels = batch
    found = TripletDistillLoss()(
        anchor.double(), anchor_labels.int(), reference.double(), reference_labels
    )
    torch.testing.assert_close(found, expected)


def test_loss_weight_is_read_at_each_call():
    """A schedule sets it after construction."""
    *batch, _ = random_batch()
    once = TripletDistillLoss()(*batch).item()
    loss = TripletDistillLoss(loss_weight=2.5)
    assert loss(*batch).item() == pytest.approx(2.5 * once)
    loss.loss_weight = 0.5
    assert loss(*batch).item() == pytest.approx(0.5 * once)
    loss.loss_weight = 0
    batch[0].requires_grad_()
    zero = loss(*batch)
    zero.backward()
    assert zero.item() == 0 and not batch[0].grad.any()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(margin=-0.1), 'margin must be >= 0, not -0.1'),
        (dict(distance='l2'), "distance must be one of .*'euclidean'.* not 'l2'"),
        (dict(positive_mining='easy'), "positive_mining must be one of .* not 'easy'"),
        (dict(negative_mining='max'), "negative_mining must be one of .* not 'max'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=f'TripletDistillLoss: {message}'):
        TripletDistillLoss(**options)


@pytest.mark.parametrize(
    'change, error, message',
    [
        (dict(reference=torch.ones(9, 4)), ValueError, 'the same width, not 5 and 4'),
        (
            dict(positive=torch.ones(5, 5)),
            ValueError,
            r'positive must be .* not \(5, 5\)',
        ),
        (
            dict(anchor_labels=torch.ones(6, 4)),
            ValueError,
            r'anchor_labels .* not \(6, 4\)',
        ),
        (dict(reference_labels=torch.ones(8)), ValueError, r'reference_labels .* not \(8,\)'),
        (dict(anchor=(torch.ones(6, 5),)), TypeError, 'anchor must be a tensor .* not tuple'),
        (dict(reference=torch.ones(9)), TypeError, r'reference must be .* not \(9,\)'),
        (dict(positive=[torch.ones(6, 5)]), TypeError, 'positive must be a tensor .* not list'),
        (dict(anchor_targets=torch.ones(5)), ValueError, r"anchor_targets .*\(5,.*'TargetClasses'"),
        (dict(teacher_anchor=torch.ones(6, 3)), ValueError, 'teacher_reference belong together'),
        (
            dict(
                teacher_anchor=torch.ones(6, 3),
                teacher_reference=torch.ones(9, 3),
                positive=torch.ones(6, 5),
            ),
            ValueError,
            'go without positive',
        ),
        (
            dict(teacher_anchor=torch.ones(6, 3), teacher_reference=torch.ones(9, 4)),
            ValueError,
            r'of one width .* not \(6, 3\) and \(9, 4\)',
        ),
    ],
)
def test_bad_batches(change, error, message):
    names = 'anchor', 'anchor_labels', 'reference', 'reference_labels'
    batch = dict(zip(names, random_batch()[:4], strict=True)) | change
    with pytest.raises(error, match=message):
        TripletDistillLoss()(**batch)
