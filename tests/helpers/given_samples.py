"""Steps of AMKD with samples that a test gives, without a hook and a Runner."""

import torch

from amkd_mm.samplers import Sampler, SampleRequest, Samples


class Given(Sampler):
    """Samples that a test gives, of the first rows of the batch."""

    def __init__(self, inputs=()):
        self.inputs = inputs

    def __call__(self, batch, generator):
        rows = torch.arange(len(self.inputs))
        origins, labels = batch.inputs[rows], batch.labels[rows]
        return Samples(self.inputs, origins, rows, labels, torch.zeros_like(rows), None, {})


def give(model, inputs):
    """Let the next step of a model have these inputs as samples, with the labels of its rows."""
    sampler = Given(inputs)
    model.samplers = [sampler]
    model.request_samples(sampler, SampleRequest(0, tuple(inputs.shape[-2:])))


def step_with_samples(model, inputs, samples, num_clean):
    """The losses of a step with the last inputs of a batch as samples."""
    give(model, inputs[num_clean:])
    return model.loss(inputs[:num_clean], samples[:num_clean])
