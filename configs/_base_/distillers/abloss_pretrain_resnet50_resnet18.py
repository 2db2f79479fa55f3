# The four stages of the ResNets for ImageNet. Their blocks run one ReLU module three times in the
# teacher and twice in the student: the last time is that of the record 2 and 1.
_base_ = ['./abloss_pretrain.py']

model = dict(
    distiller=dict(
        student_recorders=dict(
            stage1=dict(source='backbone.layer1.1.relu'),
            stage2=dict(source='backbone.layer2.1.relu'),
            stage3=dict(source='backbone.layer3.1.relu'),
            stage4=dict(type='ModuleInputs', source='backbone.layer4.1.relu'),
        ),
        teacher_recorders=dict(
            stage1=dict(source='backbone.layer1.2.relu'),
            stage2=dict(source='backbone.layer2.3.relu'),
            stage3=dict(source='backbone.layer3.5.relu'),
            stage4=dict(type='ModuleInputs', source='backbone.layer4.2.relu'),
        ),
        distill_losses=dict(
            loss_stage1=dict(loss_weight=0.125),
            loss_stage2=dict(loss_weight=0.25),
            loss_stage3=dict(loss_weight=0.5),
            loss_stage4=dict(type='ABLoss', loss_weight=1.0),
        ),
        connectors=dict(
            student1=dict(in_channel=64, out_channel=256),
            student2=dict(in_channel=128, out_channel=512),
            student3=dict(in_channel=256, out_channel=1024),
            student4=dict(
                type='ConvModuleConnector',
                in_channel=512,
                out_channel=2048,
                norm_cfg=dict(type='BN'),
                act_cfg=None,
            ),
        ),
        loss_forward_mappings=dict(
            loss_stage1=dict(s_feature=dict(record_idx=1), t_feature=dict(record_idx=2)),
            loss_stage2=dict(s_feature=dict(record_idx=1), t_feature=dict(record_idx=2)),
            loss_stage3=dict(s_feature=dict(record_idx=1), t_feature=dict(record_idx=2)),
            loss_stage4=dict(
                s_feature=dict(
                    recorder='stage4',
                    from_student=True,
                    record_idx=1,
                    data_idx=0,
                    connector='student4',
                ),
                t_feature=dict(recorder='stage4', from_student=False, record_idx=2, data_idx=0),
            ),
        ),
    )
)
