"""Repairs for the distillers of MMRazor 1.0.0: losses, connectors and algorithms.

Where a method gave a right value before, it gives the same one now.
"""

import math

import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    reduce_decoupled_losses()
    normalize_zero_features()
    relate_equal_embeddings()
    contrast_without_wrapped_data()
    distil_before_residual_activations()
    weigh_probabilities_of_zero()
    differentiate_unlikely_classes()
    generate_in_one_process()
    drop_gradients_of_the_generator_step()
    freeze_untrained_students()


# --- Losses ---------------------------------------------------------------------------------------


def reduce_decoupled_losses():
    """``DKDLoss`` grows with the batch size, whatever its ``reduction``, and may be NaN.

    MMRazor 1.0.0 passes ``size_average=False`` to PyTorch, which is deprecated and means a sum in
    spite of ``reduction``. It also takes the logarithm of probabilities that may be 0. Here
    ``reduction`` counts, and the probabilities of target and others are logarithms throughout.
    """
    from mmrazor.models.losses import DKDLoss

    DKDLoss._kl_loss = _reduced_kl
    DKDLoss._get_tckd_loss = _target_loss


def _reduced_kl(self, preds_S, preds_T):
    """Kullback-Leibler divergence of ``preds_T`` from ``preds_S``, the latter logarithms."""
    return self.tau**2 * F.kl_div(preds_S, preds_T, reduction=self.reduction)


def _target_loss(self, preds_S, preds_T, gt_labels, gt_mask):
    """Divergence of two probabilities: that of the label, and that of all other classes."""
    student, teacher = (
        _target_log_probs(preds / self.tau, gt_mask) for preds in (preds_S, preds_T)
    )
    return self._kl_loss(student, teacher.exp())


def _target_log_probs(logits, gt_mask):
    """Logarithms, (N, 2), of the probabilities of the label and of all other classes."""
    log_probs = F.log_softmax(logits, dim=1)
    others = log_probs.masked_fill(gt_mask, -math.inf).logsumexp(1, keepdim=True)
    return torch.cat([log_probs[gt_mask].unsqueeze(1), others], dim=1)


def normalize_zero_features():
    """A feature map of zeros makes ``L2Loss`` and ``CRDConnector`` NaN, and then all weights.

    MMRazor 1.0.0 divides by the norm. Here zeros stay zeros.
    """
    from mmrazor.models.architectures.connectors import crd_connector
    from mmrazor.models.losses import L2Loss

    L2Loss.normalize_feature = _normalize_feature
    crd_connector.Normalize.forward = _normalize_rows


def _unit(x, dim=1):
    """Vectors of length 1; a zero vector stays, with a finite gradient."""
    norm = x.norm(dim=dim, keepdim=True)
    return x / torch.where(norm > 0, norm, torch.ones_like(norm))


def _normalize_feature(self, feature):
    """``L2Loss``: features as rows, (N, D), of length ``mult``."""
    return _unit(feature.flatten(1)) * self.mult


def _normalize_rows(self, x):
    """``crd_connector.Normalize``: rows of length 1 in the norm of ``power``."""
    if self.power == 2:
        return _unit(x)
    return F.normalize(x, p=self.power, dim=1)


def relate_equal_embeddings():
    """``DistanceWiseRKD`` is NaN for a batch of one; ``AngleWiseRKD`` has gradients of 1e12.

    MMRazor 1.0.0 divides by the mean of the distances that are not 0, of which there are none; and
    it normalises the difference of two student embeddings that coincide by 1e-12.
    """
    from mmrazor.models.losses import DistanceWiseRKD, relational_kd

    DistanceWiseRKD.distance_loss = _distance_loss
    relational_kd.angle = _angle


def _distance_loss(self, preds_S, preds_T):
    """Huber loss between the distances of each side, relative to their mean."""
    from mmrazor.models.losses.relational_kd import euclidean_distance

    def relative(preds):
        distances = euclidean_distance(preds)
        positive = distances[distances > 0]
        return distances / positive.mean() if len(positive) else distances

    return F.smooth_l1_loss(relative(preds_S), relative(preds_T))


def _angle(pred):
    """Cosines, (N * N * N,), of the angles at each embedding between two others."""
    vectors = _unit(pred.unsqueeze(0) - pred.unsqueeze(1), dim=2)
    return torch.bmm(vectors, vectors.transpose(1, 2)).flatten()


