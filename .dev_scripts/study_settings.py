"""Settings of the study by name: a distiller of ``configs/_base_``, and what differs from it."""


def sgd(lr, weight_decay):
    """Options of the optimiser."""
    return {
        'optim_wrapper.optimizer.lr': lr,
        'optim_wrapper.optimizer.weight_decay': weight_decay,
    }


def loss(name, **options):
    """Options of a distillation loss."""
    return {f'model.distiller.distill_losses.{name}.{key}': v for key, v in options.items()}


def hook(name, **options):
    """Options of a hook in `default_hooks`."""
    return {f'default_hooks.{name}.{key}': value for key, value in options.items()}


def kl(tau, weight):
    """KL divergence on clean samples, times tau^2, with a constant weight."""
    return loss('loss_kl', tau=tau, loss_weight=weight)


def boundary(tau, start, stop=0.0, end=0.75):
    """KL divergence on boundary samples, times tau^2: its weight."""
    return {
        **loss('loss_boundary', tau=tau),
        **hook('boundary_samples', end=end),
        **hook('boundary_weight', start=start, stop=stop, end=end),
    }


MAPPING = 'model.distiller.loss_forward_mappings.loss_triplet'


def amkd(*changes):
    """AMKD with changes, and with new boundary samples in each step."""
    options = {}
    for change in changes:
        options.update(change)
    return 'amkd_reuse1', options


def amkd_correct(*changes):
    """AMKD with changes, from base samples that the student classifies correctly, as in BSS."""
    return amkd(hook('boundary_samples', student_correct=True), *changes)


def amkd_reuse(steps, *changes):
    """AMKD with changes, each boundary sample in several steps."""
    return amkd(hook('boundary_samples', reuse=steps), *changes)


def triplet(**options):
    """Options of the triplet loss."""
    return loss('loss_triplet', **options)


def attack(**options):
    """Options of the attack, and of where it comes from."""
    return hook('boundary_samples', **{f'attack.{key}': v for key, v in options.items()})


def study_hook(name):
    """Another hook that makes boundary samples."""
    return {
        **hook('boundary_samples', type=f'mmrazor.{name}'),
        'custom_imports.imports': STUDY_IMPORTS,
    }


STUDY_IMPORTS = ['amkd_mm', 'study_parts']
TEACHER_EMBEDDING = {'model.distiller.teacher_recorders.embedding': dict(type='Embedding')}
# The positive is the teacher's embedding of the boundary sample itself.
TEACHER_ANCHOR = {
    **TEACHER_EMBEDDING,
    f'{MAPPING}.positive': dict(recorder='embedding', from_student=False, record_idx=1),
}


def samples(anchors, references):
    """Which samples the triplet loss compares: clean (0) or boundary samples (1)."""
    return {
        f'{MAPPING}.{kind}{suffix}.record_idx': index
        for kind, index in dict(anchor=anchors, reference=references).items()
        for suffix in ('', '_labels')
    }


def teacher_space(anchors, negatives):
    """The triplet loss among the teacher's embeddings: of clean (0) or boundary samples (1)."""
    embedding = dict(recorder='embedding', from_student=False)
    return {
        **TEACHER_EMBEDDING,
        **samples(anchors, negatives),
        f'{MAPPING}.positive': dict(embedding, record_idx=anchors),
        f'{MAPPING}.reference.from_student': False,
    }


SMOOTH = {
    **attack(type='mmrazor.SmoothBoundarySearch', block=4),
    'custom_imports.imports': STUDY_IMPORTS,
}
CLIP = {'optim_wrapper.clip_grad': dict(max_norm=2)}
NO_BOUNDARY = {
    'default_hooks.boundary_samples': None,
    'default_hooks.boundary_weight': None,
}

# The schedule of BSS, and the best KD of the search instead of it.
BSS_SCHEDULE = dict(
    type='mmrazor.LossWeightScheduleHook', loss='loss_kl', policy='linear', start=4 / 9, stop=1 / 9
)
BEST_KD = {**loss('loss_kl', tau=4), **hook('kl_weight', start=1.0, stop=1.0)}

