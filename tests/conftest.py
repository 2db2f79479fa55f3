"""Settings for all tests."""

import torch

# The tests' networks are small: a second thread costs more by waiting than it brings.
torch.set_num_threads(1)
