"""Draw the learning rate over a training, without training: MMPretrain's tool of this name."""

import amkd_mm  # noqa: F401

from amkd_mm.cli.mmpretrain_tools import run_tool

if __name__ == '__main__':
    run_tool(__file__)
