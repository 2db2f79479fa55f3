# Second stage: KD of the student that the first stage has made; a config adds its `checkpoint`.
_base_ = ['./kd.py']

model = dict(init_cfg=dict(type='Pretrained'))
