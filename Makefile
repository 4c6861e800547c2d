# One-line recipes, no logic: what a recipe does stands in package.json or beside the thing it builds.
SHELL := /bin/sh
export PATH := $(CURDIR)/.toolchain/node_modules/.bin:$(CURDIR)/node_modules/.bin:$(PATH)
DURATION ?=
REPORT ?=

.PHONY: help install system chain build lint fmt test demo bench schemas vectors soak clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: .toolchain/ready node_modules/.installed ## Node 24 where the system's is older, and the packages

.toolchain/ready:
	@sh hardware/provisioning/install-node.sh

node_modules/.installed: package-lock.json .toolchain/ready
	@echo "installing packages ..." && npm install --no-save --no-progress --loglevel=error && touch $@

system: ## Debian packages that the tests use as peers and judges
	@sh hardware/provisioning/install-test-packages.sh

chain: install ledger-client/contracts/node_modules/.installed ## anvil and the Solidity compiler, which only tests use

ledger-client/contracts/node_modules/.installed: ledger-client/contracts/package-lock.json .toolchain/ready
	@echo "installing a chain for the tests ..." && npm install --prefix ledger-client/contracts --no-save --no-progress --loglevel=error && touch $@

build: install ## bundle each program into one file under dist/
	@node build.ts

lint: install ## types, dependency rule, style
	@npm run --silent lint

fmt: install ## format
	@biome check --write .

test: install system chain ## everything: lint, build, unit, end to end
	@npm run --silent test

demo: install ## the whole line against simulated devices; DURATION=20 REPORT=r.json ends by itself
	@node device-sim/src/demo/main.ts $(if $(DURATION),--duration $(DURATION)) $(if $(REPORT),--report $(REPORT))

bench: build system ## one JSON line per figure
	@npm run --silent bench

schemas: install ## the JSON Schema of each config file, from what the programs check
	@npm run --silent schemas

vectors: install ## regenerate the golden vectors, fail on difference
	@npm run --silent vectors

soak: install system chain ## long runs: kills and cuts, four weeks without a broker, unruly meters, a million records, fuzz
	@npm run --silent soak

clean: ## remove what was installed and built
	rm -rf node_modules .toolchain dist */node_modules */*/node_modules
