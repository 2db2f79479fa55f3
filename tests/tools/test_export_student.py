"""`tools/export_student.py`, from a real distillation to plain MMPretrain."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

ROOT = Path(__file__).parents[2]


def classifier(width, **backbone):
    backbone = backbone or dict(
        type='ResNet_CIFAR', depth=18, stem_channels=width, base_channels=width
    )
    return dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=8 * width, topk=(1,)),
    )


def preprocessor(mean):
    return dict(type='mmpretrain.ClsDataPreprocessor', mean=[mean] * 3, std=[50.0] * 3)


# Each with its preprocessor in another place.
STUDENTS = {
    'algorithm': dict(
        model=dict(architecture=classifier(4), data_preprocessor=preprocessor(100.0)),
        data_preprocessor=preprocessor(1.0),
    ),
    'runner': dict(
        model=dict(
            architecture={**classifier(4), 'data_preprocessor': preprocessor(1.0)},
        ),
        data_preprocessor=preprocessor(110.0),
    ),
    'named': dict(
        model=dict(
            architecture=dict(
                cfg_path='mmpretrain::mobilenet_v3/mobilenet-v3-small_8xb16_cifar10.py',
                pretrained=False,
            )
        )
    ),
}

USE_IN_MMPRETRAIN = """
import sys

import torch
from mmpretrain import ImageClassificationInferencer, get_model

config, checkpoint, image, out = sys.argv[1:]
model = get_model(config, pretrained=checkpoint)
inputs = torch.load(out)
logits = model(model.data_preprocessor(inputs)['inputs'])
result = ImageClassificationInferencer(config, pretrained=checkpoint, device='cpu')(image)[0]
assert 'amkd_mm' not in sys.modules and 'mmrazor' not in sys.modules
torch.save(dict(logits=logits, scores=torch.tensor(result['pred_scores']),
                name=result['pred_class']), out)
