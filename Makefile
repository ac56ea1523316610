# `make` lists the targets. Everything runs in .venv, built from the hashed locks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

# What the rules below are made of; no parameter is called so.
override MADE_HERE := PY STAMP LAB_STAMP DEV_STAMP LAB LAB_SETTINGS BUNDLE PARAMETERS OWN NEWLINE given inherited quote one_line \
  arguments NOTE MAKE_ID run DRY_RUN noted finish
$(foreach v,$(MADE_HERE),$(if $(filter command,$(firstword $(origin $v))),\
  $(error $v: there is no such parameter; exit status 2)))

# Relative on purpose: the folder's name may hold spaces, and scripts in .venv/bin would not start.
PY := .venv/bin/python
STAMP := .venv/.installed-from-lock
LAB_STAMP := .venv/.installed-from-lab-lock
# What tests, checks, benchmarks and a cluster need besides.
DEV_STAMP := .venv/.installed-from-dev-lock
# Which Python builds .venv; empty means the first of those that is new enough.
PYTHON ?=

# Taken from the environment where they are not given to make. Every variable given to make is
# passed on by whatever name, so that the command line can refuse a misspelt one.
PARAMETERS := PROBE_CC SINCE UNTIL SPLIT SOURCE RECEIPT_MARGIN STORE TEST_LIST NETWORKS \
  FINGERPRINTS EVENTS TEST_COUNTS OUTAGES REFERENCE PROJECT OUT PDF_SITES KEEP_RAW RELIST JOBS SCHEDULER STATUS PREVIOUS CLAIMS REPORT_LANGUAGES \
  ACCEPT_FIELDS WITNESSES VARIANT
# These belong to make.
OWN := PYTHON SHELL MAKEFLAGS MAKEOVERRIDES

define NEWLINE


endef

given = $(sort $(foreach v,$(filter-out $(OWN),$(.VARIABLES)),\
  $(if $(filter command,$(firstword $(origin $v))),$v)))
inherited = $(foreach v,$(PARAMETERS),\
  $(if $(filter environment,$(firstword $(origin $v))),$(if $(value $v),$v)))
# One shell word: single quotes, $ and spaces stay what they are.
quote = '$(subst ','\'',$1)'
one_line = $(if $(findstring $(NEWLINE),$(value $1)),\
  $(error $1: a value is one line of text; exit status 2),$(value $1))
arguments = $(foreach v,$(given) $(inherited),$(call quote,$v=$(call one_line,$v)))
# What is exported is expanded first: $(shell ...) in a value would run.
unexport $(given) PYTHON

# make ends with status 2 whatever the program's was, so the program notes its own in a file, and
# the target fails with it as make's last line, unless it is 10, the news of `watch`, which is no
# failure. A shell in between would keep signals to itself.
NOTE = .venv/.exit-status-$(MAKE_ID)
MAKE_ID := $(shell echo $$PPID)
run = @EXIT_STATUS_FILE=$(NOTE) exec $(PY) -m analysis $1 $(arguments)
DRY_RUN := $(findstring n,$(firstword -$(value MAKEFLAGS)))
noted = $(if $(DRY_RUN),0,$(shell cat $(NOTE) 2>/dev/null || echo 1; rm -f $(NOTE)))
finish = @$(foreach status,$(noted),$(if $(filter-out 0 10,$(status)),$(error exit status $(status)),:))

.PHONY: help setup setup-reader setup-dev report sensitivity pdf ingest doctor field-check topic watch share validate audit notice test check bundle release translations lab bench clean \
  run-report run-sensitivity run-ingest run-doctor run-field-check run-topic run-watch run-share run-validate run-audit run-notice run-pdf FORCE

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | \
	  while IFS='	' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done
	@echo
	@echo '  make report PROBE_CC=KH SINCE=2023-07-01 UNTIL=2024-07-01 SOURCE=ooni'
	@echo '  variables: $(PARAMETERS)'
	@echo '  and the thresholds that the notebooks show; all commands: $(PY) -m analysis --help'

setup: $(LAB_STAMP)  ## install what a report and JupyterLab need, from the hashed locks

setup-reader: $(STAMP)  ## the same without JupyterLab: for reports, judge, audit, review and watch

setup-dev: $(DEV_STAMP)  ## install what tests, checks and a cluster (SCHEDULER) need as well

report: run-report  ## make the whole report; without variables, on the fictional country
	$(finish)

sensitivity: run-sensitivity  ## add to a report the page that shows what its list depends on; resumes
	$(finish)

ingest: run-ingest  ## read the archive only, into Parquet files and a ledger; resumes
	$(finish)

doctor: run-doctor  ## say in two minutes what would hinder a report; run it before your first month
	$(finish)

field-check: run-field-check  ## judge the measurements that OONI's analysts labelled; says how often both agree
	$(finish)

topic: run-topic  ## show some sites (SITES) in several countries (COUNTRIES) on one page
	$(finish)

