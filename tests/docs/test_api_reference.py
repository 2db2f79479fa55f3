"""The page of all registered classes says what the code says."""

from pathlib import Path

import amkd_mm

from mmrazor.registry import HOOKS

from scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / '.dev_scripts/api_reference.py'


reference = load_script(SCRIPT)


def test_page_is_up_to_date():
    page = (ROOT / 'docs/api.md').read_text()
    assert page == reference.page(), 'run `python .dev_scripts/api_reference.py --write`'


def test_page_has_the_classes_with_their_arguments():
    """Read off by hand for one class of each kind."""
    page = (ROOT / 'docs/api.md').read_text()
    for line in (
        "BoundarySampleHook(attack, num_samples=0.25, base='random', target='sample', "
        'student_correct=False, keep_unreached=False, reuse=1, **kwargs)',
        'BoundarySearch(tolerance=0.07, overshoot=0.2, max_steps=8, drop_finished=True)',
        'forward(anchor, anchor_labels, reference, reference_labels, positive=None, '
        'anchor_targets=None, teacher_anchor=None, teacher_reference=None)',
        "Digits(split='train', metainfo=None, **kwargs)",
    ):
        assert f'```text\n{line}\n\n' in page


def test_a_new_class_would_be_on_it(monkeypatch):
    """Of this package, and only of this package."""

    class Made:
        """A made class."""

    for module, is_there in ((amkd_mm.__name__ + '.made', True), ('mmrazor.made', False)):
        Made.__module__ = module
        monkeypatch.setitem(HOOKS.module_dict, 'Made', Made)
        assert ('### Made' in reference.page()) == is_there
