"""MMPretrain's options of `tools/test.py`, for the student of a distillation on Digits."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from mmrazor.registry import MODELS

from amkd_mm.classifiers import to_logits

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 50
CONFIG = f"""
_base_ = ['{ROOT.as_posix()}/configs/amkd/amkd_resnet26_resnet8_1xb64_digits.py']
model = dict(teacher_ckpt=None)
test_dataloader = dict(dataset=dict(indices={IMAGES}))
test_evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='Agreement')]
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a config and a checkpoint of random weights that tell images apart."""
    folder = tmp_path_factory.mktemp('test')
    (folder / 'config.py').write_text(CONFIG)
    cfg = Config.fromfile(folder / 'config.py')
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    model = MODELS.build(cfg.model)
    for network in (model.student, model.teacher):
        torch.nn.init.normal_(network.head.fc.weight, std=3.0)
    torch.save(dict(state_dict=model.state_dict()), folder / 'checkpoint.pth')
    return folder


@pytest.fixture
def test(folder, load_tool, monkeypatch):
    """Runs the tool in the folder with more options."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    monkeypatch.chdir(folder)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(*options, config='config.py'):
        monkeypatch.setattr(sys, 'argv', ['test.py', config, 'checkpoint.pth', *options])
        load_tool('test.py').main()

    return run


def scores(folder, versions):
    """Mean class scores, (N, K), of the student over versions of each image, and labels."""
    cfg = Config.fromfile(folder / 'config.py')
    cfg.model.data_preprocessor = cfg.data_preprocessor
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(folder / 'checkpoint.pth')['state_dict'])
    found, labels = [], []
    for item in DATASETS.build(cfg.test_dataloader.dataset):
        image = (item['inputs'] - 78.0) / 96.0
        with torch.no_grad():
            logits = [
                to_logits(model.student(version(image)[None], mode='tensor'))
                for version in versions
            ]
        found.append(sum(one.softmax(1) for one in logits)[0] / len(versions))
        labels.append(int(item['data_samples'].gt_label))
    return torch.stack(found), torch.tensor(labels)


def as_it_is(image):
    return image


def mirrored(image):
    return image.flip(-1)


def upside_down(image):
    return image.flip(-2)


def accuracy(found, labels):
    return pytest.approx(100 * (found.argmax(1) == labels).float().mean().item())


@pytest.mark.parametrize('own', [False, True])
def test_tta_is_the_average_over_versions(folder, test, own):
    config, versions = 'config.py', [as_it_is, mirrored]
    if own:
        config, versions = 'own.py', [as_it_is, mirrored, upside_down]
        flips = (
            "[dict(type='RandomFlip',prob=0.0),dict(type='RandomFlip',prob=1.0),"
            "dict(type='RandomFlip',prob=1.0,direction='vertical')]"
        )
        text = (folder / 'config.py').read_text()
        (folder / config).write_text(
            f"{text}\ntta_model = dict(type='AverageClsScoreTTA')\ntta_pipeline = [dict("
            f"type='TestTimeAug', transforms=[{flips}, [dict(type='PackInputs')]])]\n"
        )
    test('--tta', '--out', 'averaged.pkl', config=config)
    expected, labels = scores(folder, versions)
    dumped = load(folder / 'averaged.pkl')
    torch.testing.assert_close(torch.stack([one['pred_score'] for one in dumped]), expected)
    # It is not what a single version gives.
    assert (expected.argmax(1) != scores(folder, [as_it_is])[0].argmax(1)).any()
    test('--tta', '--out', 'metrics.json', '--out-item', 'metrics', config=config)
    # Agreement asks both networks about single images.
    assert load(folder / 'metrics.json') == {'accuracy/top1': accuracy(expected, labels)}


def test_out_writes_predictions_and_metrics(folder, test):
    expected, labels = scores(folder, [as_it_is])
    test('--out', 'predictions.pkl')
    dumped = load(folder / 'predictions.pkl')
    torch.testing.assert_close(torch.stack([one['pred_score'] for one in dumped]), expected)
    test('--out', 'metrics.json', '--out-item', 'metrics')
    metrics = load(folder / 'metrics.json')
    assert metrics['accuracy/top1'] == accuracy(expected, labels)
    assert 'agreement/clean' in metrics


def test_amp_predicts_in_half_precision(folder, test):
    expected, _ = scores(folder, [as_it_is])
    test('--amp', '--out', 'half.pkl')
    found = torch.stack([one['pred_score'] for one in load(folder / 'half.pkl')]).float()
    assert 0 < (found - expected).abs().max() < 0.2


def test_show_dir_has_a_picture_of_each_interval(folder, test):
    test('--show-dir', 'pictures', '--interval', '20')
    assert {path.name for path in (folder / 'pictures').iterdir()} == {
        '0_0.png',
        '20_0.png',
        '40_0.png',
    }


@pytest.mark.parametrize(
    'options, message',
    [
        (['--out-item', 'pred'], '--out-item needs --out'),
        (['--out', 'predictions.txt'], 'predictions are written to a .pkl file'),
        (['--tta', '--show-dir', 'pictures'], 'draw no images of --tta'),
        (['--show', '--cfg-options', 'default_hooks.visualization=None'], 'need a hook'),
    ],
)
def test_options_that_do_not_go_together(test, capsys, options, message):
    with pytest.raises(SystemExit):
        test(*options)
    assert message in capsys.readouterr().err
