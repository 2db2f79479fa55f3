"""Everything that a GPU can tell about this project, in one command: ``gpu_check.sh``."""
