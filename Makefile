# Thin verbs; what they do is in the library.
RECIPE ?= recipes/demo.yaml
CLUSTER_RECIPE ?= recipes/cluster.yaml
SHORTLIST_DATA ?= ../shared/data
export SHORTLIST_DATA

PYTHON := $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV := .venv-uv/bin/uv
UV_VERSION := 0.13.9
CHECKOV_VERSION := 3.3.30
READY := $(VENV)/.ready
# The peers of the quality bench have an environment of their own: nothing of the product may depend on them.
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready
# So has the site.
DOCS_VENV := .venv-docs
DOCS_READY := $(DOCS_VENV)/.ready

TOOLS := .work/tools
KUBECONFORM := github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0
KIND_CONFIG := .work/kind.kubeconfig

BENCHMARKS := ingest prepare validate batches train index ranker serving

.DEFAULT_GOAL := help
.PHONY: help setup run serve test lint bench bench-guard figures pictures bench-quality compile docs docs-serve images images-test engine image-base terraform-check manifest-tools cluster-up cluster-run \
  cluster-test kind-up kind-run kind-down lock clean

help: ## name every verb
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1|\2/' | column -t -s '|'

setup: $(READY) ## install everything into .venv, from the lock file

run: $(READY) ## raw events to a served, ranked answer: make run RECIPE=recipes/movielens.yaml
	@$(BIN)/shortlist run $(RECIPE)

serve: $(READY) ## keep the live release of RECIPE up until Ctrl-C
	@$(BIN)/shortlist serve $(RECIPE)

test: $(READY) lint ## lint, type-check and test everything
	@images/engine.sh || echo "so the tests of the transformer's image are skipped"
	@images/postgresql.sh || echo "so the tests of the PostgreSQL source are skipped"
	@$(MAKE) --no-print-directory -s manifest-tools || echo "so manifests are not checked by kubeconform"
	@echo "tests:"
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

lint: $(READY) ## ruff, mypy --strict, import-linter
	@echo "ruff:"; $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "mypy:"; $(BIN)/mypy
	@echo "layers:"; $(BIN)/lint-imports --no-logo

terraform-check: $(UV) ## checkov over terraform/; its exceptions are explained where they are made
	@$(UV) tool run --python $(PYTHON) --from checkov==$(CHECKOV_VERSION) checkov -d terraform --framework terraform --compact --quiet

bench: $(READY) ## measure what the README quotes; minutes, on an idle machine
	@for bench in $(BENCHMARKS); do echo "== $$bench"; $(BIN)/python -m benchmarks.$$bench || exit 1; done

bench-guard: $(READY) ## the main benches at the last kept revision and at this one, in turns; 15 minutes
	@$(BIN)/python -m benchmarks.guard

figures: $(READY) ## write the kept figures into the README and docs/figures.md
	@$(BIN)/python -m benchmarks.figures

pictures: $(READY) ## draw the README's pictures from the newest run of the demo (Chromium; root on Debian gets one)
	@command -v chromium >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends \
	  chromium fonts-dejavu-core fonts-liberation; } >/dev/null || { echo "pictures: install chromium"; exit 1; }
	@$(BIN)/python docs/pictures.py

bench-quality: $(BENCH_READY) ## every list beside its peers, from the raw files, hours; DATA=ml-100k for one set
	@$(BENCH_VENV)/bin/python -m benchmarks.quality run $(DATA)

compile: $(READY) ## compile the pipeline to its YAML, the recipe to its JSON schema, and both to their reference pages
	@$(BIN)/python -m shortlist.pipelines.compile
	@$(BIN)/python -m shortlist.pipelines.describe
	@$(BIN)/shortlist schema > recipes/schema.json
	@$(BIN)/python docs/generate.py

docs: $(DOCS_READY) ## the documentation site, into .work/site; fails on a broken link
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict -d .work/site
	@echo "docs: .work/site/index.html"

docs-serve: $(DOCS_READY) ## the site on http://localhost:8000, rebuilt when a page changes
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs serve

images: ## build the three images: make images BASE=my/python:3.11 TORCH_INDEX=... ENGINE=podman
	@images/build.sh

engine: ## start a Docker engine where none answers (root on Debian)
	@images/engine.sh

image-base: engine ## shortlist-base:bookworm, a BASE for where no registry can be reached (root)
	@images/base.sh

images-test: $(READY) engine ## build and test the two images that hold torch; minutes, and 20 GB of disk
	@OMP_NUM_THREADS=1 $(BIN)/pytest -m images tests/images

manifest-tools: $(TOOLS)/schemas/.ready ## kubeconform and the schemas of all kinds that are applied (needs Go)

