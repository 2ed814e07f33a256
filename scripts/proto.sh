#!/usr/bin/env bash
# Generate the Python stubs of libs/contracts/proto. `scripts/proto.sh check` fails on a difference.
set -euo pipefail
cd "$(dirname "$0")/.."
out=libs/contracts/src
if [ "${1:-}" = check ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
.venv/bin/python -m grpc_tools.protoc -I libs/contracts/proto \
    --plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy \
    --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc \
    --python_out="$out" --grpc_python_out="$out" --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" \
    $(cd libs/contracts/proto && find . -name '*.proto' | sed 's#^\./##' | LC_ALL=C sort)
find "$out/tonearm_contracts/rpc" -type d -exec touch {}/__init__.py \;
if [ "${1:-}" = check ]; then
    diff -r -x __pycache__ "$out/tonearm_contracts/rpc" libs/contracts/src/tonearm_contracts/rpc \
        || { echo "generated code differs: run 'make proto' and commit" >&2; exit 1; }
fi
