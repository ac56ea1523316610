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

# The versions on which the tests have run. A newer one may work too: what cannot is known only when
# a locked package has no wheel for it.
tested="3.11 3.12 3.13 3.14"

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

is_tested() {
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || return 1
  case " $tested " in *" $version "*) ;; *) return 1 ;; esac
}

find_python() {
  if [ -n "$wanted" ]; then
    if ! is_new_enough "$wanted"; then
      say "PYTHON=$wanted: is not a Python 3.11 or newer."
      exit 1
    fi
    python=$wanted
  else
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
      is_tested "$python" && return
    done
    python=python3
    if ! is_new_enough "$python"; then
      say "This needs Python 3.11 or newer, and found none: install one, or say where it is with"
      say "  make setup PYTHON=/path/to/python3"
      exit 1
    fi
  fi
  is_tested "$python" || say "Python $version: the tests have not been run on this version ($tested have been)."
}

# uv installs in seconds what takes pip more than a minute; the result is the same.
install() {
  if "$venv" -m uv --version >/dev/null 2>&1; then
    "$venv" -m uv pip install --quiet --python "$venv" $offline "$@"
  else
    "$venv" -m pip install --quiet --no-compile $offline "$@"
  fi
}

# Wheels alone: building a package fails after minutes, in words about compilers.
install_locked() {
  install --only-binary :all: --require-hashes "$@" && return
  is_tested "$venv" || say "If a package above has no wheel for Python $version, install one of $tested and say
  make setup PYTHON=/path/to/python3.14"
  exit 1
}

# Starting takes twice as long without, where Python may not write caches. More than half of all bytes
# are of tests and of what no report loads; of fontTools, matplotlib loads names of glyphs and little
# else.
unused='tests?|testing|locale-data|fontTools/(?!agl|config|misc|__init__)[^/]*|pip|setuptools'
unused="$unused|numpy/(distutils|f2py|polynomial)|duckdb/experimental|pydantic/v1|lexers|jedi|parso"
unused="$unused|prompt_toolkit|psutil|table_grapheme_overrides"
compile_bytecode() {
  "$venv" -W ignore -m compileall -q -j 0 -x "/($unused)(/|\.py\$)" \
    analysis .venv/lib >/dev/null || :
}

# Git leaves outputs out of what is staged, so that a save in JupyterLab is no difference.
set_notebook_filter() {
  [ -e .git ] && command -v git >/dev/null || return 0
  git config filter.strip-notebook.clean 'sh tools/strip-notebook.sh' 2>/dev/null || return 0
}

rm -f "$stamp"
case "$wanted" in --*)
  install_locked -r requirements.lock -r "requirements-${wanted#--}.lock"
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
install_locked -r requirements.lock
install --no-deps --no-build-isolation --editable .
compile_bytecode
set_notebook_filter
pwd -P >"$stamp"
