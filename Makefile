.PHONY: demo test coverage fuzz test-more test-elsewhere corpora boot-proof bench glance packages lint clean

demo: ## import a bootable disk from a local server into two stores
	@.ci/prepare demo && .venv/bin/python docs/demo/demo.py

ifdef PACKAGE
test: ## check and test everything; PACKAGE=s3 tests one package of contrib/ alone, with its real servers
	@.ci/prepare packages
	@.ci/packages $(PACKAGE)
else
test: lint
	@.venv/bin/python -m pytest --numprocesses auto --dist worksteal
endif

packages: ## test the packages of contrib/ with real servers, all stores in one import, and wheels on each Python
	@.ci/prepare packages
	@.ci/packages

coverage: ## run the quick folders of tests with coverage, which has a floor in pyproject.toml
	@.ci/prepare test
	@rm -rf .coverage
	@.venv/bin/coverage run -m pytest --numprocesses auto --dist worksteal $(QUICK) --deselect tests/catalog/test_lost_commits.py
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

test-more: coverage corpora fuzz boot-proof ## what takes longer than "make test"

QUICK = $(addprefix tests/,access app catalog cli configuration contract dataplane http imageport_builtin \
	imageport_glance imageport_kit importing plugins stores testing)

test-elsewhere: ## all tests on other Pythons and on odd machines, in random order; takes root; RUNS=user
	@.ci/elsewhere $(RUNS)

corpora: ## compare imports of FOLDER=..., or of generated files, with reference tools; CORPORA=--help
	@.ci/prepare test
	@.venv/bin/python -m tests.corpora $(FOLDER) $(CORPORA)

fuzz: ## compare readers of hostile files with reference tools for MINUTES=..., 5 unless given; FUZZ=--help
	@.ci/prepare test
	@.venv/bin/python -m tests.fuzz --minutes $(or $(MINUTES),5) $(FUZZ)

boot-proof: ## import disks out of packages in every wrapping, and boot the stored copies; BOOT=-x for pytest
	@.ci/prepare more
	@.venv/bin/python -m tests.boot.packages
	@.venv/bin/python -m pytest --numprocesses auto --dist worksteal tests/boot/boot_proof.py $(BOOT)

bench: ## measure beside Glance (once "make packages" has installed it), the shell and the hardware; BENCH=--help
	@.ci/prepare test
	@.venv/bin/python -m tests.bench $(BENCH)

glance: ## make the same imports through a real Glance and compare
	@.ci/prepare packages
	@.packages/tests/bin/python -m pytest tests/glance

lint: ## check style, types and layers
	@.ci/prepare test
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

clean: ## remove what the targets above made
	rm -rf .venv .packages .tox .coverage demo-run bench-run boot-run dist
