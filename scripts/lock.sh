#!/usr/bin/env bash
# Resolve every member's dependencies into one lock with hashes and no download addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"
members=(contracts kit auth ingest analysis notify cli local eval)
options=(--quiet --universal --fork-strategy fewest --python-version 3.11 --constraint requirements/constraints.txt
    --generate-hashes --no-emit-index-url --no-annotate --no-header)
"$uv" pip compile "${options[@]}" --group dev \
    libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml deploy/local/pyproject.toml eval/pyproject.toml \
    "${members[@]/#/--no-emit-package=tonearm-}" --output-file requirements/dev.lock "$@"
# The corpus of `python -m tonearm_eval.generator --tunes`, to be added to that environment by whoever wants it.
echo music21 | "$uv" pip compile "${options[@]}" --constraint requirements/dev.lock - --output-file requirements/tunes.lock "$@"
# What `python -m tonearm_eval.recipes.beat_student` teaches with, likewise.
printf '%s\n' jax onnx optax | "$uv" pip compile "${options[@]}" --constraint requirements/dev.lock - --output-file requirements/student.lock "$@"
