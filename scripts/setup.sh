#!/bin/sh
# Make the virtual environment from the locked requirements, then fetch the stack's parts.
# Usage: setup.sh VENV MEMBER...   PYTHON names the interpreter; without it the first fit is taken.
set -eu
cd "$(dirname "$0")/.."
venv=$1
shift

fits() { # an interpreter of 3.11 or newer that can make virtual environments with pip
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

complete() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

choose() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || { echo "error: PYTHON=$PYTHON is not Python 3.11 or newer" >&2; exit 1; }
        python=$PYTHON
        return
    fi
    python=
    for candidate in python3 python3.13 python3.12 python3.11; do
        if fits "$candidate" && complete "$candidate"; then
            python=$candidate
            return
        fi
    done
    echo "error: no Python 3.11 or newer with venv and pip on PATH (on Debian: apt install python3-venv)" >&2
    exit 1
}

if ! fits "$venv/bin/python"; then
    choose
    echo "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
echo "installing the locked requirements"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
"$venv/bin/python" -m uv pip install --python "$venv/bin/python" --require-hashes -r requirements/dev.lock
echo "installing the workspace"
editable=
for member in "$@"; do
    editable="$editable -e ./$member"
done
# shellcheck disable=SC2086 - members are plain words
"$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation $editable
echo "fetching the stack's parts"
"$venv/bin/python" -m tonearm_local fetch
echo "set up"
