_base_ = ['mmpretrain::resnet/resnet34_8xb32_in1k.py']

custom_imports = dict(imports=['amkd_mm'], allow_failed_imports=False)
