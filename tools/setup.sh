#!/bin/sh
# Builds .venv from the hashed locks; `make` calls it.
#
#   tools/setup.sh PYTHON STAMP     what a report needs; PYTHON may be empty, STAMP is written last
#   tools/setup.sh --lab STAMP      what JupyterLab needs besides
#   tools/setup.sh --dev STAMP      what tests, checks and a cluster need besides
set -eu
cd "$(dirname "$0")/.."
wanted=$1
stamp=$2
venv=.venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1

# A bundle (tools/bundle.sh) has the wheels beside it, and asks no registry.
[ -d wheels ] && offline="--no-index --find-links wheels" || offline=

say() { printf '%s\n' "$*" >&2; }

# The versions for which the locks have wheels, and that were tried.
tried="3.11 3.12 3.13"

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

is_tried() {
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || return 1
  case " $tried " in *" $version "*) ;; *) return 1 ;; esac
}

find_python() {
  if [ -n "$wanted" ]; then
    if ! is_new_enough "$wanted"; then
      say "PYTHON=$wanted: is not a Python 3.11 or newer."
      exit 1
    fi
    is_tried "$wanted" || say "PYTHON=$wanted: this version has not been tried; $tried have been."
    python=$wanted
    return
  fi
  for python in python3 python3.13 python3.12 python3.11; do
    is_tried "$python" && return
  done
  if is_new_enough python3; then
    say "python3 is a version for which packages may be missing; $tried work. Install one of them and say"
    say "  make setup PYTHON=/path/to/python3.13     (or PYTHON=python3 to try it all the same)"
    exit 1
  fi
  say "This needs Python 3.11 or newer, and found none: install one, or say where it is with"
  say "  make setup PYTHON=/path/to/python3"
  exit 1
}

# uv installs in seconds what takes pip more than a minute; the result is the same.
install() {
  if "$venv" -m uv --version >/dev/null 2>&1; then
    "$venv" -m uv pip install --quiet --python "$venv" $offline "$@"
  else
    "$venv" -m pip install --quiet --no-compile $offline "$@"
  fi
}

# Starting takes twice as long without, where Python may not write caches. More than half of all bytes
# are of tests and of what no report loads; of fontTools, matplotlib loads names of glyphs and little
# else.
unused='tests?|testing|locale-data|fontTools/(?!agl|config|misc|__init__)[^/]*|pip|setuptools'
unused="$unused|numpy/(distutils|f2py|polynomial)|duckdb/experimental|pydantic/v1|lexers|jedi|parso"
unused="$unused|prompt_toolkit|psutil|table_grapheme_overrides"
compile_bytecode() {
  "$venv" -m compileall -q -j 0 -x "/($unused)(/|\.py\$)" \
    analysis .venv/lib >/dev/null || :
}

# Git leaves outputs out of what is staged, so that a save in JupyterLab is no difference.
set_notebook_filter() {
  [ -e .git ] && command -v git >/dev/null || return 0
  git config filter.strip-notebook.clean 'sh tools/strip-notebook.sh' 2>/dev/null || return 0
}

rm -f "$stamp"
case "$wanted" in --*)
  install --require-hashes -r requirements.lock -r "requirements-${wanted#--}.lock"
  compile_bytecode
  pwd -P >"$stamp"
  exit
esac

if [ -n "$wanted" ] || ! is_new_enough "$venv" || ! "$venv" -m pip --version >/dev/null 2>&1; then
  find_python
  if ! "$python" -m venv --clear .venv; then
    rm -rf .venv
    say "$python cannot make a virtual environment (Debian and Ubuntu: apt install python3-venv)."
    exit 1
  fi
fi

"$venv" -m pip install --quiet --require-hashes $offline -r tools/uv.txt ||
  say "uv cannot be installed here; pip does the same more slowly."
install --require-hashes -r requirements.lock
install --no-deps --no-build-isolation --editable .
compile_bytecode
set_notebook_filter
pwd -P >"$stamp"
