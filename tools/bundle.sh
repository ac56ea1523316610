#!/bin/sh
# Writes one file from which `make setup` works without a network: the committed code, and the locked
# wheels for this system and this Python. `make bundle` calls it.
#
#   tools/bundle.sh OUT [SHARE]     SHARE: a folder of `make share` that goes along, as shared/
set -eu
cd "$(dirname "$0")/.."
out=$1
share=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/censorship-report-workbook

mkdir "$folder"
git archive HEAD | tar -x -C "$folder"
.venv/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
  -r requirements.lock -r requirements-lab.lock -r tools/uv.txt -d "$folder/wheels"
if [ -n "$share" ]; then
  mkdir -p "$folder/shared"
  cp -R "$share" "$folder/shared/"
fi
mkdir -p "$(dirname "$out")"
# The same bytes for the same commit, whoever packs it and when.
tar --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
  -C "$work" -cf "$out" censorship-report-workbook
printf '%s\n' "bundle: $out, $(du -h "$out" | cut -f1); there: tar -xf, then make report"