SETTINGS = {
    # The student alone: its schedule. All others have a rate of 0.1 and a decay of 5e-4; KD is also
    # tried with another.
    'alone-lr0.1-wd1e-4': (None, sgd(0.1, 1e-4)),
    'alone-lr0.1-wd5e-4': (None, sgd(0.1, 5e-4)),
    'alone-lr0.2-wd1e-4': (None, sgd(0.2, 1e-4)),
    'alone-lr0.2-wd5e-4': (None, sgd(0.2, 5e-4)),
    # KD: BSS's weights; a constant weight of 1 with Hinton's tau^2; more; a higher temperature.
    'kd-bss': ('kd', {**kl(3, 1.0), 'default_hooks.kl_weight': BSS_SCHEDULE}),
    'kd-tau4-w1': ('kd', kl(4, 1.0)),
    'kd-tau4-w4': ('kd', kl(4, 4.0)),
    'kd-tau8-w1': ('kd', kl(8, 1.0)),
    **{f'kd-tau4-w1-lr{lr}': ('kd', {**kl(4, 1.0), **sgd(lr, 5e-4)}) for lr in (0.025, 0.05, 0.2)},
    # KD with the norm of its gradients clipped, with the learning rate as before and twice that.
    'kd-clip2': ('kd', {**kl(4, 1.0), **CLIP}),
    'kd-clip2-lr0.2': ('kd', {**kl(4, 1.0), **CLIP, **sgd(0.2, 5e-4)}),
    # DKD: the weight of the wrong classes.
    **{f'dkd-beta{beta}': ('dkd', loss('loss_dkd', beta=beta)) for beta in (1, 2, 4, 8)},
    'dkd-beta2-lr0.05': ('dkd', {**loss('loss_dkd', beta=2), **sgd(0.05, 5e-4)}),
    # Logit-standardised KD: the weight; 9 is published.
    **{
        f'ls-w{weight}': (
            'logit_standardization',
            hook('kl_weight', start=weight / 20, stop=weight),
        )
        for weight in (1, 3, 9, 18)
    },
    # BSS, as published and with the best KD on clean samples: the weight on boundary samples.
    'bss-published': ('bss', {}),
    **{
        f'bss-kd-w{weight}': ('bss', {**BEST_KD, **boundary(3, weight / 9)}) for weight in (1, 2, 4)
    },
    # AMKD with new boundary samples in each step; from base samples that the student gets right; of
    # these with weight and temperature as on clean samples.
    'amkd': amkd(),
    'amkd-correct': amkd_correct(),
    'amkd-correct-tau4-w1': amkd_correct(boundary(4, 1.0)),
    # The same run, with what the gradients of the losses have to do with each other.
    'amkd-correct-conflict': amkd_correct(
        {
            'optim_wrapper.type': 'mmrazor.GradientConflictOptimWrapper',
            'custom_imports.imports': STUDY_IMPORTS,
        }
    ),
    # One factor at a time: with `correct` in the name from `amkd-correct`, otherwise from `amkd`.
    # How close to the boundary.
    'amkd-attack-bss': amkd(attack(type='BSSAttack')),
    'amkd-attack-overshoot1': amkd(attack(overshoot=1.0, tolerance=0.5)),
    'amkd-correct-triplet-w0': amkd_correct(triplet(loss_weight=0.0)),
    'amkd-correct-triplet-w3': amkd_correct(triplet(loss_weight=3.0)),
    'amkd-correct-triplet-only': amkd_correct(boundary(3, 0.0)),
    # Of boundary samples and of clean ones.
    'amkd-correct-both-anchors': amkd_correct(
        {
            'model.distiller.distill_losses.loss_triplet_clean': dict(type='TripletDistillLoss'),
            'model.distiller.loss_forward_mappings.loss_triplet_clean': {
                f'{kind}{suffix}': dict(recorder=recorder, from_student=True)
                for kind in ('anchor', 'reference')
                for suffix, recorder in {'': 'embedding', '_labels': 'labels'}.items()
            },
        }
    ),
    # Of clean samples alone, without boundary samples, to compare with.
    **{f'kd-triplet-w{weight}': ('kd_triplet', triplet(loss_weight=weight)) for weight in (1, 3)},
    'amkd-triplet-cosine': amkd(triplet(distance='cosine')),
    'amkd-triplet-squared': amkd(triplet(distance='squared')),
    'amkd-triplet-raw': amkd(triplet(normalize=False)),
    'amkd-margin0.1': amkd(triplet(margin=0.1)),
    'amkd-margin1': amkd(triplet(margin=1.0)),
    'amkd-positive-hardest': amkd(triplet(positive_mining='hardest')),
    'amkd-negative-mean': amkd(triplet(negative_mining='mean')),
    'amkd-correct-norm-batch': amkd_correct({'model.boundary_norm': 'batch'}),
    'amkd-norm-batch': amkd({'model.boundary_norm': 'batch'}),
    'amkd-norm-running': amkd({'model.boundary_norm': 'running'}),
    'amkd-samples0.125': amkd(hook('boundary_samples', num_samples=0.125)),
    'amkd-samples0.5': amkd(hook('boundary_samples', num_samples=0.5)),
    'amkd-base-discrepancy': amkd(hook('boundary_samples', base='discrepancy')),
    'amkd-target-runner-up': amkd(hook('boundary_samples', target='runner_up')),
    'amkd-target-random': amkd(hook('boundary_samples', target='random')),
    'amkd-to-the-end': amkd(boundary(3, 2 / 9, 2 / 9, end=1.0)),
    'amkd-late': amkd(boundary(3, 0.0, 2 / 9, end=1.0)),
    # Of these the best of each kind together.
    'amkd-together': amkd(
        triplet(distance='cosine', margin=1.0), boundary(3, 2 / 9, 2 / 9, end=1.0)
    ),
    # Each sample in several steps: with 4 it is `configs/amkd`.
    **{f'amkd-reuse{n}': amkd_reuse(n) for n in (2, 4, 8)},
    # Is it the boundary? Other samples, used as often: noise of the length of a perturbation;
    # between two images, on the boundary and anywhere; beyond the boundary; in a direction that the
    # student sees, too; of low frequency.
    'reuse4-noise': amkd_reuse(4, study_hook('NoiseHook')),
    'reuse4-between': amkd_reuse(4, study_hook('BetweenImagesHook')),
    'reuse4-mixed': amkd_reuse(4, study_hook('MixedImagesHook')),
    'reuse4-beyond': amkd_reuse(4, attack(type='BSSAttack')),
    'reuse4-joint': amkd_reuse(
        4, study_hook('JointSampleHook'), attack(type='mmrazor.JointBoundarySearch')
    ),
    'reuse4-smooth4': amkd_reuse(4, SMOOTH),
    # More than one boundary for a base sample; boundary samples on both sides.
    'amkd-two-boundaries': amkd(study_hook('TwoBoundariesHook')),
    'amkd-both-sides': amkd(study_hook('BothSidesHook')),
    # Boundary samples that the student sees as the teacher does: between two images, and by
    # perturbations of low frequency.
    'amkd-correct-between': amkd_correct(study_hook('BetweenImagesHook')),
    'amkd-correct-between-tau4-w1': amkd_correct(study_hook('BetweenImagesHook'), boundary(4, 1.0)),
    'amkd-correct-smooth4': amkd_correct(SMOOTH),
    # With another distiller on clean samples.
    'amkd-dkd-beta2': ('amkd_dkd', hook('boundary_samples', reuse=1)),
    # What the triplet loss compares, and with what.
    'amkd-logits': amkd(
        {f'{MAPPING}.{name}.recorder': 'logits' for name in ('anchor', 'reference')}
    ),
    'amkd-teacher-anchor': amkd(TEACHER_ANCHOR),
    # Among the teacher's embeddings: of boundary and clean samples; the other way round; of clean
    # ones alone, to compare with.
    'amkd-correct-teacher-space-w4': amkd_correct(teacher_space(1, 0), triplet(loss_weight=4)),
    'amkd-boundary-negatives-w1': amkd(teacher_space(0, 1)),
    'kd-teacher-space-w4': (
        'amkd_reuse1',
        {**teacher_space(0, 0), **NO_BOUNDARY, **triplet(loss_weight=4)},
    ),
    'amkd-negatives-target': amkd(
        {
            'model.distiller.student_recorders.targets': dict(type='TargetClasses'),
            f'{MAPPING}.anchor_targets': dict(recorder='targets', from_student=True, record_idx=1),
        }
    ),
    'amkd-teacher-gap': amkd(
        triplet(margin=0.0),
        TEACHER_EMBEDDING,
        {
            f'{MAPPING}.teacher_anchor': dict(
                recorder='embedding', from_student=False, record_idx=1
            ),
            f'{MAPPING}.teacher_reference': dict(recorder='embedding', from_student=False),
        },
    ),
}
