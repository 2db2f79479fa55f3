"""CodeClusterHook in distillations of Digits: the clusters, their use, a resumed training."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import save_checkpoint
from mmpretrain.registry import MODELS
from mmrazor.utils import register_all_modules

from amkd_mm.hooks import CodeClusterHook

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/brcd/brcd_resnet14_resnet8_1xb64_digits.py'
# Images of the training, and for validation.
IMAGES, QUERIES = 96, 24


@pytest.fixture
def load(tmp_path):
    """The config for few images, a teacher of 8 layers and 3 clusters."""

    def load(folder, epochs):
        register_all_modules(False)
        cfg = Config.fromfile(CONFIG)
        cfg.model.teacher.image_encoder[0].depth = 8
        path = tmp_path / 'teacher.pth'
        if not path.exists():
            torch.manual_seed(0)
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                teacher = MODELS.build(cfg.model.teacher)
            teacher.init_weights()
            save_checkpoint(dict(state_dict=teacher.state_dict()), str(path))
        cfg.model.teacher_ckpt = str(path)
        cfg.model.distiller.distill_losses.loss_brcd.num_clusters = 3
        for model in (cfg.model.architecture, cfg.model.teacher):
            model.prototype.dataset.indices = IMAGES
        cfg.default_hooks.code_clusters.dataloader.dataset.indices = IMAGES
        cfg.default_hooks.logger = None
        cfg.train_dataloader.dataset.indices = IMAGES
        cfg.train_dataloader.batch_size = 32
        cfg.val_dataloader.dataset.indices = QUERIES
        cfg.train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=2)
        cfg.work_dir, cfg.log_level = str(tmp_path / folder), 'ERROR'
        cfg.experiment_name = f'{tmp_path.name}_{folder}_{epochs}'
        return cfg

    return load


def buffers_of(runner):
    clusters = runner.model.distiller.distill_losses['loss_brcd'].clusters
    return {name: buffer.clone() for name, buffer in clusters.named_buffers()}


def test_trains_and_resumes(load):
    """A resumed training has the clusters of its checkpoint, and ends as an uninterrupted one."""
    whole = Runner.from_cfg(load('whole', 2))
    whole.train()
    scalars = whole.message_hub.log_scalars
    for name in ('hamming/mAP@100', 'teacher.hamming/mAP@100'):
        assert 0 < scalars[f'val/{name}'].current() <= 100
    assert {'train/distill.loss_brcd', 'train/student.loss_contrast'} <= scalars.keys()

    # The student's database is seen as its queries are.
    student = whole.model.student.eval()
    loader = Runner.build_dataloader(load('other', 2).model.architecture.prototype)
    with torch.no_grad():
        codes = [student(**whole.model.data_preprocessor(batch, False)) for batch in loader]
    assert torch.equal(student.prototype_vecs, torch.cat(codes))

    # Clusters are those of the teacher's codes of the images as they are, by their numbers.
    teacher, buffers = whole.model.teacher.eval(), buffers_of(whole)
    loader = Runner.build_dataloader(load('other', 2).default_hooks.code_clusters.dataloader)
    with torch.no_grad():
        codes = torch.cat(
            [teacher(**whole.model.data_preprocessor(batch, False)) for batch in loader]
        )
    members = buffers['members']
    assert len(members) == IMAGES and set(members.tolist()) == {0, 1, 2}
    for number in range(3):
        mean = codes[members == number].mean(0)
        torch.testing.assert_close(buffers['centers'][number], mean)
        assert torch.equal(buffers['masks'][number], (mean.abs() >= 0.5).float())
    # As k-means leaves them: each code is nearest to its own centre.
    assert (torch.cdist(codes, buffers['centers']).argmin(1) == members).all()

    cfg = load('resumed', 2)
    cfg.resume, cfg.load_from = True, f'{whole.work_dir}/epoch_1.pth'
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_clusters_of_a_checkpoint_are_kept(load):
    Runner.from_cfg(load('parts', 1)).train()
    cfg = load('parts', 2)
    cfg.resume, cfg.load_from = True, str(Path(cfg.work_dir) / 'epoch_1.pth')
    saved = torch.load(cfg.load_from, weights_only=False)
    name = 'distiller.distill_losses.loss_brcd.clusters.members'
    saved['state_dict'][name] = torch.zeros(IMAGES, dtype=torch.long)
    torch.save(saved, cfg.load_from)
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    assert not buffers_of(resumed)['members'].any()


def test_other_images_than_those_of_the_training(load):
    cfg = load('whole', 1)
    cfg.default_hooks.code_clusters.dataloader.dataset.indices = 40
    with pytest.raises(ValueError, match=f'has 40 images and the training {IMAGES}'):
        Runner.from_cfg(cfg).train()


def test_without_the_hook(load):
    cfg = load('whole', 1)
    cfg.default_hooks.code_clusters = None
    with pytest.raises(ValueError, match='CodeClusterHook'):
        Runner.from_cfg(cfg).train()


def test_no_dataloader():
    with pytest.raises(TypeError, match='CodeClusterHook: dataloader must be such as'):
        CodeClusterHook('train')
