#!/usr/bin/env bash
# All that a GPU can tell about this project, in one command of at most ten minutes:
#
#   OUT=gpu_report WHEELS=DIR DATA=cifar10_jpeg.tar.xz bash .dev_scripts/gpu_check.sh
#   bash .dev_scripts/gpu_check.sh --rehearse    # the same on a CPU, at toy size
#
# OUT gets report.md, report.json and logs. The wheels in WHEELS are installed to a temporary
# folder first. DATA is an archive of train/CLASS/*.jpg and test/CLASS/*.jpg; without it, images
# are made.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export PYTHONPATH="$root:$root/.dev_scripts${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -u -m gpu_check "$@"
