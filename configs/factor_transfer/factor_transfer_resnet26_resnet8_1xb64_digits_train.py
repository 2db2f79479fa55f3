_base_ = ['../_base_/pairs/resnet26_resnet8_digits.py', '../_base_/distillers/factor_transfer.py']

first_stage = 'work_dirs/factor_transfer_resnet26_resnet8_1xb64_digits_pretrain/epoch_6.pth'
model = dict(_base_.pair, init_cfg=dict(checkpoint=first_stage))
