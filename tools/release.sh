#!/bin/sh
# Writes what a release consists of into dist/<version>/, the same bytes for the same commit: the
# source distribution, the wheel, the bundle for this system, the example report, and SHA256SUMS.
# `make release` calls it.
set -eu
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
say() { printf '%s\n' "release: $*" >&2; }

if [ -n "$(git status --porcelain)" ]; then
  say "there are changes that are not committed; commit or stash them first"
  exit 1
fi
version=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
for named in "version: $version:CITATION.cff" "## $version :CHANGELOG.md"; do
  grep -q "^${named%:*}" "${named##*:}" || { say "${named##*:} does not name version $version"; exit 1; }
done
rules=$(sed -n 's/^RULES_VERSION = //p' analysis/outcomes/rules.py)
measured=$(sed -n 's/^rules_version,//p' data/reference/validation/settings.csv)
[ "$rules" = "$measured" ] \
  || say "page 6 was measured with rules version $measured, and this is $rules: run make validate first"

out=$PWD/dist/$version
name=censorship-report-workbook-$version
# What is packed bears the time of the commit, whoever packs it and when.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
pack() { tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner "$@"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out" "$work/code"
git archive HEAD | tar -x -C "$work/code"

say "source distribution and wheel"
"$python" -m uv build --quiet --no-build-isolation --python "$python" --out-dir "$work/built" "$work/code"
cp "$work"/built/*.whl "$out"
mkdir "$work/source"
tar -xzf "$work"/built/*.tar.gz -C "$work/source"
pack -C "$work/source" -c . | gzip -n >"$out/$(basename "$work"/built/*.tar.gz)"

say "bundle"
sh tools/bundle.sh "$out/$name-bundle-$(uname -s -m | tr ' A-Z' '-a-z').tar"

say "example report"
"$python" -m analysis report "OUT=$work/example-report"
pack -C "$work" -c example-report | gzip -n >"$out/$name-example-report.tar.gz"

(cd "$out" && sha256sum ./* >"$work/sums" && mv "$work/sums" SHA256SUMS)
say "$out"
