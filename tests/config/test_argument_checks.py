"""Every registered class refuses values of the wrong type, and says which and what to write."""

import math

import pytest
from mmpretrain.registry import METRICS
from mmrazor.registry import HOOKS, MODELS, OPTIM_WRAPPERS, TASK_UTILS
from torch import nn, optim

from amkd_mm.config.argument_checks import check_bool, check_int, check_number
from networks import classifier

NAN = math.nan
SEARCH = dict(type='BoundarySearch')
BOUNDARY = dict(type='BoundarySampleHook', attack=SEARCH)
SCHEDULE = dict(type='LossWeightScheduleHook', loss='loss', policy='linear', start=1.0, stop=0.0)
VISUALIZATION = dict(type='BoundaryVisualizationHook')
LOCAL = dict(type='LocalDistributionHook')
TRIPLET = dict(type='TripletDistillLoss')
FUSION = dict(type='FeatureFusionConnector', in_channels=[4, 8])
ALIGN = dict(type='FeatureAlignConnector', in_channels=4, out_channels=8)
REVIEW = dict(type='ReviewKDConnector', in_channels=[4, 8], out_channels=[4, 8])
VID = dict(type='VIDLoss', student_channels=4, teacher_channels=8)

# A valid config, a wrong value, and the error.
CASES = [
    (HOOKS, BOUNDARY, dict(student_correct='False'), 'student_correct must be True or False'),
    (HOOKS, BOUNDARY, dict(keep_unreached=0), 'keep_unreached must be True or False'),
    (HOOKS, BOUNDARY, dict(by_epoch='no'), 'by_epoch must be True or False'),
    (HOOKS, BOUNDARY, dict(amp=None), 'amp must be True or False'),
    (HOOKS, BOUNDARY, dict(interval=1.5), 'interval must be an int >= 1, not 1.5'),
    (HOOKS, BOUNDARY, dict(interval='2'), 'interval must be an int >= 1'),
    (HOOKS, BOUNDARY, dict(interval=0), 'interval must be >= 1'),
    (HOOKS, BOUNDARY, dict(num_samples=True), 'num_samples must be a number'),
    (HOOKS, BOUNDARY, dict(num_samples='4'), 'num_samples must be a number'),
    (HOOKS, BOUNDARY, dict(num_samples=NAN), 'num_samples must be finite'),
    (HOOKS, BOUNDARY, dict(attack='BoundarySearch'), 'attack must be such as dict'),
    (HOOKS, BOUNDARY, dict(begin=5, end=3), 'begin=5 is after end=3'),
    (HOOKS, BOUNDARY, dict(begin=0.5, end=0.25), 'begin=0.5 is after end=0.25'),
    (HOOKS, dict(type='AugmentedSampleHook', transforms=[]), dict(transforms=3), 'transforms must'),
    (HOOKS, LOCAL, dict(num_particles=2.0), 'num_particles must be an int >= 1'),
    (HOOKS, LOCAL, dict(num_steps=True), 'num_steps must be an int >= 1'),
    (HOOKS, LOCAL, dict(radius='1'), 'radius must be a number'),
    (HOOKS, LOCAL, dict(radius=0), 'radius must be > 0'),
    (HOOKS, SCHEDULE, dict(start=NAN), 'start must be finite'),
    (HOOKS, SCHEDULE, dict(start='1'), 'start must be a number'),
    (HOOKS, SCHEDULE, dict(stop=-1.0), 'stop must be >= 0'),
    (HOOKS, SCHEDULE, dict(gamma=None), 'gamma must be a number'),
    (HOOKS, SCHEDULE, dict(loss=3), 'loss must be such as'),
    (HOOKS, SCHEDULE, dict(attribute=None), 'attribute must be such as'),
    (HOOKS, SCHEDULE, dict(begin=5, end=3), 'begin=5 is after end=3'),
    (HOOKS, VISUALIZATION, dict(enable='False'), 'enable must be True'),
    (HOOKS, VISUALIZATION, dict(interval=2.5), 'interval must be an int'),
    (
        HOOKS,
        VISUALIZATION,
        dict(num_samples=0),
        'num_samples must be >= 1',
    ),
    (MODELS, TRIPLET, dict(margin='0.3'), 'margin must be a number'),
    (MODELS, TRIPLET, dict(margin=NAN), 'margin must be finite'),
    (MODELS, TRIPLET, dict(normalize='False'), 'normalize must be True or False'),
    (MODELS, TRIPLET, dict(loss_weight=-1), 'loss_weight must be >= 0'),
    (MODELS, dict(type='TripletKDLoss'), dict(margin=True), 'margin must be a number'),
    (MODELS, dict(type='TripletKDLoss'), dict(loss_weight=NAN), 'loss_weight must be finite'),
    (MODELS, dict(type='CCDLoss'), dict(tau=-1), 'tau must be > 0'),
    (MODELS, dict(type='CCDLoss'), dict(tau='4'), 'tau must be a number'),
    (MODELS, dict(type='CCDLoss'), dict(loss_weight=None), 'loss_weight must be a number'),
    (MODELS, dict(type='StageContrastiveLoss'), dict(tau=NAN), 'tau must be finite'),
    (MODELS, dict(type='StageContrastiveLoss'), dict(loss_weight=-0.5), 'loss_weight must be >= 0'),
    (MODELS, dict(type='TALDLoss'), dict(loss_weight='1'), 'loss_weight must be a number'),
    (MODELS, dict(type='SPLoss'), dict(loss_weight=-1), 'loss_weight must be >= 0'),
    (MODELS, dict(type='PKTLoss'), dict(loss_weight='1'), 'loss_weight must be a number'),
    (MODELS, dict(type='PKTLoss'), dict(eps=0), 'eps must be > 0'),
    (MODELS, dict(type='NSTLoss'), dict(loss_weight=NAN), 'loss_weight must be finite'),
    (MODELS, VID, dict(student_channels=0), 'student_channels must be >= 1'),
    (MODELS, VID, dict(teacher_channels='8'), 'teacher_channels must be an int >= 1'),
    (MODELS, VID, dict(eps=-1), 'eps must be > 0'),
    (MODELS, VID, dict(init_variance=1e-5), 'init_variance must be > 1e-05'),
    (MODELS, VID, dict(loss_weight=-1), 'loss_weight must be >= 0'),
    (MODELS, dict(type='ReviewKDLoss'), dict(loss_weight=-1), 'loss_weight must be >= 0'),
    (MODELS, dict(type='CTKDLoss'), dict(tau_init=0), 'tau_init must be > 0'),
    (MODELS, dict(type='CTKDLoss'), dict(tau_range=-1), 'tau_range must be >= 0'),
    (MODELS, dict(type='CTKDLoss'), dict(reversal=-1), 'reversal must be >= 0'),
    (MODELS, dict(type='CTKDLoss'), dict(loss_weight=None), 'loss_weight must be a number'),
    (MODELS, dict(type='MLKDLoss'), dict(taus=4), 'taus must be such as'),
    (MODELS, dict(type='MLKDLoss'), dict(taus=[]), 'taus must have a temperature'),
    (MODELS, dict(type='MLKDLoss'), dict(taus=[4, 0]), 'taus must be > 0'),
    (MODELS, dict(type='MLKDLoss'), dict(instance_weight=-1), 'instance_weight must be >= 0'),
    (MODELS, dict(type='MLKDLoss'), dict(batch_weight=NAN), 'batch_weight must be finite'),
    (MODELS, dict(type='MLKDLoss'), dict(class_weight='1'), 'class_weight must be a number'),
    (MODELS, dict(type='MLKDLoss'), dict(loss_weight=-1), 'loss_weight must be >= 0'),
    (MODELS, ALIGN, dict(in_channels=None), 'in_channels must be an int >= 1'),
    (MODELS, ALIGN, dict(in_channels=0, out_channels=None), 'in_channels must be >= 1'),
    (MODELS, ALIGN, dict(out_channels=0), 'out_channels must be >= 1'),
    (MODELS, ALIGN, dict(size=0), 'size must be >= 1'),
    (MODELS, ALIGN, dict(size=[7, 7, 7]), r'size must be an edge or \(height, width\)'),
    (MODELS, ALIGN, dict(extra_tokens=-1), 'extra_tokens must be >= 0'),
    (MODELS, ALIGN, dict(grid='7x7'), 'grid must be an int >= 1'),
    (MODELS, ALIGN, dict(output='sequence'), r"output must be one of \('map', 'tokens'\)"),
    (MODELS, REVIEW, dict(in_channels=4), 'in_channels must be such as'),
    (MODELS, REVIEW, dict(in_channels=[], out_channels=[]), 'in_channels must have a stage'),
    (MODELS, REVIEW, dict(out_channels=[4, 0]), 'out_channels must be >= 1'),
    (MODELS, REVIEW, dict(out_channels=[4]), 'out_channels must have an entry for each of the 2'),
    (MODELS, REVIEW, dict(mid_channels=0), 'mid_channels must be >= 1'),
    (MODELS, REVIEW, dict(out_sizes=[8]), 'out_sizes must have an entry for each of the 2'),
    (MODELS, REVIEW, dict(out_sizes=[8, 0]), 'out_sizes must be >= 1'),
    (MODELS, FUSION, dict(in_channels=4), 'in_channels must be such as'),
    (MODELS, FUSION, dict(in_channels=[4, 8.0]), 'in_channels must be an int >= 1'),
    (MODELS, FUSION, dict(out_channels=0), 'out_channels must be >= 1'),
    (TASK_UTILS, SEARCH, dict(tolerance='0.1'), 'tolerance must be a number'),
    (TASK_UTILS, SEARCH, dict(max_steps=2.5), 'max_steps must be an int >= 1'),
    (TASK_UTILS, SEARCH, dict(overshoot=NAN), 'overshoot must be finite'),
    (TASK_UTILS, dict(type='BSSAttack'), dict(num_steps=True), 'num_steps must be an int >= 1'),
    (TASK_UTILS, dict(type='BSSAttack'), dict(eps=None), 'eps must be a number'),
    (TASK_UTILS, dict(type='StagesRecorder', sources=['a']), dict(sources=3), 'sources must be'),
    (TASK_UTILS, dict(type='StagesRecorder', sources=['a']), dict(inputs='no'), 'inputs must be'),
    (METRICS, dict(type='Agreement'), dict(num_samples=10.0), 'num_samples must be an int >= 1'),
    (METRICS, dict(type='ExpectedCalibrationError'), dict(num_bins='9'), 'num_bins must be an int'),
]


