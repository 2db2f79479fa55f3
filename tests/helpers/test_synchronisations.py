"""The counter of synchronisations, on operators of which it is known."""

import pytest
import torch

from synchronisations import counted_synchronisations

X = torch.arange(4.0)
MASK = X > 1
INDEX = torch.tensor([0, 2])


def assign(key, value):
    X.clone()[key] = value


SYNCHRONISING = dict(
    item=lambda: X[0].item(),
    bool=lambda: bool(MASK.any()),
    int=lambda: int(X.max()),
    condition=lambda: 1 if MASK.all() else 0,
    tolist=lambda: X.tolist(),
    cpu=lambda: X.cpu(),
    to_cpu=lambda: X.to('cpu'),
    numpy=lambda: X.numpy(),
    nonzero=lambda: X.nonzero(),
    where=lambda: torch.where(MASK),
    mask=lambda: X[MASK],
    mask_of_columns=lambda: X.view(2, 2)[:, torch.tensor([True, False])],
    put_by_mask=lambda: assign(MASK, torch.ones(2)),
    masked_select=lambda: X.masked_select(MASK),
    unique=lambda: X.unique(),
    repeat_interleave=lambda: X.repeat_interleave(torch.tensor([1, 0, 2, 1])),
    multinomial=lambda: torch.multinomial(X, 1),
    allclose=lambda: torch.allclose(X, X),
    bincount=lambda: torch.bincount(INDEX),
    equal=lambda: torch.equal(X, X),
    from_python=lambda: torch.tensor([1.0, 2.0], device=X.device),
    as_tensor=lambda: torch.as_tensor(1.0, device=X.device),
)
SILENT = dict(
    arithmetic=lambda: (X + 1).sum(),
    bool_of_python=lambda: MASK | True,
    index=lambda: X[INDEX],
    slice=lambda: X[1:3],
    put=lambda: assign(INDEX, torch.ones(2)),
    # Does not need the shape.
    fill_by_mask=lambda: assign(MASK, 0.0),
    where=lambda: torch.where(MASK, X, 0 * X),
    masked_fill=lambda: X.masked_fill(MASK, 0),
    sort=lambda: X.sort(stable=True),
    full=lambda: X.new_full((), 3.0),
    repeat_interleave=lambda: X.repeat_interleave(torch.tensor([1, 0, 2, 1]), output_size=4),
    to=lambda: X.to(X.device, torch.float64),
    shape=lambda: len(X) and X.numel(),
)


@pytest.mark.parametrize('name', SYNCHRONISING)
def test_synchronising(name):
    with counted_synchronisations() as found:
        SYNCHRONISING[name]()
    assert found.number == 1, found.where


@pytest.mark.parametrize('name', SILENT)
def test_silent(name):
    with counted_synchronisations() as found:
        SILENT[name]()
    assert found.number == 0, found.where


def test_backward_pass():
    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * gradient[0].item()

    leaf = torch.ones(3, requires_grad=True)
    with counted_synchronisations() as found:
        Reading.apply(leaf).sum().backward()
    assert found.number == 1


def test_says_where():
    with counted_synchronisations() as found:
        for _ in range(3):
            X.nonzero()
    ((where, number),) = found.where.items()
    assert number == 3
    assert where.startswith('nonzero, test_synchronisations.py:')
    X.nonzero()
    assert found.number == 3
