"""``python -m amkd_mm COMMAND ...``."""

import sys

from .cli.command_line import main

if __name__ == '__main__':
    sys.exit(main())
