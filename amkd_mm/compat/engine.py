"""What MMPretrain's and MMEngine's engines ask of a model, asked of the right part of an algorithm.

MMPretrain's recipes are written for a classifier; in MMRazor's algorithms that is the student.
"""

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    tell_the_depth_of_layers()
    give_students_to_hooks()
    check_known_class_numbers()
    skip_frozen_parts_at_once()


# --- Optimiser constructors -----------------------------------------------------------------------


def tell_the_depth_of_layers():
    """``NotImplementedError: The layer-wise learning rate decay need the model ... AMKD``.

    MMPretrain 1.2.0 asks the model for the depth of a parameter's layer, which MMRazor 1.0.0 does
    not pass on to the student.
    """
    from mmrazor.models.algorithms import BaseAlgorithm

    BaseAlgorithm.get_layer_depth = _get_layer_depth


def _get_layer_depth(self, param_name):
    """Depth of a parameter's layer and number of layers, each network's being its own.

    What is in neither, such as a connector, is trained as the student's head is.
    """
    part, _, inner = param_name.partition('.')
    if part != 'teacher':
        network, part = self.architecture, 'architecture'
    else:
        network = self.teacher
    if not hasattr(network, 'get_layer_depth'):
        raise NotImplementedError(
            f'`optim_wrapper.constructor`: {type(network).__name__}, `model.{part}`, does not say '
            'how deep its layers are, which a layer-wise learning rate needs: leave '
            '`constructor` out, or use an ImageClassifier with such a backbone (ViT, Swin, ...)'
        )
    return network.get_layer_depth(inner if param_name.startswith(f'{part}.') else param_name)


def skip_frozen_parts_at_once():
    """``paramwise_cfg`` warns of each parameter of a frozen teacher.

    MMEngine 0.10.7 logs a line for every parameter that it leaves out since it needs no gradient.
    Here it is one for a module that is frozen as a whole. What is optimised is the same.
    """
    upstream_add_params = DefaultOptimWrapperConstructor.add_params
    if upstream_add_params.__module__ == __name__:
        return

    def add_params(self, params, module, prefix='', **kwargs):
        parameters = list(module.parameters())
        if parameters and not any(one.requires_grad for one in parameters):
            text = f'{prefix or "The model"} is not optimised: {len(parameters)} frozen parameters'
            print_log(text, logger='current')
            return
        upstream_add_params(self, params, module, prefix, **kwargs)

    DefaultOptimWrapperConstructor.add_params = add_params


# --- Hooks ----------------------------------------------------------------------------------------


def give_students_to_hooks():
    """``RuntimeError: Cannot access the `loss_module` of the model`` of ``SwitchRecipeHook``.

    Likewise ``AttributeError: 'AMKD' object has no attribute 'head'`` of others. Hooks of
    MMPretrain 1.2.0 that change a part of a classifier change the student's here.
    """
    from mmpretrain.engine import SetAdaptiveMarginsHook, SwitchRecipeHook, WarmupParamHook

    upstream_before_train = SetAdaptiveMarginsHook.before_train
    upstream_switch_loss = SwitchRecipeHook._switch_loss
    upstream_get_param, upstream_set_param = WarmupParamHook.get_param, WarmupParamHook.set_param
    if upstream_before_train.__module__ == __name__:
        return

    def before_train(self, runner):
        upstream_before_train(self, _of_student(runner))

    def switch_loss(runner, loss_module):
        upstream_switch_loss(_of_student(runner), loss_module)

    # The path of a module may begin at the algorithm, too.
    def get_param(self, runner):
        try:
            return upstream_get_param(self, runner)
        except AttributeError:
            return upstream_get_param(self, _of_student(runner))

    def set_param(self, runner, value):
        try:
            upstream_set_param(self, runner, value)
        except AttributeError:
            upstream_set_param(self, _of_student(runner), value)

    SetAdaptiveMarginsHook.before_train = before_train
    SwitchRecipeHook._switch_loss = staticmethod(switch_loss)
    WarmupParamHook.get_param, WarmupParamHook.set_param = get_param, set_param


def check_known_class_numbers():
    """``AssertionError: The `num_classes` (None) in ClsDataPreprocessor of AMKD does not matches``.

    ``ClassNumCheckHook`` of MMPretrain 1.2.0 takes "not said" for a number. In an algorithm each
    network has a preprocessor of its own, which is not used and of which a config says nothing.
    """
    from mmpretrain.engine import ClassNumCheckHook

    upstream_check_head = ClassNumCheckHook._check_head
    if upstream_check_head.__module__ == __name__:
        return

    def check_head(self, runner, dataset):
        silent = [one for one in runner.model.modules() if vars(one).get('num_classes', 0) is None]
        for module in silent:
            del module.num_classes
        try:
            upstream_check_head(self, runner, dataset)
        finally:
            for module in silent:
                module.num_classes = None

    ClassNumCheckHook._check_head = check_head


class _RunnerOfStudent:
    """A Runner, but that its model is the student."""

    def __init__(self, runner, student):
        self._runner, self.model = runner, student

    def __getattr__(self, name):
        return getattr(self._runner, name)


def _of_student(runner):
    """A Runner of the student, if it is one of an algorithm."""
    from mmrazor.models.algorithms import BaseAlgorithm

    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if isinstance(model, BaseAlgorithm):
        return _RunnerOfStudent(runner, model.architecture)
    return runner
