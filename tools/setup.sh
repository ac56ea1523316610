#!/bin/sh
# Builds .venv from the hashed lock; `make setup` calls it.
#
#   tools/setup.sh PYTHON STAMP     PYTHON may be empty; STAMP is written last
set -eu
cd "$(dirname "$0")/.."
wanted=$1
stamp=$2

say() { printf '%s\n' "$*" >&2; }

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  if [ -n "$wanted" ]; then
    is_new_enough "$wanted" && python=$wanted && return
    say "PYTHON=$wanted: is not a Python 3.11 or newer."
    exit 1
  fi
  for python in python3 python3.13 python3.12 python3.11; do
    is_new_enough "$python" && return
  done
  say "This needs Python 3.11 or newer, and found none: install one, or say where it is with"
  say "  make setup PYTHON=/path/to/python3"
  exit 1
}

rm -f "$stamp"
if [ -n "$wanted" ] || ! is_new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  find_python
  if ! "$python" -m venv --clear .venv; then
    rm -rf .venv
    say "$python cannot make a virtual environment (Debian and Ubuntu: apt install python3-venv)."
    exit 1
  fi
fi

venv=.venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1
# uv installs in seconds what takes pip more than a minute; the result is the same.
if "$venv" -m pip install --quiet --require-hashes -r tools/uv.txt && "$venv" -m uv --version >/dev/null 2>&1; then
  "$venv" -m uv pip install --quiet --compile-bytecode --python "$venv" \
    --require-hashes -r requirements.lock
  "$venv" -m uv pip install --quiet --python "$venv" --no-deps --no-build-isolation --editable .
else
  say "uv cannot be installed here; pip does the same more slowly."
  "$venv" -m pip install --quiet --require-hashes -r requirements.lock
  "$venv" -m pip install --quiet --no-deps --no-build-isolation --editable .
fi
pwd -P >"$stamp"
