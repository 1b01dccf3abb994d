# Everything a person types; `make help` lists it. Needs Python 3.11 to 3.13 and nothing else.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# uv takes half of pip's time; what it cannot install, or where it cannot be had, pip does.
UV_INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
install = $(UV_INSTALL) $(1) 2>/dev/null || $(PIP_INSTALL) $(1)
# When the recording ends: now, every book of it is blind.
SAMPLE_END := 2026-01-05T13:59:50.137Z

.PHONY: help setup run load backup restore stop preview serve ci lint test docs bench coverage soak faults fuzz up down doctor test-stack test-metabase lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/run.stamp ## Make the virtual environment (the other targets do it themselves)

# The sample is apart from anybody's own data: both exist side by side on one server.
run: export WAREHOUSE_DB = sample
run: .venv/run.stamp ## Load the samples, build the warehouse, print the answers, draw the page
	@$(BIN)/loader init
	@$(BIN)/loader snapshots seeds/sample
	@$(BIN)/loader replay seeds/market
	@$(BIN)/loader transform
	@printf '\n%s\n' 'spread-now, as of the end of the sample, $(SAMPLE_END): now all of it is blind'
	@$(BIN)/dashboards ask spread-now --as-of $(SAMPLE_END)
	@$(BIN)/dashboards ask --all 6
	@page=$$($(BIN)/dashboards preview) || exit; \
		printf '\n%s\n' "$$page" '' 'Next:'; \
		printf '  %-44s the dashboards: open it in a browser\n' "$${page#wrote }"
	@printf '%s\n' \
		'  .venv/bin/dashboards ask                     the questions, by who asks them' \
		'  .venv/bin/dashboards export answers          every table and answer as CSV' \
		'  .venv/bin/loader quarantine list             the rows that were set aside, and why' \
		'  make load FILES=DIR                          your own files, in a database of their own' \
		'  cd dbt_project && ../.venv/bin/dbt build     rebuild and test the models' \
		'  make stop                                    stop the database'

load: .venv/run.stamp ## Load your own snapshot files beside the sample, and build: FILES=DIR
	$(if $(FILES),,$(error usage: make load FILES=DIR, a directory with your snapshot files))
	@$(BIN)/loader init
	@$(BIN)/loader snapshots $(FILES); code=$$?; case $$code in 0|1) ;; *) exit $$code;; esac; \
		$(BIN)/loader transform || exit; \
		[ $$code -eq 0 ] || echo 'Built without what was refused above: mend it, and run this again.' >&2; \
		exit $$code

preview: .venv/run.stamp ## Draw the dashboards as one HTML page, without Docker
	@$(BIN)/dashboards preview

serve: .venv/run.stamp ## Show the dashboards as a live page: http://127.0.0.1:8080; Ctrl-C ends it
	@$(BIN)/dashboards serve

stop: .venv/run.stamp ## Stop the embedded database
	@$(BIN)/loader stop

backup: .venv/run.stamp ## Copy the warehouse, as it is now, into a new entry of a folder: TO=DIR
	$(if $(TO),,$(error usage: make backup TO=DIR, a folder for backups))
	@$(BIN)/loader backup '$(TO)'

restore: .venv/run.stamp ## Make a warehouse from a backup, in an empty database: FROM=DIR
	$(if $(FROM),,$(error usage: make restore FROM=DIR, an entry or a folder of backups))
	@$(BIN)/loader restore '$(FROM)'

ci: lint test ## Everything that must pass before a change lands

lint: .venv/dev.stamp ## ruff, mypy --strict, import-linter, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project
	$(BIN)/sqlfluff lint --disable-progress-bar --templater placeholder loader dashboards

# A process of the tests that dies ends the run: with another in its place, xdist may wait for ever.
WORKERS = -n 4 --dist loadscope --no-loadscope-reorder --max-worker-restart 0

test: .venv/dev.stamp ## pytest, against a real Postgres of its own
	$(BIN)/pytest $(WORKERS)

test-metabase: .venv/dev.stamp ## The tests of `dashboards apply` against a real Metabase: METABASE_URL=...
	$(if $(METABASE_URL),,$(error usage: make test-metabase METABASE_URL=http://host:3000, with \
		METABASE_PASSWORD and what else tests/integration/dashboards/metabase/test_live.py lists in the environment))
	$(BIN)/pytest -q tests/integration/dashboards/metabase/test_live.py

