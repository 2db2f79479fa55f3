"""HammingIndex against a plain count of the bits that differ."""

import pytest
import torch

from amkd_mm.retrievers import HammingIndex
from amkd_mm.retrievers.hamming_index import pack

CODES = torch.tensor([[-1.0, 1.0]])[0][torch.randint(2, (40, 16), generator=torch.manual_seed(0))]


def test_nearest_codes():
    pytest.importorskip('faiss')
    database, queries = CODES[:30], CODES[30:]
    distances, places = HammingIndex(database).search(queries, topk=5)
    for query, found, order in zip(queries, distances.tolist(), places, strict=True):
        counts = [sum(a != b for a, b in zip(query, code, strict=True)) for code in database]
        assert found == sorted(map(int, counts))[:5]
        assert [counts[place] for place in order] == found


def test_no_more_than_there_are():
    pytest.importorskip('faiss')
    distances, places = HammingIndex(CODES[:3]).search(CODES[:1], topk=10)
    assert distances[0, 0] == 0 and sorted(places[0].tolist()) == [0, 1, 2]


def test_bits_of_bytes():
    """The first bit is the highest."""
    codes = torch.tensor([[1, -1, -1, -1, -1, -1, 1, 1] + [-1] * 7 + [1]]).float()
    assert pack(codes).tolist() == [[0b10000011, 1]]


def test_bits_that_fill_no_byte():
    with pytest.raises(ValueError, match='codes of 12 bits do not fill bytes'):
        pack(torch.ones(2, 12))


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'faiss', None)
    with pytest.raises(ImportError, match='pip install faiss-cpu'):
        HammingIndex(CODES)
