"""Draw images as they leave the pipeline of a config: MMPretrain's tool of this name."""

from amkd_mm.cli.mmpretrain_tools import run_tool
from amkd_mm.compat.figures import crop_figures_without_renderer

if __name__ == '__main__':
    crop_figures_without_renderer()
    run_tool(__file__)
