"""What AMKD changes on teacher and student: the teacher's inputs above all."""

import copy
from uuid import uuid4

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn

import networks
from amkd_mm.data_preprocessors.normalizer import Normalizer
from amkd_mm.hooks import BoundarySampleHook
from amkd_mm.teachers import input_normalization
from amkd_mm.teachers.checkpoint import recorded_preprocessor
from distillers import logit_distiller
from labelled_images import LabelledImages
from runners import quiet_runner

NUM_CLASSES = 3
STUDENT = dict(mean=[100.0, 110.0, 120.0], std=[60.0, 60.0, 60.0], to_rgb=False)
# The same standard deviations, so that a step of an attack is as long in either's units.
TEACHER = dict(mean=[140.0, 90.0, 70.0], std=[60.0, 60.0, 60.0], to_rgb=True)


def classifier(**changes):
    torch.manual_seed(0)
    return networks.classifier(num_classes=NUM_CLASSES, **changes)


def amkd(**changes):
    model = dict(
        type='mmrazor.AMKD',
        architecture=classifier(),
        teacher=classifier(),
        distiller=logit_distiller(loss_kl=0, loss_boundary=1),
        data_preprocessor=STUDENT,
    )
    return MODELS.build(model | changes)


@pytest.fixture(scope='module')
def network():
    """A teacher that was trained on ``TEACHER``: its batch norm fits nothing else."""
    torch.manual_seed(0)
    model = MODELS.build(classifier())
    model.init_weights()
    nn.init.normal_(model.head.fc.weight)
    inputs = ClsDataPreprocessor(**TEACHER)(dict(inputs=pixels(64)))['inputs']
    for _ in range(20):
        model.train()(inputs)
    return model.eval()


def pixels(number=12, seed=0):
    """Images whose colours differ, so that the order of channels matters."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(number, 3, 8, 8, generator=generator)
    return (images * torch.tensor([255.0, 120, 50]).view(3, 1, 1)).to(torch.uint8)


def logits_of(network, images, **settings):
    inputs = ClsDataPreprocessor(**(settings or TEACHER))(dict(inputs=images))['inputs']
    with torch.no_grad():
        return network(inputs, mode='tensor')


def save(tmp_path, network, config=None):
    path = str(tmp_path / f'{uuid4().hex}.pth')
    meta = dict(cfg=config if isinstance(config, str) else Config(config).pretty_text)
    torch.save(dict(state_dict=network.state_dict(), meta=meta if config else {}), path)
    return path


def saw(model, images):
    """What the teacher makes of the student's inputs."""
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    with torch.no_grad():
        return model.eval().teacher(inputs, mode='tensor')


# --- Whose word counts ----------------------------------------------------------------------------

WRITTEN = classifier(data_preprocessor=TEACHER)
SAYS = dict(model=dict(type='ImageClassifier'), data_preprocessor=TEACHER)
OTHER = dict(data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0]))


@pytest.mark.parametrize(
    ('teacher', 'config', 'expected'),
    [
        (classifier(), None, STUDENT),
        (classifier(), SAYS, TEACHER),
        (WRITTEN, None, TEACHER),
        (WRITTEN, SAYS, TEACHER),
        (WRITTEN, OTHER, TEACHER),
    ],
)
def test_the_teacher_gets_the_images_it_was_trained_on(
    teacher, config, expected, network, tmp_path
):
    path = save(tmp_path, network, config)
    model = amkd(teacher=copy.deepcopy(teacher), teacher_ckpt=path)
    torch.testing.assert_close(
        saw(model, pixels()), logits_of(network, pixels(), **expected), rtol=1e-4, atol=1e-4
    )
    # The fast copy too.
    inputs = model.data_preprocessor(dict(inputs=pixels()))['inputs']
    torch.testing.assert_close(
        model.folded_teacher(inputs), saw(model, pixels()), rtol=1e-3, atol=1e-3
    )
    assert model.folded_teacher._folded is not model.teacher
    assert model.state_dict().keys() == amkd().state_dict().keys()


