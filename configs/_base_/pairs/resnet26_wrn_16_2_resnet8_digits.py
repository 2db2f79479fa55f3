# Two teachers of one student. Each has its own checkpoint, which `configs/vanilla` trains.
_base_ = ['./resnet26_resnet8_digits.py', '../models/wrn_digits.py']

pair = dict(
    teacher=dict(
        _delete_=True,
        type='TeacherEnsemble',
        members=dict(resnet26=_base_.resnet26, wrn_16_2=_base_.wrn_16_2),
    ),
    teacher_ckpt=dict(
        _delete_=True,
        resnet26='work_dirs/resnet26_1xb64_digits/epoch_12.pth',
        wrn_16_2='work_dirs/wrn-16-2_1xb64_digits/epoch_12.pth',
    ),
)
