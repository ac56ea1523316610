#!/bin/sh
# Git's filter for notebooks, from the standard input to the standard output: without outputs, and
# without what JupyterLab notes of its own kernel. `make setup` sets it; .gitattributes names it.
[ -x .venv/bin/python ] || exec cat  # before `make setup`, or after `make clean`
info=metadata.language_info
exec .venv/bin/python -m nbstripout --extra-keys "$info.codemirror_mode $info.file_extension \
$info.mimetype $info.nbconvert_exporter $info.pygments_lexer $info.version"
