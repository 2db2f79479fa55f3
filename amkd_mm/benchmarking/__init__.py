"""What ``tools/benchmark.py`` reads from configs and runs, compares and draws.

``settings``: what configs say; ``records``: what runs left; ``running`` and ``progress``: training;
``comparison``, ``tables`` and ``plots``: results; ``complexity``: sizes of networks.
"""
