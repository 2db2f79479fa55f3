_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/rslad_digits.py']

# A teacher that is robust itself, as published; its config is in this folder.
model = dict(
    _base_.pair, teacher_ckpt='work_dirs/rslad_resnet26_resnet26_1xb64_digits/epoch_12.pth'
)
