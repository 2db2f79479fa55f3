"""Images to try a training with."""

from mmengine.config import Config
from mmengine.registry import DefaultScope

from amkd_mm.diagnostics import Report
from amkd_mm.diagnostics.images import read_images, without_download
from digit_networks import DIGITS, ROOT, SMALL, table


def test_data_that_is_not_there(run, monkeypatch):
    """Nothing is downloaded; the images are random, of the size of the pipeline."""

    downloads = []

    def refuse(*args, **kwargs):
        downloads.append(args)

    for name in ('cifar', 'mnist'):
        monkeypatch.setattr(f'mmpretrain.datasets.{name}.download_and_extract_archive', refuse)
    config = ROOT / 'configs/kd/kd_logits_resnet26_resnet8_1xb256_cifar10.py'
    status, text = run(config, 'model.teacher_ckpt=None', batch_size=2)
    rows = table(text)
    assert status == 1 and text.endswith('1 problem(s)\n')
    assert rows['images'][0].startswith('2 random ones, 32x32; CIFAR10')
    assert rows['boundary samples'][0].startswith('none asked for')
    assert not downloads


def test_data_that_fails(run):
    options = ['model.teacher_ckpt=None', 'train_dataloader.dataset.split=foo']
    status, text = run(DIGITS, SMALL, *options)
    assert status == 1 and text.endswith('2 problem(s)\n')
    assert "problem: `train_dataloader.dataset` fails: Digits: `split` must be 'train'" in text


def test_data_is_never_downloaded():
    """By no data set that could, however deep it is."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        nested = dict(type='KFoldDataset', dataset=dict(type='CIFAR100', data_root='x'))
        assert without_download(nested)['dataset']['download'] is False
        assert 'download' not in without_download(nested)
        assert without_download(dict(type='MNIST'))['download'] is False
        assert 'download' not in without_download(dict(type='CustomDataset'))


def test_images_from_all_over_the_data():
    """A data set that is sorted would otherwise give one class."""
    cfg = Config.fromfile(DIGITS)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        items, dataset, why = read_images(Report(), cfg, 'train', 3)
    rows = [0, (len(dataset) - 1) // 2, len(dataset) - 1]
    labels = [dataset.get_data_info(row)['gt_label'] for row in rows]
    assert not why
    assert [int(item['data_samples'].gt_label) for item in items] == labels
    assert labels != [dataset.get_data_info(row)['gt_label'] for row in range(3)]
