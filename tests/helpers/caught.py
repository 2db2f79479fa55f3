"""Warnings that a call gives."""

import warnings


def warnings_of(function, *args, about=''):
    """The messages of a call's warnings that contain a text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        function(*args)
    return [str(warning.message) for warning in caught if about in str(warning.message)]