watch: run-watch  ## show what changed since the last run
	$(finish)

share: run-share  ## write the observations of a period, to be another team's SOURCE
	$(finish)

pdf: run-pdf  ## print findings, annex and comparison, one PDF per language; needs Chromium
	$(finish)

validate: run-validate  ## test the method on fictional countries whose truth is known; takes minutes
	$(finish)

notice: run-notice  ## put a notice of errors in a published report (OUT) on each of its pages
	$(finish)

audit: run-audit  ## check a draft's statements (CLAIMS) by arithmetic, against published counts and a REPORT
	$(finish)

# A cluster is spoken to by Dask, which no other report needs.
run-report run-sensitivity run-ingest run-watch run-field-check run-topic: $(if $(value SCHEDULER),$(DEV_STAMP))

run-report: $(STAMP)
	$(call run,report)

run-sensitivity: $(STAMP)
	$(call run,sensitivity)

run-ingest: $(STAMP)
	$(call run,ingest)

run-watch: $(STAMP)
	$(call run,watch)

run-doctor: $(STAMP)
	$(call run,doctor)

# Of the variables of a report, only those given to make.
run-field-check: inherited =
run-field-check: $(STAMP)
	$(call run,field-check)

# PROBE_CC and what else a report takes from the environment is not of several countries.
run-topic: inherited =
run-topic: $(STAMP)
	$(call run,topic)

run-share: $(STAMP)
	$(call run,share)

# The driver of the browser is of the development environment.
run-pdf: $(DEV_STAMP)
	$(call run,pdf)

run-validate: $(STAMP)
	$(call run,validate)

# Takes no variable of a report, even where the environment holds one.
run-audit: inherited = $(foreach v,CLAIMS REPORT OUT,\
  $(if $(filter environment,$(firstword $(origin $v))),$(if $(value $v),$v)))
run-audit: $(STAMP)
	$(call run,audit)

run-notice: inherited =
run-notice: $(STAMP)
	$(call run,notice)

test: $(DEV_STAMP)  ## run all tests
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r tools/s3-server.txt || echo 'no S3 server for this system: its tests will skip' >&2
# One more at a time than two cores: some tests wait, for a server, a kernel or a lock. Where Python
# may not write caches, each of them would rewrite every test's assertions anew.
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests

check: $(DEV_STAMP)  ## check lint, types, stripped notebooks and import directions
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@set -- notebooks/*.ipynb; if [ -e "$$1" ]; then $(PY) -m nbstripout --verify "$$@"; fi
	@$(PY) -m pytest -q -p no:cacheprovider tests/test_architecture.py

BUNDLE := dist/censorship-report-workbook.tar

bundle: $(STAMP)  ## write one file from which make setup works without a network (with SHARE=, a share too)
	@sh tools/bundle.sh $(BUNDLE) $(call quote,$(SHARE))

release: $(STAMP)  ## write what a release consists of into dist/, from a clean tree; see docs/maintaining.md
	@sh tools/release.sh

translations: $(DEV_STAMP)  ## update the catalogues of other languages to the English sentences
	@$(PY) tools/translations.py

# Opened at the root, since links in prose lead to docs/ and reports/; asked for no news. A notebook
# starts its kernel unasked: else a restart right after it was opened only asks which kernel to use.
LAB := -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/0-start.ipynb
LAB_SETTINGS := .venv/etc/jupyter/labconfig

lab: $(LAB_STAMP)  ## open JupyterLab on notebooks/0-start.ipynb
	@mkdir -p $(LAB_SETTINGS) && echo '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}' \
	  > $(LAB_SETTINGS)/page_config.json
	@echo '{"@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": true}}' \
	  > $(LAB_SETTINGS)/default_setting_overrides.json
	@if [ "$$(id -u)" = 0 ]; then \
	  echo 'JupyterLab does not start for root: use another account or, in a container,' >&2; \
	  echo "  $(PY) $(LAB) --allow-root" >&2; exit 1; fi
	@exec $(PY) $(LAB)

bench: $(DEV_STAMP)  ## measure the performance, printed as ratios
	@$(PY) -m benchmarks

clean:  ## remove what make built; keep the raw data that were fetched
	@rm -rf .venv build shared data/observations data/stages data/work data/fictional
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis ./*.egg-info
	@if [ -d reports ]; then \
	  find reports -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +; fi
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A copied or moved folder brings a .venv that still points to the old place: build it again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(shell pwd -P))
$(STAMP): FORCE
endif

$(STAMP): requirements.lock pyproject.toml tools/uv.txt tools/setup.sh
	@sh tools/setup.sh $(call quote,$(call one_line,PYTHON)) $(STAMP)

$(LAB_STAMP): $(STAMP) requirements-lab.lock
	@sh tools/setup.sh --lab $(LAB_STAMP)

$(DEV_STAMP): $(LAB_STAMP) requirements-dev.lock
	@sh tools/setup.sh --dev $(DEV_STAMP)
