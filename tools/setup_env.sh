#!/usr/bin/env bash
# Creates a virtual environment and installs mmskelssl into it. Sourced by quickstart.sh and run_tests.sh.
# Usage: setup_env EXTRAS   (environment variables: VENV, the folder, default .venv; PYTHON, default python3)

fail() { echo "error: $*" >&2; exit 1; }

setup_env() {
    local extras=$1 python=${PYTHON:-python3}
    VENV=${VENV:-.venv}
    command -v "$python" >/dev/null || fail "no $python on this machine: install Python 3.10 or newer"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
        || fail "$("$python" --version 2>&1) is too old: mmskelssl needs Python 3.10 or newer (set PYTHON=/path/to/python3)"

    local wanted stamp="$VENV/.mmskelssl-$extras"
    wanted=$(cat pyproject.toml setup.py requirements/*.txt | cksum)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        echo "== environment $VENV is up to date"
    else
        local free
        free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1024)}')
        [ "$free" -ge 3000 ] || fail "only $free MB free here: the environment needs 3 GB"
        echo "== setting up $VENV (a minute or two)"
        [ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV" || fail "python venv failed: install the package python3-venv"
        "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || fail "$VENV has no pip: delete the folder and try again"
        install_torch
        "$VENV/bin/pip" install --quiet --disable-pip-version-check -e ".[$extras]" \
            || fail "pip could not install the requirements: is there a network connection? (see the lines above)"
        echo "$wanted" > "$stamp"
    fi
    PATH="$PWD/$VENV/bin:$PATH"
}

# Without a GPU, the CPU build of torch is sufficient. It is a tenth of the size and has a separate index. If that index
# cannot be reached, the default build that meets the requirement is installed.
install_torch() {
    "$VENV/bin/python" -c 'import torch' 2>/dev/null && return
    local torch
    torch=$(grep '^torch' requirements/runtime.txt)
    if ! command -v nvidia-smi >/dev/null; then
        "$VENV/bin/pip" install --quiet --disable-pip-version-check --retries 0 --timeout 10 \
            --index-url https://download.pytorch.org/whl/cpu "$torch" 2>/dev/null && return
    fi
    "$VENV/bin/pip" install --quiet --disable-pip-version-check "$torch" \
        || fail "pip could not install $torch: is there a network connection? (see the lines above)"
}