"""


@pytest.fixture(scope='module')
def export(load_tool):
    return load_tool('export_student.py')


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for name in ('ant', 'bee', 'cow'):
        (folder / name).mkdir()
        for i in range(4):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f'{i}.png')
    return folder


def distil(folder, images, student):
    """Train for one epoch; returns the algorithm, its config file and its checkpoint."""
    dataloader = dict(
        batch_size=6,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(
            type='mmpretrain.CustomDataset',
            data_root=str(images),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')],
        ),
    )
    algorithm = dict(
        type='SingleTeacherDistill',
        teacher=classifier(8),
        distiller=dict(
            type='ConfigurableDistiller',
            student_recorders=dict(fc=dict(type='ModuleOutputs', source='backbone')),
            teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='backbone')),
        ),
    )
    cfg = dict(
        default_scope='mmrazor',
        custom_imports=dict(imports=['amkd_mm'], allow_failed_imports=False),
        experiment_name=folder.name,
        work_dir=str(folder),
        train_dataloader=dataloader,
        val_dataloader=dataloader,
        val_evaluator=dict(type='mmpretrain.Accuracy', topk=(1,)),
        val_cfg=dict(),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        **{**student, 'model': {**algorithm, **student['model']}},
    )
    Config(cfg).dump(folder / 'distil.py')
    runner = Runner.from_cfg(Config(cfg))
    runner.train()
    # Not chained: MMRazor's train(), and so eval(), returns None.
    runner.model.cpu()
    runner.model.eval()
    return runner.model, folder / 'distil.py', folder / 'epoch_1.pth'


def run(export, monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['export_student.py', *map(str, args)])
    export.main()


@pytest.mark.parametrize('kind', STUDENTS)
def test_mmpretrain_gets_the_same_logits(export, images, tmp_path, monkeypatch, kind):
    algorithm, config, checkpoint = distil(tmp_path, images, STUDENTS[kind])
    out = tmp_path / 'new' / 'student.pth'
    run(export, monkeypatch, config, checkpoint, out)

    exported = torch.load(out, weights_only=True)
    assert set(exported['state_dict']) == set(algorithm.architecture.state_dict())
    assert exported['meta']['epoch'] == 1

    path = images / 'bee' / '1.png'
    # As `LoadImageFromFile` and the inferencer read it: BGR.
    pixels = torch.from_numpy(np.array(Image.open(path))[..., ::-1].copy()).permute(2, 0, 1)
    data = dict(inputs=pixels[None])
    torch.save(data, tmp_path / 'exchange.pth')
    with torch.no_grad():
        logits = algorithm(algorithm.data_preprocessor(data)['inputs'], mode='tensor')
    script = [sys.executable, '-c', USE_IN_MMPRETRAIN]
    files = [out.with_suffix('.py'), out, path, tmp_path / 'exchange.pth']
    subprocess.run([*script, *map(str, files)], check=True, cwd=tmp_path, timeout=120)
    result = torch.load(tmp_path / 'exchange.pth')
    torch.testing.assert_close(result['logits'], logits, rtol=0, atol=0)
    torch.testing.assert_close(result['scores'], logits.softmax(1)[0])
    assert result['name'] == ['ant', 'bee', 'cow'][logits.argmax()]


def test_own_class_keeps_the_import(export):
    backbone = dict(type='CifarResNet', depth=8)
    imports = dict(imports=['amkd_mm', 'mine'], allow_failed_imports=False)
    cfg = dict(model=dict(architecture=classifier(8, **backbone)), custom_imports=imports)
    assert export.student_config(Config(cfg)).custom_imports == imports

    cfg['model']['architecture'] = classifier(8)
    assert export.student_config(Config(cfg)).custom_imports.imports == ['mine']


def test_augmentation_of_the_training_stays_behind(export):
    """So that the student's preprocessor is MMPretrain's own, as the built one has to agree."""
    flip = dict(type='RandomFlip', prob=0.5)
    own = dict(preprocessor(9.0), type='mmpretrain.DeviceAugmentDataPreprocessor')
    cfg = dict(
        model=dict(architecture=classifier(4)),
        data_preprocessor=dict(own, device_augments=[flip]),
        custom_imports=dict(imports=['amkd_mm'], allow_failed_imports=False),
    )
    student = export.student_config(Config(cfg))
    assert student.model.data_preprocessor == preprocessor(9.0)
    assert 'custom_imports' not in student


def test_metrics_that_need_the_teacher_stay_behind(export):
    model = dict(architecture=classifier(4))
    accuracy, agreement = dict(type='Accuracy', topk=(1,)), dict(type='mmpretrain.Agreement')
    imports = dict(imports=['amkd_mm'], allow_failed_imports=False)
    for given, expected in (
        ([accuracy, agreement, dict(type='BoundarySimilarity')], [accuracy]),
        ([accuracy], [accuracy]),
        (accuracy, accuracy),
    ):
        cfg = dict(model=model, custom_imports=imports, test_dataloader=dict(batch_size=1))
        student = export.student_config(Config(dict(cfg, test_evaluator=given)))
        assert student.test_evaluator == expected
        # They are no reason to need this package.
        assert 'custom_imports' not in student


def test_config_without_algorithm(export):
    with pytest.raises(ValueError, match='model.architecture'):
        export.student_config(Config(dict(model=classifier(4))))


def test_checkpoint_without_student(export):
    config = Config(dict(model=classifier(4)))
    for checkpoint in ({}, dict(state_dict={'backbone.conv1.weight': torch.zeros(1)})):
        with pytest.raises(ValueError, match='"architecture."'):
            export.student_checkpoint(checkpoint, config)


def test_a_hash_in_the_name_is_that_of_the_file(export, tmp_path, monkeypatch, capsys):
    from mmpretrain.registry import MODELS

    student = MODELS.build(classifier(4))
    weights = {f'architecture.{key}': value for key, value in student.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'epoch_1.pth')
    Config(dict(model=dict(architecture=classifier(4)))).dump(tmp_path / 'distil.py')
    files = [tmp_path / 'distil.py', tmp_path / 'epoch_1.pth', tmp_path / 'student.pth']

    run(export, monkeypatch, *files, '--hash')

    (written,) = tmp_path.glob('student*.pth')
    assert hashlib.sha256(written.read_bytes()).hexdigest()[:8] == written.stem.split('-')[1]
    assert str(written) in capsys.readouterr().out
    # Exporting reads such a file only if it is whole.
    written.write_bytes(written.read_bytes()[:-1] + b'x')
    with pytest.raises(SystemExit):
        run(export, monkeypatch, files[0], written, files[2])
    assert 'was damaged or changed' in capsys.readouterr().err


def test_checkpoint_of_another_student(export):
    from mmpretrain.registry import MODELS

    other = MODELS.build(classifier(8)).state_dict()
    checkpoint = dict(state_dict={f'architecture.{key}': value for key, value in other.items()})
    with pytest.raises(ValueError, match='does not fit `model.architecture`'):
        export.student_checkpoint(checkpoint, Config(dict(model=classifier(4))))


def test_missing_files_and_wrong_names(export, tmp_path, monkeypatch, capsys):
    here = tmp_path / 'here'
    here.touch()
    for args, message in (
        (('absent.py', here, 'out.pth'), 'config: no such file: absent.py'),
        ((here, 'absent.pth', 'out.pth'), 'checkpoint: no such file: absent.pth'),
        ((here, here, 'out.py'), 'must end in .pth'),
    ):
        with pytest.raises(SystemExit, match='2'):
            run(export, monkeypatch, *args)
        assert message in capsys.readouterr().err


# --- The other network ----------------------------------------------------------------------------


def mutual(**changes):
    """Two networks that are trained together, each with other images."""
    return dict(
        model=dict(
            type='CheckedSingleTeacherDistill',
            architecture=classifier(4),
            teacher={**classifier(8), 'data_preprocessor': preprocessor(90.0)},
            teacher_trainable=True,
            data_preprocessor=preprocessor(100.0),
            **changes,
        )
    )


@pytest.mark.parametrize('own', [True, False], ids=['own_images', 'images_of_the_student'])
def test_a_trained_teacher_gives_the_same_logits(export, images, tmp_path, monkeypatch, own):
    settings = mutual()
    if not own:
        del settings['model']['teacher']['data_preprocessor']
    algorithm, config, checkpoint = distil(tmp_path, images, settings)
    out = tmp_path / 'teacher.pth'
    run(export, monkeypatch, config, checkpoint, out, '--network', 'teacher')
    exported = torch.load(out, weights_only=True)['state_dict']
    state = algorithm.teacher.state_dict()
    assert {name: value.shape for name, value in exported.items()} == {
        name: value.shape for name, value in state.items()
    }

    from mmpretrain import get_model

    model = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    assert model.data_preprocessor.mean.flatten().tolist() == [90.0 if own else 100.0] * 3
    pixels = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model(model.data_preprocessor(dict(inputs=pixels))['inputs'])
        # Here it makes its images of those of the student.
        inputs = algorithm.data_preprocessor(dict(inputs=pixels))['inputs']
        expected = algorithm.teacher(inputs, mode='tensor')
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(teacher_trainable=False), 'model.teacher_trainable=True'),
        (dict(teacher_input_size=64), 'model.teacher_input_size'),
        (dict(teacher=classifier(8), teacher_ckpt='t.pth'), 'model.teacher.data_preprocessor'),
        (
            dict(teacher={**classifier(8), 'init_cfg': dict(type='Pretrained', checkpoint='t')}),
            'model.teacher.data_preprocessor',
        ),
    ],
)
def test_a_teacher_of_which_the_config_does_not_say_all(export, changes, message):
    settings = mutual()
    settings['model'].update(changes)
    with pytest.raises(ValueError, match=message):
        export.student_config(Config(settings), 'teacher')
    # The student can be exported.
    assert 'model' in export.student_config(Config(settings))
