# MMPretrain's residual networks for ImageNet, and its weights of the teacher.
resnet18 = dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=False)
resnet50 = dict(cfg_path='mmpretrain::resnet/resnet50_8xb32_in1k.py', pretrained=False)
resnet50_ckpt = (
    'https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet50_8xb32_in1k_20210831-ea4938fc.pth'
)
