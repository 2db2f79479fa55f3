"""MMPretrain's networks, alone and within another model."""

from mmengine.model import BaseModule


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    classify_single_images()
    load_wrapped_classifiers()
    keep_weights_of_libraries()
    unpack_distilled_tokens()


def classify_single_images():
    """``LeNet5`` gives (K,) and not (1, K) class scores for a batch of one image, without a loss.

    MMPretrain 1.2.0: it drops every dimension of one element, the batch's too. A step may have a
    single boundary sample.
    """
    from mmpretrain.models.backbones import LeNet5

    upstream_forward = LeNet5.forward
    if upstream_forward.__module__ == __name__:
        return

    def forward(self, x):
        (outputs,) = upstream_forward(self, x)
        return (outputs.reshape(len(x), -1) if outputs.dim() == 1 else outputs,)

    LeNet5.forward = forward


def load_wrapped_classifiers():
    """``Missing key(s) in state_dict: "teacher.model.model..."`` when a run is resumed.

    MMPretrain 1.2.0: ``TimmClassifier`` and ``HuggingFaceClassifier`` take the prefix ``model.``
    off the keys that they save, and put it on those that they load. Inside another model PyTorch
    ignores the first, and the second adds a prefix to the one that is still there.
    """
    from mmpretrain.models.classifiers import HuggingFaceClassifier, TimmClassifier

    for kind in (TimmClassifier, HuggingFaceClassifier):
        kind._add_state_dict_prefix = staticmethod(_add_model_prefix)


def _add_model_prefix(state_dict, prefix, *_):
    """Put ``model.`` on the keys below ``prefix``, unless they have it already."""
    # The loss beside the network, such as Seesaw loss, may have buffers.
    loss = f'{prefix}loss_module.'
    own = [key for key in state_dict if key.startswith(prefix) and not key.startswith(loss)]
    inner = f'{prefix}model.'
    if not all(key.startswith(inner) for key in own):
        for key in own:
            state_dict[inner + key[len(prefix) :]] = state_dict.pop(key)


def keep_weights_of_libraries():
    """A pretrained network of timm trains from random weights, without a word.

    MMPretrain 1.2.0: the Runner calls ``init_weights`` of everything that has one, so also that by
    which networks of timm and Hugging Face draw their weights, after those have been loaded. What
    ``init_cfg`` asks for remains to be done.
    """
    from mmpretrain.models.classifiers import HuggingFaceClassifier, TimmClassifier

    for kind in (TimmClassifier, HuggingFaceClassifier):
        kind.init_weights = _init_all_but_the_network


def _init_all_but_the_network(self):
    """Initialise a classifier whose network has its weights from the library that built it."""
    self.model.is_init = True
    BaseModule.init_weights(self)


def unpack_distilled_tokens():
    """``ValueError: not enough values to unpack`` from MMRazor's ``DeiTClsHead``.

    MMRazor 1.0.0: it expects patch tokens before the two that it reads, as mmcls 1.0.0rc6 gave
    them. MMPretrain 1.2.0 gives those two alone.
    """
    from mmrazor.models.architectures.heads import DeiTClsHead

    upstream_pre_logits = DeiTClsHead.pre_logits
    if upstream_pre_logits.__module__ == __name__:
        return

    def pre_logits(self, feats):
        class_token, distillation_token = feats[-1][-2:]
        return upstream_pre_logits(self, [(None, class_token, distillation_token)])

    DeiTClsHead.pre_logits = pre_logits
