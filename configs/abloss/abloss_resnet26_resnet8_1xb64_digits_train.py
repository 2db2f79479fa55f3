_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/abloss.py']

first_stage = 'work_dirs/abloss_resnet26_resnet8_1xb64_digits_pretrain/epoch_6.pth'
model = dict(_base_.pair, init_cfg=dict(checkpoint=first_stage))