docs: .venv/dev.stamp .venv/site.stamp ## Write the reference, diagram and exposures; build the site, .site/
	@$(BIN)/loader init > /dev/null
	@$(BIN)/python docs/exposures.py dbt_project/models/exposures.yml
	@$(BIN)/python docs/erd.py docs/erd.md
	@$(BIN)/python -m docs.reference docs/reference
	@.venv/site/bin/zensical build --clean
	@cd dbt_project && ../$(BIN)/dbt --quiet docs generate --static
	@cp dbt_project/target/static_index.html .site/dbt.html

bench: .venv/$(if $(AGAINST),dev,bench).stamp ## Measure speed (all: 50 minutes); B=part, AGAINST=commit, RUNS=n, QUICK=1
	$(BIN)/python -m tests.bench $(B) $(if $(AGAINST),--against '$(AGAINST)') \
		$(if $(RUNS),--runs '$(RUNS)') $(if $(QUICK),--quick) $(if $(BENCH_JSON),--json '$(BENCH_JSON)')

coverage: .venv/dev.stamp ## Lines and branches that the tests reach, child processes included
	@rm -rf .coverage; mkdir .coverage
	@$(BIN)/coverage run -m pytest $(WORKERS); echo $$? > .coverage/exit
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage json --quiet
	@$(BIN)/coverage html --quiet --skip-covered
	@$(BIN)/coverage report
	@$(BIN)/python -m tests.uncovered .coverage/report.json
	@printf '%s\n' '' 'Each line: .coverage/html/index.html. A child that is killed leaves nothing to' \
		'count: what only such a one ran is among the missing.'
	@exit $$(cat .coverage/exit)

up: ## Bring the whole stack up in Docker: http://localhost:8080; SIMULATED=1: no network needed
	@SIMULATED=$(SIMULATED) bash scheduler/stack.sh up

down: ## Take the stack down; its data stays
	@SIMULATED=$(SIMULATED) bash scheduler/stack.sh down

doctor: ## Say what is wrong with the stack, or would be
	@SIMULATED=$(SIMULATED) bash scheduler/stack.sh doctor

test-stack: .venv/dev.stamp ## The simulated stack in Docker, end to end (about 15 minutes)
	$(BIN)/pytest -q -s tests/stack.py

soak: .venv/dev.stamp ## The stream over all books for ten real minutes, twice (about 25 minutes)
	$(BIN)/pytest -q -s tests/soak.py

faults: .venv/dev.stamp ## What comes from outside, tried (about 25 minutes); ONLY=part of a name, JOBS=n
	@$(BIN)/python -m tests.faults $(if $(ONLY),--only '$(ONLY)') $(if $(JOBS),--jobs '$(JOBS)')

fuzz: .venv/dev.stamp ## Frames, replies, headers and files that nobody thought of; MINUTES=10
	@$(BIN)/python -m tests.fuzz $(if $(MINUTES),--minutes '$(MINUTES)')

lock: ## Pin the dependencies anew (needs uv)
	uv pip compile --quiet pyproject.toml --extra dev -o requirements/dev.lock $(LOCK_OPTIONS)
	uv pip compile --quiet pyproject.toml --extra build -c requirements/dev.lock \
		-o requirements/run.lock $(LOCK_OPTIONS)
	uv pip compile --quiet pyproject.toml --extra dev --extra bench -c requirements/dev.lock \
		-o requirements/bench.lock $(LOCK_OPTIONS)
	echo uv | uv pip compile --quiet - -o requirements/uv.lock $(LOCK_OPTIONS)
	echo 'zensical>=0.0.73' | uv pip compile --quiet - -o requirements/docs.lock $(LOCK_OPTIONS)
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-strip-extras

clean: ## Remove what was built; stops the database and deletes its data
	@if [ -x $(BIN)/loader ]; then $(BIN)/loader stop; fi
	@if [ -d .bench ]; then rm -rf .bench; git worktree prune; fi
	rm -rf .venv .warehouse .site .coverage *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		dbt_project/target dbt_project/logs dbt_project/profiles.yml dbt_project/.user.yml

.venv/python.stamp:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 to 3.13 is needed; name it with PYTHON=..."; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) --only-binary :all: --require-hashes -r requirements/uv.lock 2>/dev/null || true
	@touch $@

# Of its own: Zensical needs another version of a library than dbt does.
.venv/site.stamp: requirements/docs.lock .venv/python.stamp
	@echo "installing $<"
	@$(PYTHON) -m venv .venv/site
	@.venv/site/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/%.stamp: requirements/%.lock pyproject.toml .venv/python.stamp
	@echo "installing $<"
	@$(call install,--require-hashes -r $<)
	@$(call install,--no-deps --no-build-isolation --editable .)
	@touch $@
