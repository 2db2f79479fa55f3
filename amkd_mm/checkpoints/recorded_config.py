"""The config that MMEngine records in a checkpoint, read as data: nothing in it is run.

A checkpoint may come from anywhere. Its text is bounded before Python's parser sees it, because
that parser overflows the stack of the process on expressions that are nested deeply enough.
"""

import ast
import io
import keyword
import sys
import tokenize
from numbers import Real

import numpy as np

# Characters; a config with the names of 20,000 classes has a quarter of it.
LENGTH = 2**20
# Brackets within brackets.
DEPTH = 50
# Characters of a number.
DIGITS = 100

# Data preprocessors with a mean and a standard deviation of channels.
PREPROCESSORS = (
    'ClsDataPreprocessor',
    'DeviceAugmentDataPreprocessor',
    'ImgDataPreprocessor',
    'MultiViewDataPreprocessor',
)

# What a dumped config consists of beside names, numbers and strings.
OPERATORS = frozenset('()[]{},:=-')
# What comes before a value.
BEGINNINGS = frozenset(['', '(', '[', '{', ',', ':', '='])
SPACE = (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)
VALUES = ('True', 'False', 'None')


def assignments(text: str) -> dict[str, ast.expr]:
    """Syntax trees of the settings in a recorded config, not evaluated.

    Args:
        text (str): A config as MMEngine dumps it: ``name = value`` line by line, of calls, lists,
            tuples, dicts, names, numbers and strings.

    Returns:
        dict[str, ast.expr]: The value of each name.

    Raises:
        ValueError: If the text is of another kind, longer than ``LENGTH`` or nested more deeply
            than ``DEPTH``.
    """
    try:
        check(text)
        statements = ast.parse(text).body
    # What tokenizer and parser raise differs from one Python to the next.
    except (
        SyntaxError,
        tokenize.TokenError,
        UnicodeError,
        MemoryError,
        RecursionError,
    ) as error:
        raise ValueError(f'the config in the checkpoint cannot be read: {error}') from None
    return {
        statement.targets[0].id: statement.value
        for statement in statements
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def check(text: str) -> None:
    """Raise ``ValueError`` or ``tokenize.TokenError`` for a text that is not a dumped config."""
    if not isinstance(text, str) or len(text) > LENGTH:
        raise ValueError(f'the config in the checkpoint is not a text of up to {LENGTH} characters')
    depth, before = 0, ''
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind, value = token.type, token.string
        if kind in SPACE:
            before = '' if kind == tokenize.NEWLINE else before
            continue
        # What nests without brackets, such as `a.b.c` or `--1`, is not in a dumped config.
        allowed = {
            tokenize.NAME: value in VALUES or not keyword.iskeyword(value),
            tokenize.NUMBER: len(value) <= DIGITS,
            # No f-strings, which hold expressions.
            tokenize.STRING: value[:1] in ('"', "'"),
            tokenize.OP: value in OPERATORS
            and (value not in '[{-' or before in BEGINNINGS)
            and (value != '(' or before in BEGINNINGS or before.isidentifier()),
        }
        depth += (value in ('(', '[', '{')) - (value in (')', ']', '}'))
        if not allowed.get(kind, False) or depth > DEPTH:
            raise ValueError(
                f'the config in the checkpoint is not as MMEngine dumps it: {value[:20]!r} in line '
                f'{token.start[0]}'
            )
        before = value if kind != tokenize.STRING else "''"


def literal(node: ast.expr):
    """The value of a syntax tree of :func:`assignments`, if it needs nothing to be run.

    Raises:
        ValueError: If it does.
    """
    try:
        return ast.literal_eval(node)
    except (TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f'the config in the checkpoint cannot be read: {error}') from None


def check_normalization(settings: dict, key: str) -> None:
    """Raise ``ValueError`` if a data preprocessor cannot divide by its ``std``.

    Args:
        settings (dict): Of ``ClsDataPreprocessor`` or ``ImgDataPreprocessor``, others pass:
            ``mean`` and ``std``, one number or one of each channel, in units of pixels.
        key (str): Where the settings come from, for the message.
    """
    kind = settings.get('type', 'ClsDataPreprocessor')
    if isinstance(kind, str) and kind.rpartition('.')[2] not in PREPROCESSORS:
        return
    mean, std = settings.get('mean'), settings.get('std')
    if (mean is None) != (std is None):
        raise ValueError(f'{key}: `mean` and `std` go together: give both or neither')
    for name, values in (('mean', mean), ('std', std)):
        if values is None:
            continue
        values = [values] if is_number(values) else values
        # That of MMEngine takes 1 or 3, that of MMPretrain as many as the images have channels.
        counts = (1, 3) if str(kind).endswith('ImgDataPreprocessor') else range(1, sys.maxsize)
        valid = isinstance(values, (list, tuple)) and len(values) in counts
        # A NaN fails the comparison, too.
        low, sign = (0, '> 0') if name == 'std' else (-np.inf, '')
        if not valid or not all(is_number(value) and low < value < np.inf for value in values):
            raise ValueError(
                f'{key}: `{name}` is {values!r}, but must be a list of finite numbers {sign}, one '
                'for each channel or for all'
            )
    lengths = {len(values) for values in (mean, std) if isinstance(values, (list, tuple))}
    if len(lengths) == 2 and 1 not in lengths:
        raise ValueError(f'{key}: `mean` has {len(mean)} numbers and `std` {len(std)}')


def is_number(value) -> bool:
    """Whether it is a number and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)
