"""The distillation of two networks, each of which has a config of its own."""

from mmengine.config import Config


def pair_config(distillation: Config, teacher: Config, student: Config) -> Config:
    """The distillation of two plain configs, on the student's data.

    Args:
        distillation (Config): The algorithm, without networks.
        teacher (Config): Of MMPretrain; kept as ``teacher_cfg``.
        student (Config): Of MMPretrain.
    """
    cfg = distillation.to_dict()
    cfg.update(
        default_scope=student.get('default_scope', 'mmpretrain'),
        train_dataloader=student.get('train_dataloader'),
        teacher_cfg=teacher.to_dict(),
    )
    for key, plain in (('teacher', teacher), ('architecture', student)):
        network = {'_scope_': plain.get('default_scope', 'mmpretrain'), **plain.model.to_dict()}
        # The model's own wins, as in the Runner.
        own = network.pop('data_preprocessor', plain.to_dict().get('data_preprocessor'))
        if own is not None:
            (network if key == 'teacher' else cfg['model'])['data_preprocessor'] = own
        cfg['model'][key] = network
    return Config(cfg)
