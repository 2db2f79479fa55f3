_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs32.py',
    '../models/mmpretrain_resnet_in1k.py',
    '../schedules/imagenet_bs256_100e.py',
]

# A config takes this over by `model = _base_.pair`. The checkpoint is MMPretrain's, a download.
pair = dict(
    architecture=_base_.resnet18,
    teacher=_base_.resnet34,
    teacher_ckpt=_base_.resnet34_ckpt,
)

# AMKD takes this class by default, MMRazor's own algorithms want its name.
data_preprocessor = dict(type='mmpretrain.ClsDataPreprocessor')
