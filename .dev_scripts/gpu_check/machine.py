"""Describe the machine, and import what the sections need: a program that writes JSON."""

import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata

PACKAGES = ('torchvision', 'triton', 'mmrazor', 'numpy')


def output_of(*words):
    """What a program prints, or nothing where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''


def version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def describe():
    """What a reader of figures wants to know of the machine."""
    began = time.monotonic()
    import amkd_mm  # noqa: F401

    import mmpretrain  # noqa: F401
    import mmrazor  # noqa: F401
    import torch

    from amkd_mm.compat.lines import installed, installed_lines

    gpu = {}
    if torch.cuda.is_available():
        capability = torch.cuda.get_device_capability()
        gpu = dict(
            gpu=torch.cuda.get_device_name(),
            capability='.'.join(map(str, capability)),
            memory_gib=round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
            driver=output_of('nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'),
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
        )
    return dict(
        gpu,
        commit=output_of('git', 'rev-parse', '--short', 'HEAD') or None,
        changed_files=len(output_of('git', 'status', '--porcelain').splitlines()),
        python=platform.python_version(),
        torch=torch.__version__,
        **{one.name: one.version for line in installed_lines() for one in installed(line)},
        **{name: version(name) for name in PACKAGES},
        processor=platform.machine(),
        cores=os.cpu_count(),
        load=round(os.getloadavg()[0], 1),
        import_seconds=round(time.monotonic() - began, 1),
    )


if __name__ == '__main__':
    with open(sys.argv[1], 'w', encoding='utf-8') as file:
        json.dump(describe(), file)