cluster-up: ## cert-manager, KServe and Kubeflow Pipelines on the bare cluster of KUBECONFIG
	@manifests/platform/up.sh

cluster-run: $(READY) ## on KUBECONFIG: the pipeline, the service on its release, one answer
	@PATH=$(BIN):$$PATH manifests/run.sh $(CLUSTER_RECIPE)

cluster-test: $(READY) ## the tests that need a cluster with KServe, on KUBECONFIG; 15 minutes, 40 with Kubeflow Pipelines
	@$(BIN)/pytest -s -m cluster tests/cluster

kind-up: images ## a node in Docker, and on it what cluster-up brings and our images (needs kind)
	@mkdir -p $(dir $(KIND_CONFIG))
	@kind create cluster --config manifests/platform/kind.yaml --kubeconfig $(KIND_CONFIG)
	@kind load docker-image --name shortlist shortlist/pipeline:0.1.0 shortlist/transformer:0.1.0 shortlist/predictor:0.1.0
	@KUBECONFIG=$(KIND_CONFIG) $(MAKE) --no-print-directory cluster-up

kind-run: ## cluster-run on that node
	@KUBECONFIG=$(KIND_CONFIG) $(MAKE) --no-print-directory cluster-run

kind-down: ## remove the node and all that was on it
	@kind delete cluster --name shortlist --kubeconfig $(KIND_CONFIG)

LOCK := pip compile --python-version 3.11 --generate-hashes --no-annotate --no-header -q
OF_DEV := -c requirements/dev.txt -o requirements

lock: $(UV) ## resolve pyproject.toml into requirements/*.txt: everything in dev.txt, and what each image takes of it
	@$(UV) $(LOCK) pyproject.toml --extra dev --extra pipeline --extra predictor --extra transformer \
	  --extra tracking --extra tuning -o requirements/dev.txt
	@for image in pipeline predictor transformer; do \
	  $(UV) $(LOCK) pyproject.toml --extra $$image $(OF_DEV)/$$image.txt || exit 1; done
	@$(UV) $(LOCK) pyproject.toml --extra pipeline --extra gpu --no-emit-package faiss-cpu $(OF_DEV)/pipeline-gpu.txt
	@$(UV) $(LOCK) pyproject.toml --extra pipeline --extra tracking $(OF_DEV)/pipeline-tracking.txt
	@echo torch | $(UV) $(LOCK) - $(OF_DEV)/torch.txt
	@$(UV) $(LOCK) --group pyproject.toml:build -o requirements/build.txt
	@$(UV) $(LOCK) pyproject.toml requirements/bench.in --extra pipeline --extra dev \
	  --override requirements/bench-overrides.in $(OF_DEV)/bench.txt
	@$(UV) $(LOCK) requirements/docs.in -o requirements/docs.txt

clean: ## remove runs, releases and environments
	rm -rf .work $(VENV) $(BENCH_VENV) $(DOCS_VENV) .venv-uv

$(UV):
	@echo "setup: bootstrapping uv $(UV_VERSION)"
	@$(PYTHON) -m venv .venv-uv && .venv-uv/bin/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)

$(TOOLS)/schemas/.ready: tests/manifests/schemas.py | $(READY)
	@command -v go >/dev/null || { echo "setup: there is no Go"; exit 1; }
	@echo "setup: kubeconform, and schemas from the Go modules of Kubernetes, KServe and others (90 MB)"
	@GOBIN=$(abspath $(TOOLS)) go install $(KUBECONFORM)
	@$(BIN)/python $< $(TOOLS)/schemas && touch $@

$(READY): requirements/dev.txt pyproject.toml | $(UV)
	@echo "setup: installing the locked packages into $(VENV) (about 6 GB with torch)"
	@$(UV) venv -q --allow-existing --python $(PYTHON) $(VENV)
	@$(UV) pip sync -q -p $(VENV) requirements/dev.txt
	@$(UV) pip install -q -p $(VENV) --no-deps -e .
	@touch $@

$(BENCH_READY): requirements/bench.txt | $(UV)
	@echo "setup: installing the locked packages and the peers into $(BENCH_VENV)"
	@$(UV) venv -q --allow-existing --python $(PYTHON) $(BENCH_VENV)
	@$(UV) pip sync -q -p $(BENCH_VENV) requirements/bench.txt
	@touch $@

$(DOCS_READY): requirements/docs.txt | $(UV)
	@echo "setup: installing the locked packages of the site into $(DOCS_VENV)"
	@$(UV) venv -q --allow-existing --python $(PYTHON) $(DOCS_VENV)
	@$(UV) pip sync -q -p $(DOCS_VENV) requirements/docs.txt
	@touch $@
