"""Configs chosen by pair and method, of those that there are and of a made-up folder."""

from pathlib import Path

import pytest

from amkd_mm.benchmarking.choosing import choose_configs, read_name
from amkd_mm.benchmarking.settings import BenchmarkError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def chosen(pair, *methods):
    return [path.relative_to(CONFIGS).as_posix() for path in choose_configs(CONFIGS, pair, methods)]


def test_a_pair_by_some_methods():
    """In the order in which they are asked for, each once."""
    assert chosen('resnet32x4_resnet8x4', 'kd', 'dkd', 'amkd', 'kd') == [
        'kd/kd_logits_resnet32x4_resnet8x4_1xb64_cifar100.py',
        'dkd/dkd_resnet32x4_resnet8x4_1xb64_cifar100.py',
        'amkd/amkd_resnet32x4_resnet8x4_1xb64_cifar100.py',
    ]
    assert chosen('wrn_40_2_shufflenet_v1', 'vanilla', 'amkd-dkd') == [
        'vanilla/shufflenet-v1_1xb64_cifar100.py',
        'mixes/amkd-dkd_wrn-40-2_shufflenet-v1_1xb64_cifar100.py',
    ]
    # Of several teachers.
    assert chosen('resnet26+wrn-16-2_resnet8', 'vanilla', 'amkd') == [
        'vanilla/resnet8_1xb64_digits.py',
        'multi_teacher/amkd_resnet26+wrn-16-2_resnet8_1xb64_digits.py',
    ]
    # As the files are called.
    assert chosen('wrn-40-2_shufflenet-v1', 'kd') == chosen('wrn_40_2_shufflenet_v1_cifar100', 'kd')


def test_all_methods_of_a_pair():
    """Among them those without a teacher, and the second of two stages."""
    found = chosen('resnet26_resnet8_digits')
    assert len(found) == len(set(found))
    assert {
        *('vanilla/resnet8_1xb64_digits.py', 'byot/byot_resnet8_1xb64_digits.py'),
        'abloss/abloss_resnet26_resnet8_1xb64_digits_train.py',
        'factor_transfer/factor_transfer_resnet26_resnet8_1xb64_digits_train.py',
        'mixes/bss-tald_resnet26_resnet8_1xb64_digits.py',
        'dafl/dafl_resnet26_resnet8_1xb64_digits.py',
    } <= {*found}
    expected = {*CONFIGS.glob('[a-z]*/*resnet8_1xb64_digits*.py')}
    expected -= {*CONFIGS.glob('*/*_pretrain.py')}
    # Their teacher is another one.
    expected -= {*CONFIGS.glob('multi_teacher/*.py'), *CONFIGS.glob('brcd/*.py')}
    assert {CONFIGS / name for name in found} == expected


def test_every_config_has_a_name_that_says_all():
    """But for first stages, which are prerequisites."""
    for path in CONFIGS.glob('[a-z]*/*.py'):
        named = read_name(path)
        assert (named is None) == path.stem.endswith('_pretrain'), path
        if named and named.teacher and named.method not in ('deit', 'brcd'):
            # Its pair is a part, or a variant of one; those of these two are called otherwise, and
            # RSLAD makes a robust teacher of one network from itself.
            if named.teacher == named.student:
                continue
            names = [part.stem for part in (CONFIGS / '_base_/pairs').glob('*.py')]
            assert any(named.pair.startswith(name) for name in names), path


def test_variants_are_left_out():
    """`...-reuse1` and `...-device-augment` are AMKD's alone."""
    (found,) = chosen('resnet26_resnet8_cifar10-folder', 'amkd')
    assert found == 'amkd/amkd_resnet26_resnet8_1xb256_cifar10-folder.py'


@pytest.mark.parametrize(
    ('pair', 'methods', 'words'),
    [
        ('resnet32x4_resnet8', ['kd'], ['did you mean', 'resnet32x4_resnet8x4_cifar100']),
        ('vgg13', ['kd'], ['no such pair', 'vgg13_vgg8_cifar100']),
        ('vgg13_vgg8', ['kd', 'ofd'], ['--methods ofd', 'amkd-dkd', 'vanilla', 'kd']),
        (
            'resnet56_resnet20',
            ['kd'],
            ['resnet56_resnet20_cifar100 or resnet56_resnet20_tiny_imagenet'],
        ),
    ],
)
def test_what_there_is_not_lists_what_there_is(pair, methods, words):
    with pytest.raises(BenchmarkError) as error:
        choose_configs(CONFIGS, pair, methods)
    for word in words:
        assert word in str(error.value)


def test_a_pair_of_two_data_sets(tmp_path):
    """Each has its own networks alone, whatever the batch."""
    for name in ('x/x_a_b_1xb2_c', 'x/x_a_b_1xb2_d-e', 'vanilla/b_1xb2_c', 'vanilla/b_8xb2_d-e'):
        path = tmp_path / f'{name}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text('')
    with pytest.raises(BenchmarkError, match='a_b_c or a_b_d_e'):
        choose_configs(tmp_path, 'a_b')
    found = choose_configs(tmp_path, 'a_b_d_e')
    assert [path.name for path in found] == ['x_a_b_1xb2_d-e.py', 'b_8xb2_d-e.py']
