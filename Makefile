# pulumi-pgha. `make` prints what there is to do.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# How many hosts `make lab` starts, and in which lab: demo, test, bench or another name.
HOSTS ?= 3
LAB ?= demo

# What `make demo` shows: demo, pacemaker, or pacemaker-2.
ENV = demo

run_tests := node --import tsx tools/run-tests.ts

.PHONY: help
help: ## Print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: node-modules ## Install everything: packages, Pulumi CLI, plugin; again only what changed
	@tools/install-lab-packages
	@tools/install-pulumi
	@tools/write-env
	@tools/install-command-plugin

.PHONY: node-modules
node-modules:
	@tools/install-node-modules

.PHONY: lab-machine
lab-machine:
	@tools/require-lab-machine $(MAKECMDGOALS)

.PHONY: check
check: node-modules ## Types, lint, format and the tests that need nothing: in a minute
	@$(run_tests) --static quick

.PHONY: agent
agent: node-modules ## The host helper on pretended hosts (Linux)
	@$(run_tests) agent

.PHONY: test
test: lab-machine setup ## Everything `check` does, then the real CLI and real hosts (Linux, root)
	@. .tools/env && $(run_tests) --static quick agent cli lab

.PHONY: acceptance
acceptance: lab-machine setup ## Every failure on every topology, under a continuous writer (Linux, root; hours)
	@. .tools/env && $(run_tests) acceptance

.PHONY: bench
bench: lab-machine setup ## Measure outages against the goals (Linux, root)
	@. .tools/env && node --import tsx bench/main.ts

.PHONY: demo
demo: lab-machine setup ## Three hosts and a cluster on them, by `pulumi up`; ENV=pacemaker: with failover, ENV=pacemaker-2: on two hosts (Linux, root)
	@. .tools/env && node --import tsx tools/demo/main.ts up '$(ENV)'

.PHONY: demo-down
demo-down: lab-machine ## Remove the demo's hosts and state
	@. .tools/env && node --import tsx tools/demo/main.ts down

.PHONY: lab
lab: lab-machine setup ## Start disposable hosts: make lab HOSTS=3 (Linux, root)
	@lab/lab up --lab $(LAB) --hosts $(HOSTS)

.PHONY: lab-down
lab-down: lab-machine ## Remove the lab's hosts and networks; cached images stay
	@lab/lab down --lab $(LAB)

.PHONY: clean
clean: ## Remove what setup and the tests made, node_modules included; all labs first
	@for state in .lab/lab.json .lab/*/lab.json; do \
	  if [ -e "$$state" ]; then lab/lab down --lab "$$(node -p 'JSON.parse(fs.readFileSync(process.argv[1])).lab' "$$state")"; fi; \
	done
	@if [ -d .lab ]; then rm -rf --one-file-system .lab; fi
	@rm -rf .tools node_modules
