# MMPretrain's residual networks for ImageNet, and its weights of the teachers.
resnet18 = dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=False)
resnet34 = dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py', pretrained=False)
resnet50 = dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=False)
resnet34_ckpt = (
    'https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet34_8xb32_in1k_20210831-f257d4e6.pth'
)
resnet50_ckpt = (
    'https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet50_8xb32_in1k_20210831-ea4938fc.pth'
)