@pytest.mark.parametrize(('registry', 'config', 'wrong', 'message'), CASES)
def test_a_wrong_value_is_named(registry, config, wrong, message):
    registry.build(dict(config))

    with pytest.raises((TypeError, ValueError), match=message) as error:
        registry.build({**config, **wrong})

    assert config['type'].removesuffix('Recorder') in str(error.value) or 'attack' in wrong


def test_groups_of_an_optimizer():
    parameter = nn.Parameter(nn.Linear(1, 1).weight.detach())
    config = dict(
        type='SeparateMomentumOptimWrapper', optimizer=optim.SGD([parameter], lr=0.1, momentum=0.9)
    )
    groups = dict(a=dict(losses=['loss'], momentum='0.9'))
    with pytest.raises(TypeError, match='optim_wrapper.groups.a.momentum must be a number'):
        OPTIM_WRAPPERS.build(dict(config, groups=groups))


def amkd(mapping=None, loss=None, **model):
    record = dict(recorder='logits', from_student=True)
    mappings = dict(preds_S={**record, **(mapping or {})}, preds_T=dict(record, from_student=False))
    return MODELS.build(
        dict(
            type='mmrazor.AMKD',
            architecture=classifier(),
            teacher=classifier(),
            distiller=dict(
                type='ConfigurableDistiller',
                student_recorders=dict(logits=dict(type='Logits')),
                teacher_recorders=dict(logits=dict(type='Logits')),
                distill_losses=dict(loss_kl=dict(type='KLDivergence', **(loss or {}))),
                loss_forward_mappings=dict(loss_kl=mappings),
            ),
            **model,
        )
    )


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(teacher_ckpt=3), 'model.teacher_ckpt must be such as'),
        (dict(teacher_ckpt_strict='no'), 'model.teacher_ckpt_strict must be True or False'),
        (dict(teacher_eval='False'), 'model.teacher_eval must be True or False'),
        (dict(teacher_trainable=1), 'model.teacher_trainable must be True or False'),
        (dict(teacher_compile='yes'), 'model.teacher_compile must be such as'),
        (dict(mapping=dict(record_idx='1')), 'preds_S.record_idx must be an int >= 0'),
        (dict(mapping=dict(record_idx=True)), 'preds_S.record_idx must be an int >= 0'),
        (dict(mapping=dict(record_idx=-1)), 'preds_S.record_idx must be >= 0'),
        (dict(mapping=dict(from_student='False')), 'preds_S.from_student must be True or False'),
        (dict(loss=dict(tau=-4)), 'distill_losses.loss_kl.tau must be > 0'),
        (dict(loss=dict(tau='4')), 'distill_losses.loss_kl.tau must be a number'),
        (dict(loss=dict(loss_weight=NAN)), 'distill_losses.loss_kl.loss_weight must be finite'),
        (
            dict(data_preprocessor=dict(mean=[0.0], std=[0.0])),
            r'data_preprocessor: `std` is \[0.0\], but must be a list of finite numbers > 0',
        ),
    ],
)
def test_wrong_settings_of_the_algorithm(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        amkd(**changes)


def test_numbers_of_other_libraries_are_numbers():
    numpy = pytest.importorskip('numpy')
    check_int('a', numpy.int64(3), minimum=3)
    check_number('a', numpy.float32(0.5), above=0)
    check_bool('a', False)
