"""Whether a pair fits: a trial step, and the report of ``check_pair.py``."""
