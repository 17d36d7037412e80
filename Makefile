# The checks of this repository, one target each. `bash .ci/run` runs them all.
# Everything here works with GNU make 3.81, the one that macOS ships.

# The two Go releases that the module supports.
GO_CURRENT  := go1.27.4
GO_PREVIOUS := go1.26.8

# Tools are built by exact version into .bin, which git ignores. They are no
# `tool` directives in go.mod: those would add the requirements of the linters
# to the module graph of everybody who uses this module.
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0
GORELEASER_VERSION    := v2.18.2

# The file name holds the version, so that a new version is a missing file.
GOLANGCI_LINT := .bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := .bin/govulncheck-$(GOVULNCHECK_VERSION)
GORELEASER    := .bin/goreleaser-$(GORELEASER_VERSION)

# How long each fuzz target runs: a time, or a number of inputs.
FUZZTIME := 300x

# Lowest statement coverage, in per cent, that a package's own tests must reach.
COVER_ROOT        := 95
COVER_TIMPUSHTEST := 90

# Every folder with a go.mod of its own.
MODULES = $(patsubst ./%/go.mod,%,$(sort $(shell find . -mindepth 2 -name go.mod -not -path './.*')))

# 64-bit only: the official UserSig module, which signs for us, does not compile
# for 32-bit targets (linux/386, linux/arm).
PLATFORMS := windows/amd64 darwin/arm64

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: tidy
tidy: ## go.mod, go.sum and the formatting need no change
	go mod tidy -diff
	@files="$$(gofmt -l .)" || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted with gofmt:"; echo "$$files"; exit 1; fi

# The line of the README, unchanged.
.PHONY: test
test: ## all tests of all modules, with the race detector, in random order
	bash scripts/test.sh

.PHONY: cover
cover: ## the coverage of each public package is high enough
	@bash scripts/cover.sh . $(COVER_ROOT)
	@bash scripts/cover.sh ./timpushtest $(COVER_TIMPUSHTEST)

# -o /dev/null: a single main package would otherwise leave its binary here.
.PHONY: examples
examples: ## the examples compile, and the quickstart runs by itself
	go vet ./examples/...
	go build -o /dev/null ./examples/...
	go run -exec 'bash scripts/offline.sh' ./examples/quickstart
	go run -exec 'bash scripts/offline.sh' ./examples/campaign

.PHONY: bench
bench: ## every benchmark runs once
	go test -run '^$$' -bench . -benchtime 1x ./... ./benchmarks

# The tests of the previous release are those of `make test` where it is the one that is installed.
.PHONY: releases
releases: ## the tests pass on the newest Go release too, with enough coverage, and the code compiles on the one before
	@GOTOOLCHAIN=$(GO_CURRENT) $(MAKE) cover
	GOTOOLCHAIN=$(GO_CURRENT) go test -shuffle=on ./internal/... ./examples/...
	GOTOOLCHAIN=$(GO_PREVIOUS) go vet ./...

# A number of inputs, not a time: up to Go 1.26 the fuzzing coordinator itself can fail with "context
# deadline exceeded" when the time is up, although no input failed (https://go.dev/issue/75804).
.PHONY: fuzz
fuzz: ## every fuzz target runs for FUZZTIME
	@bash scripts/fuzz.sh $(FUZZTIME)

# Vet type-checks the tests as well; build finds what only the compiler does. Of the nested modules the dependencies take a
# minute for each platform, so that only the nightly run compiles those.
.PHONY: platforms
platforms: ## the client compiles for the other platforms
	@set -e; for platform in $(PLATFORMS); do \
		export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		echo "$$platform"; \
		go build -o /dev/null . ./timpushtest; \
		go vet . ./timpushtest; \
	done

# A nested module must work outside of the workspace, as it does for its users: the
# workspace could hide that its go.mod is wrong. The tool cannot, since it may have
# no replace: rehearse checks that. LOG_LEVEL hides warnings of linter exclusions
# that are for other modules.
.PHONY: modules
modules: $(GOLANGCI_LINT) ## the nested modules: go.mod and linters
	@set -e; for module in $(MODULES); do \
		echo "module $$module"; \
		cd "$(CURDIR)/$$module"; \
		if [ "$$module" != cmd/timpush ]; then GOWORK=off go mod tidy -diff; GOWORK=off go build -o /dev/null ./...; fi; \
		LOG_LEVEL=error "$(CURDIR)/$(GOLANGCI_LINT)" run --config "$(CURDIR)/.golangci.yml" ./...; \
	done

.PHONY: rehearse
rehearse: ## a release works, without publishing anything
	go run ./tools/rehearse

.PHONY: api
api: ## the exported API is the recorded one
	@bash scripts/api.sh

.PHONY: api-record
api-record: ## write the record of the exported API
	bash scripts/api.sh -write

.PHONY: vuln
vuln: $(GOVULNCHECK) ## no known vulnerability is reachable, from any module
	@bash scripts/vuln.sh $(GOVULNCHECK)

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint, with the linters of .golangci.yml
	$(GOLANGCI_LINT) run ./...

$(GOLANGCI_LINT):
	GOBIN="$(CURDIR)/.bin" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv .bin/golangci-lint $@

$(GOVULNCHECK):
	GOBIN="$(CURDIR)/.bin" go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv .bin/govulncheck $@

# It needs the newest Go, and takes ten minutes to build.
$(GORELEASER):
	GOTOOLCHAIN=$(GO_CURRENT) GOBIN="$(CURDIR)/.bin" go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)
	mv .bin/goreleaser $@

# The container image takes a Docker to load it into.
.PHONY: snapshot
snapshot: $(GORELEASER) ## the files of a release of the tool, into .bin/dist, without publishing anything
	$(GORELEASER) check
	@skip=; docker info >/dev/null 2>&1 || { echo "there is no Docker: the container image is skipped"; skip=--skip=ko; }; \
	$(GORELEASER) release --snapshot --clean $$skip

.PHONY: licences
licences: ## docs/dependencies.md has what is linked, with licences that are allowed
	go run ./tools/licences

.PHONY: words
words: ## the texts use present-day words
	@bash scripts/words.sh

.PHONY: docs
docs: ## every link, command and piece of Go in the documentation works
	go run ./tools/docs

# Each seed is a run; one that fails says how to repeat it.
.PHONY: soak
soak: ## random callers and random faults, 50 seeds
	go run ./tools/soak

.PHONY: mutate
mutate: ## how many changes of the code the tests notice, half an hour
	go run ./tools/mutate

.PHONY: nightly
nightly: ## what takes hours: 1,000 seeds, 10 minutes of each fuzz target, other releases and platforms, mutation testing
	go test -run 'Outcomes|Throttle' . -seeds 1000
	go run ./tools/soak -seeds 1000
	go test -run 'TestDamageIsCounted|TestFrozenDispatcher' ./dispatch -damages 100 -damageseed 0 -freezes 100
	GOTOOLCHAIN=$(GO_CURRENT) $(MAKE) fuzz FUZZTIME=10m
	$(MAKE) releases vuln rehearse
	$(MAKE) platforms PLATFORMS="linux/arm64 linux/riscv64 freebsd/amd64"
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go vet ./cmd/timpush/... ./dispatch/... ./oteltimpush/... ./redislimiter/...
	$(MAKE) mutate
	$(MAKE) snapshot

.PHONY: figures
figures: ## measures all figures, half an hour on a quiet machine; writes BENCHMARKS.md
	cd benchmarks && go run . all