def test_config_and_checkpoint_that_disagree(network, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(input_normalization, 'print_log', lambda text, **_: logged.append(text))
    amkd(teacher=copy.deepcopy(WRITTEN), teacher_ckpt=save(tmp_path, network, SAYS))
    assert len(logged) == 1
    (known,) = logged
    assert 'as its config says' in known
    amkd(teacher=copy.deepcopy(WRITTEN), teacher_ckpt=save(tmp_path, network, OTHER))
    assert '[1.0, 2.0, 3.0]' in logged[1] and '[140.0, 90.0, 70.0]' in logged[1]
    del logged[:]
    amkd(teacher_ckpt=save(tmp_path, network))
    (unknown,) = logged
    assert '`model.teacher.data_preprocessor=' in unknown


def test_a_built_teacher_and_one_of_a_named_config_keep_their_own(network):
    built = copy.deepcopy(network)
    built.data_preprocessor = ClsDataPreprocessor(**TEACHER)
    model = amkd(teacher=built)
    torch.testing.assert_close(
        saw(model, pixels()), logits_of(network, pixels()), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        (dict(data_preprocessor=TEACHER), TEACHER),
        (dict(model=dict(type='A', data_preprocessor=TEACHER), data_preprocessor=STUDENT), TEACHER),
        (
            dict(
                data_preprocessor=dict(
                    batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]), **TEACHER
                )
            ),
            TEACHER,
        ),
        (dict(model={'type': 'A', 'a-b': 1, 'data_preprocessor': TEACHER}), TEACHER),
        (dict(model=dict(type='A')), None),
        # The named config's own would win.
        (dict(model=dict(cfg_path='a::b.py'), data_preprocessor=STUDENT), None),
    ],
)
def test_the_config_in_a_checkpoint(config, expected):
    checkpoint = dict(meta=dict(cfg=Config(config).pretty_text))
    if expected is not None:
        expected = dict(expected, type='mmpretrain.ClsDataPreprocessor')
    assert recorded_preprocessor(checkpoint) == expected


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('mmpretrain.models.utils.data_preprocessor.ClsDataPreprocessor', 'mmpretrain.Cls'),
        ('mmpretrain.DeviceAugmentDataPreprocessor', 'mmpretrain.Cls'),
        ('ImgDataPreprocessor', 'mmengine.Img'),
        ('this.ClsDataPreprocessor', 'mmpretrain.Cls'),
        ('this.s', None),
        ('OwnPreprocessor', None),
    ],
)
def test_a_checkpoint_cannot_name_what_to_import(name, expected, network, tmp_path, capsys):
    config = dict(data_preprocessor=dict(type=name, mean=[1.0] * 3, std=[2.0] * 3))
    found = recorded_preprocessor(dict(meta=dict(cfg=Config(config).pretty_text)))
    assert found is None if expected is None else found['type'].startswith(expected)
    amkd(teacher_ckpt=save(tmp_path, network, config))
    assert 'Zen of Python' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'wrong',
    [dict(mean=[1.0, 2.0]), dict(mean=['1'] * 3), dict(std=[0.0] * 3), dict(std=[1.0, 0.0, 1.0])],
)
def test_a_checkpoint_by_which_no_image_is_normalised(wrong, network, tmp_path):
    path = save(tmp_path, network, dict(data_preprocessor={**TEACHER, **wrong}))
    with pytest.raises(ValueError, match="model.teacher_ckpt: .* of the checkpoint's config"):
        amkd(teacher_ckpt=path)
    # As the message says.
    model = amkd(teacher=copy.deepcopy(WRITTEN), teacher_ckpt=path)
    expected = logits_of(network, pixels(), **TEACHER)
    torch.testing.assert_close(saw(model, pixels()), expected, rtol=1e-4, atol=1e-4)


def test_a_hostile_config_in_a_checkpoint_says_nothing():
    for text in ('cfg = a' + '.a' * 200_000, 'cfg = ' + '-' * 50_000 + '1'):
        assert recorded_preprocessor(dict(meta=dict(cfg=text))) is None


@pytest.mark.parametrize('meta', [None, {}, dict(cfg=None), dict(cfg='a = ('), dict(cfg=3)])
def test_checkpoints_without_a_config(meta):
    assert recorded_preprocessor(dict(meta=meta)) is None


def test_the_config_in_a_checkpoint_is_not_run(tmp_path):
    evil = f"open({str(tmp_path / 'evil')!r}, 'w')"
    for text in (f'data_preprocessor = dict(mean={evil})', f'{evil}\ndata_preprocessor = dict()'):
        recorded_preprocessor(dict(meta=dict(cfg=text)))
    assert not (tmp_path / 'evil').exists()


@pytest.mark.parametrize('own', [TEACHER, dict(to_rgb=True)])
def test_a_built_teacher_is_believed_before_its_checkpoint(own, network, tmp_path):
    built = copy.deepcopy(network)
    built.data_preprocessor = ClsDataPreprocessor(**own)
    model = amkd(teacher=built, teacher_ckpt=save(tmp_path, network, OTHER))
    expected = logits_of(network, pixels(), **own)
    torch.testing.assert_close(saw(model, pixels()), expected, rtol=1e-3, atol=1e-3)


