"""Settings for all tests."""

import pytest
import torch

# The tests' networks are small: a second thread costs more by waiting than it brings.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_scope_is_left():
    """A Runner sets the default scope of registries for good; the next test begins without."""
    yield
    from mmengine.registry import DefaultScope

    DefaultScope._instance_dict.clear()
