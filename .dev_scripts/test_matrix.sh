#!/usr/bin/env bash
# Run the tests with both lines of OpenMMLab's packages and several pairs of Python and torch, each
# in an environment of its own.
#
# Usage: .dev_scripts/test_matrix.sh [FOLDER [pytest options]]
#   FOLDER (default: ~/.cache/amkd_mm/matrix) holds the environments and logs. It is reused; delete
#   it to get a newer torch.
#
# Prints a Markdown table. Exit status 1 if an installation or a test failed; an interpreter that is
# not on this machine only makes its row say so.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$HOME/.cache/amkd_mm/matrix}
pytest_options=("${@:2}")
mkdir -p "$folder"
# Only the environments decide what is imported.
unset PYTHONPATH

# The line, which is an extra of setup.py; Python; what to install beside the package.
matrix=(
    # torch 1.13 was compiled against numpy 1.
    'openmmlab 3.10 torch==1.13.1 torchvision==0.14.1 numpy<2'
    'openmmlab 3.11 torch==2.6.0 torchvision==0.21.0'
    'openmmlab 3.12 torch==2.11.0 torchvision==0.26.0'
    'openmmlab 3.13 torch torchvision'
    'onedl 3.10 torch==2.6.0 torchvision==0.21.0'
    'onedl 3.11 torch==2.11.0 torchvision==0.26.0'
    'onedl 3.12 torch==2.8.0 torchvision==0.23.0'
    'onedl 3.13 torch torchvision'
)

find_python() { # VERSION -> path of a working interpreter, or nothing
    local root candidate
    root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")}
    while read -r candidate; do
        # A shim of pyenv is on the path even where it leads nowhere.
        if "$candidate" -c 'import venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done < <(
        command -v "python$1"
        find "$root/versions" -maxdepth 3 -path "*/versions/$1.*/bin/python" 2>/dev/null | sort -Vr
    )
}

install() { # LINE PYTHON ENVIRONMENT REQUIREMENT...
    # Not `all`, which has a line of its own.
    local package=".[$1,timm,tensorboard,dev]"
    shift
    if command -v uv >/dev/null; then
        [ -d "$2" ] || uv venv --quiet --python "$1" "$2"
        uv pip install --quiet --python "$2/bin/python" --editable "$package" "${@:3}"
    else
        [ -d "$2" ] || "$1" -m venv "$2"
        "$2/bin/python" -m pip install --quiet --editable "$package" "${@:3}"
    fi
}

count() { # WORD SUMMARY -> the number before WORD in the last line of pytest, or 0
    grep -oE "[0-9]+ $1" <<<"$2" | grep -oE '[0-9]+' || echo 0
}

status=0
table='| line | Python | torch | passed | failed | skipped | seconds |
| --- | --- | --- | ---: | ---: | ---: | ---: |'
for row in "${matrix[@]}"; do
    read -ra words <<<"$row"
    line=${words[0]} version=${words[1]} requirements=("${words[@]:2}")
    name=$line-py$version-${requirements[0]}
    env=$folder/$name log=$folder/$name.log
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        table+=$'\n'"| $line | $version | not found | | | | |"
        continue
    fi
    echo "$name: log in $log" >&2
    if ! install "$line" "$python" "$env" "${requirements[@]}" >"$log" 2>&1; then
        table+=$'\n'"| $line | $version | installation failed | | | | |"
        status=1
        continue
    fi
    torch=$("$env/bin/python" -c 'import torch; print(torch.__version__)')
    SECONDS=0
    "$env/bin/python" -m pytest "${pytest_options[@]}" >>"$log" 2>&1 || status=1
    seconds=$SECONDS
    summary=$(tail -n 1 "$log")
    failed=$(($(count failed "$summary") + $(count error "$summary")))
    table+=$'\n'"| $line | $version | $torch | $(count passed "$summary") | $failed"
    table+=" | $(count skipped "$summary") | $seconds |"
done
echo "$table"
exit $status