def test_a_preprocessor_that_is_built_already(network, tmp_path):
    teacher = classifier(data_preprocessor=ClsDataPreprocessor(**TEACHER))
    model = amkd(teacher=teacher, teacher_ckpt=save(tmp_path, network))
    torch.testing.assert_close(
        saw(model, pixels()), logits_of(network, pixels()), rtol=1e-3, atol=1e-3
    )


def test_padding_of_the_config_is_believed(network, tmp_path):
    padded = dict(data_preprocessor=dict(TEACHER, pad_size_divisor=32))
    path = save(tmp_path, network, padded)
    with pytest.raises(ValueError, match='pad_size_divisor'):
        amkd(teacher_ckpt=path)
    written = classifier(data_preprocessor=dict(TEACHER, pad_size_divisor=1))
    assert amkd(teacher=written, teacher_ckpt=path).input_adapters[''].renormalizes


def test_size_alone(network, tmp_path):
    model = amkd(
        teacher_ckpt=save(tmp_path, network), data_preprocessor=TEACHER, teacher_input_size=(12, 20)
    )
    inputs = ClsDataPreprocessor(**TEACHER)(dict(inputs=pixels()))['inputs']
    with torch.no_grad():
        large = F.interpolate(inputs, (12, 20), mode='bicubic', antialias=True)
        expected = network(large, mode='tensor')
    torch.testing.assert_close(saw(model, pixels()), expected, rtol=1e-3, atol=1e-3)
    for size in (0, [20], (3, -1)):
        with pytest.raises(ValueError, match='`model.teacher_input_size`'):
            amkd(teacher_input_size=size)


def test_the_teacher_alone_is_validated_on_its_own_inputs(network, tmp_path):
    model = amkd(teacher=copy.deepcopy(WRITTEN), teacher_ckpt=save(tmp_path, network))
    samples = [DataSample() for _ in range(12)]
    with torch.no_grad():
        found = model.eval().teacher.val_step(dict(inputs=pixels(), data_samples=samples))
    scores = torch.stack([sample.pred_score for sample in found])
    expected = logits_of(network, pixels()).softmax(1)
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-3)


