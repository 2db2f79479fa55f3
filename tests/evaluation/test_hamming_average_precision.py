"""HammingAveragePrecision against a loop, and what MMPretrain's metric gives instead."""

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import RetrievalAveragePrecision
from mmpretrain.structures import DataSample

from amkd_mm.evaluation import HammingAveragePrecision


def by_hand(ranking, relevant, k):
    """Mean precision at the relevant ranks among the first k."""
    hits, precisions = 0, []
    for rank, place in enumerate(ranking[:k], start=1):
        if relevant[place]:
            hits += 1
            precisions.append(hits / rank)
    return sum(precisions) / len(precisions) if precisions else 0


def evaluate(metric, rankings, relevant):
    samples = []
    for ranking, row in zip(rankings, relevant, strict=True):
        sample = DataSample().set_pred_label(torch.tensor(ranking))
        samples.append(sample.set_gt_score(torch.tensor(row).float()))
    evaluator = Evaluator(metric)
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


@pytest.mark.parametrize('k', [1, 4, 20, 30])
def test_against_a_loop(k):
    generator = torch.manual_seed(0)
    rankings = [torch.randperm(20, generator=generator).tolist() for _ in range(7)]
    relevant = (torch.rand(7, 20, generator=generator) < 0.3).int().tolist()
    relevant[3] = [0] * 20
    found = evaluate(HammingAveragePrecision(topk=k), rankings, relevant)
    goal = [by_hand(*both, k) for both in zip(rankings, relevant, strict=True)]
    assert found == {f'hamming/mAP@{k}': pytest.approx(100 * sum(goal) / 7)}


def test_all_of_the_first_are_relevant():
    """This is 100 here; MMPretrain's divides by all six relevant images."""
    scores, relevant = torch.linspace(1, 0, 10), torch.tensor([1] * 6 + [0] * 4)
    found = evaluate(HammingAveragePrecision(topk=3), [list(range(10))], [relevant.tolist()])
    assert found['hamming/mAP@3'] == 100
    theirs = RetrievalAveragePrecision.calculate(scores[None], relevant[None], topk=3)
    assert theirs == pytest.approx(50)


def test_fewer_found_than_looked_at():
    with pytest.raises(ValueError, match='topk is 3, but the model finds 2 images'):
        evaluate(HammingAveragePrecision(topk=3), [[1, 0]], [[1, 0, 0]])


def test_queries_without_labels():
    with pytest.raises(KeyError, match='HashRetriever'):
        HammingAveragePrecision(topk=3).process({}, [dict(pred_label=torch.tensor([0]))])
