# As in CRD (Tian et al., ICLR 2020), for students that are MobileNetV2 or ShuffleNets.
_base_ = ['./cifar100_bs64_240e.py']

optim_wrapper = dict(optimizer=dict(lr=0.01))