def test_settings_beside_cfg_path(network):
    """MMEngine ignores them, and would do so in silence."""
    named = dict(cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py', pretrained=False)
    student = classifier()
    student['head']['num_classes'] = 10
    model = amkd(architecture=student, teacher=dict(named, data_preprocessor=TEACHER))
    inputs = model.data_preprocessor(dict(inputs=pixels()))['inputs']
    expected = ClsDataPreprocessor(**TEACHER)(dict(inputs=pixels()))['inputs']
    torch.testing.assert_close(model.input_adapters[''](inputs), expected, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"model.architecture.*\['data_preprocessor'\] beside"):
        amkd(architecture=dict(named, data_preprocessor=TEACHER), teacher=student)


# --- In training and in validation ----------------------------------------------------------------


class Spy(Hook):
    """The batch with its boundary samples, and what the teacher said in the step."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        (found,) = [h.samples for h in runner.hooks if isinstance(h, BoundarySampleHook)]
        moved = Normalizer(runner.model.data_preprocessor).denormalize(found.inputs)
        self.pixels = torch.cat([torch.stack(list(data_batch['inputs'])).float(), moved])
        self.rows = found.rows.tolist()
        recorder = runner.model.distiller.teacher_recorders.get_recorder('logits')
        self.logits = torch.cat(recorder.data_buffer)


def train(model, images, labels, tmp_path):
    spy = Spy()
    loader = dict(
        dataset=LabelledImages(images, [int(label) for label in labels]),
        batch_size=len(images),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    runner = quiet_runner(
        tmp_path,
        model=model,
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        val_dataloader=copy.deepcopy(loader),
        val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
        val_evaluator=dict(type='mmpretrain.Accuracy'),
        custom_hooks=[
            dict(
                type='mmrazor.BoundarySampleHook',
                attack=dict(type='BoundarySearch'),
                num_samples=1.0,
                target='runner_up',
                student_correct=False,
            ),
            spy,
        ],
    )
    runner.train()
    scalars = runner.message_hub.log_scalars
    spy.accuracy = scalars['val/teacher.accuracy/top1'].current()
    return spy


def test_clean_rows_boundary_rows_attack_and_validation_of_the_teacher(network, tmp_path):
    images = pixels(16, seed=3)
    labels = logits_of(network, images).argmax(1)
    assert (logits_of(network, images, **STUDENT).argmax(1) != labels).any()
    path = save(tmp_path, network)
    different = amkd(teacher=copy.deepcopy(WRITTEN), teacher_ckpt=path)
    spy = train(different, images, labels, tmp_path / 'different')
    assert len(spy.rows) >= 8
    torch.testing.assert_close(spy.logits, logits_of(network, spy.pixels), rtol=1e-3, atol=1e-3)
    # On the teacher's own boundary: its two best classes are about equal.
    top = logits_of(network, spy.pixels[len(images) :]).softmax(1).topk(2).values
    assert (top[:, 0] - top[:, 1]).max() <= 0.07 + 1e-3
    assert spy.accuracy == 100

    # The attack finds the same images as in a pair with the teacher's normalisation for both.
    same = amkd(data_preprocessor=TEACHER, teacher_ckpt=path)
    other = train(same, images, labels, tmp_path / 'same')
    assert spy.rows == other.rows
    torch.testing.assert_close(spy.pixels, other.pixels, rtol=0, atol=0.05)


def test_a_teacher_for_larger_images(network, tmp_path):
    path = save(tmp_path, network)
    model = amkd(teacher=copy.deepcopy(WRITTEN), teacher_ckpt=path, teacher_input_size=20)
    images = pixels(16, seed=3)
    inputs = ClsDataPreprocessor(**TEACHER)(dict(inputs=images))['inputs']
    large = F.interpolate(inputs, (20, 20), mode='bicubic', antialias=True)
    with torch.no_grad():
        expected = network(large, mode='tensor')
    torch.testing.assert_close(saw(model, images), expected, rtol=1e-3, atol=1e-3)
    spy = train(model, images, expected.argmax(1), tmp_path)
    assert len(spy.rows) >= 8 and spy.pixels.shape[-1] == 8
    assert spy.accuracy == 100


# --- Other preparations ---------------------------------------------------------------------------


def test_batch_augments_of_the_student_are_kept():
    """MMRazor drops them where the config has a preprocessor of its own."""
    mixup = dict(augments=dict(type='Mixup', alpha=1.0), probs=1.0)
    student = classifier(train_cfg=mixup)
    model = amkd(architecture=copy.deepcopy(student))
    samples = [DataSample().set_gt_label(index % NUM_CLASSES) for index in range(12)]
    data = model.data_preprocessor(dict(inputs=pixels(), data_samples=samples), True)
    scores = torch.stack([sample.gt_score for sample in data['data_samples']])
    assert scores.shape == (12, NUM_CLASSES) and (scores.max(1).values < 1).any()
    built = ClsDataPreprocessor(**STUDENT)
    for given in (built, None):
        model = amkd(architecture=copy.deepcopy(student), data_preprocessor=given)
        samples = [DataSample().set_gt_label(index % NUM_CLASSES) for index in range(12)]
        data = model.data_preprocessor(dict(inputs=pixels(), data_samples=samples), True)
        assert data['data_samples'][0].gt_score.shape == (NUM_CLASSES,)
    with pytest.raises(ValueError, match=r'ImgDataPreprocessor cannot mix images'):
        other = dict(type='mmengine.ImgDataPreprocessor', mean=[1.0] * 3, std=[1.0] * 3)
        amkd(architecture=copy.deepcopy(student), data_preprocessor=other)
    settings = dict(STUDENT, batch_augments=None)
    model = amkd(architecture=copy.deepcopy(student), data_preprocessor=settings)
    assert model.data_preprocessor.batch_augments is None


def test_synchronised_batch_norm_and_checkpointing_of_a_frozen_teacher():
    backbone = dict(type='ResNet', depth=18, norm_cfg=dict(type='SyncBN'), with_cp=True)
    head = dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=512)
    teacher = {**classifier(), 'backbone': backbone, 'head': head}
    model = amkd(teacher=teacher)
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in model.teacher.modules())
    assert [text.split()[-2:] for text in model.adaptations] == [
        ['batch', 'norm'],
        ['activation', 'checkpointing'],
    ]
    assert amkd().adaptations == []
    leaf = torch.randn(2, 3, 32, 32, requires_grad=True)
    # Recomputing activations does not allow this.
    (gradient,) = torch.autograd.grad(model.eval().teacher(leaf, mode='tensor').sum(), leaf)
    assert gradient.abs().sum() > 0
    trained = amkd(teacher=copy.deepcopy(teacher), teacher_trainable=True)
    assert any(isinstance(m, nn.SyncBatchNorm) for m in trained.teacher.modules())
    assert trained.teacher.backbone.layer1[0].with_cp


def test_networks_of_other_libraries_keep_their_weights(tmp_path):
    """The Runner would call `init_weights` of a pretrained network of timm."""
    pytest.importorskip('timm')
    config = dict(
        _scope_='mmpretrain',
        type='TimmClassifier',
        model_name='vit_tiny_patch16_224',
        img_size=16,
        patch_size=8,
        num_classes=NUM_CLASSES,
    )
    model = amkd(teacher=config)
    before = copy.deepcopy(model.teacher.state_dict())
    model.init_weights()
    for key, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[key]), key