def contrast_without_wrapped_data():
    """``CRDLoss``: ``AssertionError: `sample_idx` must be a tensor``; ``loss_weight`` is ignored.

    MMRazor 1.0.0 wants data packed by its ``PackCRDClsInputs``, which needs MMCls, around its
    ``CRDDataset``, which fails on classes of different size with numpy >= 1.24. It prints,
    keeps the graph of the first batch in a buffer (so that the model cannot be copied), draws
    negatives on the CPU for memories on the GPU, and prepares that by a loop over all images. Here
    the index that MMPretrain's ``PackInputs`` gives every sample is enough: negatives are drawn
    uniformly from all images, unless the samples have ``contrast_sample_idxs``.
    """
    from mmrazor.models.losses import CRDLoss, crd_loss

    crd_loss.AliasMethod = _Uniform
    crd_loss.ContrastMemory.forward = _contrast
    CRDLoss.forward = _crd_loss


class _Uniform:
    """Stands in for ``AliasMethod``, to which upstream gives equal probabilities only."""

    def __init__(self, probs):
        self.size = len(probs)

    def draw(self, N):
        return torch.randint(self.size, (N,))


def _crd_loss(self, s_feats, t_feats, data_samples):
    """``CRDLoss.forward``: contrast each image's two embeddings with those of other images."""

    def indices(name):
        return torch.stack([torch.as_tensor(sample.get(name)) for sample in data_samples])

    if data_samples[0].get('sample_idx') is None:
        raise KeyError(
            'CRDLoss needs the index of each image: its data sample has no `sample_idx`, which '
            'MMPretrain sets, unless `PackInputs` is given other `meta_keys`'
        )
    own, size = indices('sample_idx').flatten(), self.contrast.n_sample
    if own.max() >= size:
        raise ValueError(
            f'CRDLoss: image {int(own.max())} has no place among {size}: set `sample_n` to the '
            'number of training images'
        )
    others = None
    if data_samples[0].get('contrast_sample_idxs') is not None:
        others = indices('contrast_sample_idxs').to(s_feats.device)
    outputs = self.contrast(s_feats, t_feats, own.to(s_feats.device), others)
    return self.loss_weight * sum(self.criterion_s_t(output) for output in outputs)


def _contrast(self, feat_s, feat_t, idx, sample_idx=None):
    """``ContrastMemory.forward``: scores, (N, 1 + negatives, 1), of student and teacher.

    The first column is that of the image itself. ``memory_v1`` has embeddings of the student.
    """
    count = int(self.params[0])
    temperature, momentum = float(self.params[1]), float(self.params[4])
    if sample_idx is None:
        sample_idx = self.multinomial.draw(len(idx) * (count + 1)).view(len(idx), -1).to(idx.device)
        sample_idx[:, 0] = idx

    scores = []
    # The embedding of one network against the memory of the other.
    for place, (feat, memory) in enumerate([(feat_s, self.memory_v2), (feat_t, self.memory_v1)], 2):
        found = memory[sample_idx]
        score = torch.exp(torch.bmm(found, feat.unsqueeze(2)) / temperature)
        if self.params[place] < 0:
            # The constant that makes it a probability is estimated from the first batch.
            self.params[place] = score.detach().mean() * len(memory)
        scores.append(score / float(self.params[place]))

    with torch.no_grad():
        for feat, memory in ((feat_s, self.memory_v1), (feat_t, self.memory_v2)):
            update = momentum * memory[idx] + (1 - momentum) * feat
            memory.index_copy_(0, idx, _unit(update).to(memory.dtype))
    return scores


def weigh_probabilities_of_zero():
    """``InformationEntropyLoss`` is NaN once a class has the probability 0: ``0 * log10(0)``.

    MMRazor 1.0.0; the generator of DAFL begins with images of few classes.
    """
    from mmrazor.models.losses import InformationEntropyLoss

    InformationEntropyLoss.forward_train = _information_entropy


def _information_entropy(self, preds_T):
    """Negative entropy of the mean probabilities, to the base of 10."""
    from mmrazor.models.architectures.ops import GatherTensors

    if self.gather and self.world_size > 1:
        preds_T = torch.cat(GatherTensors.apply(preds_T), dim=0)
    probs = F.softmax(preds_T, dim=1).mean(dim=0)
    return (probs * probs.clamp_min(torch.finfo(probs.dtype).tiny).log10()).sum()


def differentiate_unlikely_classes():
    """A generator of ZSKT becomes NaN after some hundred steps, its losses being finite.

    MMRazor 1.0.0: with ``teacher_detach=False`` the gradient of ``KLDivergence`` has the logarithm
    of the teacher's probability, of which one may be 0. Here logarithms are given to PyTorch.
    """
    from mmrazor.models.losses import KLDivergence

    upstream_forward = KLDivergence.forward
    if upstream_forward.__module__ == __name__:
        return

    def forward(self, preds_S, preds_T):
        if self.teacher_detach:
            return upstream_forward(self, preds_S, preds_T)
        student, teacher = (F.log_softmax(preds / self.tau, dim=1) for preds in (preds_S, preds_T))
        loss = F.kl_div(student, teacher, reduction=self.reduction, log_target=True)
        return self.loss_weight * self.tau**2 * loss

    KLDivergence.forward = forward


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
