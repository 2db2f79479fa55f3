"""Import of scripts that no package holds."""

import importlib.util


def load_script(path):
    """The module of a script, which is imported anew at each call."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
