# Targets of Allod. `make help` lists them; `make check` is what CI runs.

export CGO_ENABLED ?= 0
GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
COVER   := .bench/cover.out

# Packages whose tests also run under the race detector.
CORE := . ./internal/odata/... ./internal/durable/... ./internal/blob/... ./internal/ledger/... ./internal/govern/... \
        ./internal/vault/... ./internal/source/... ./internal/capture/... ./internal/relate/... \
        ./internal/history/... ./internal/restore/...

# Seconds that building cmd/allod from an empty cache may take on 2 cores.
COLD_BUDGET ?= 120
FUZZTIME    ?= 30s
CHAOS       ?= 50x100000

.DEFAULT_GOAL := help
.PHONY: help build test race lint fmt fuzz cover golden bench pacing arch check coldbuild kill flips chaos node s3server integration cross vet deadcode wine

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r t h; do printf '  %-12s %s\n' "$$t" "$$h"; done

build: ## build ./allod
	$(GO) build -o allod ./cmd/allod

test: ## all tests that need nothing but Go
	$(GO) test ./...

race: ## tests of the core packages under the race detector, with a fifth of the random histories (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m $(CORE)

vet: ## go vet
	$(GO) vet ./...

lint: ## golangci-lint as pinned in tools/go.mod
	$(TOOL) golangci-lint run ./...

fmt: ## put every file into shape
	$(TOOL) golangci-lint fmt ./...

fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; done

cover: ## coverage per function
	@mkdir -p .bench
	$(GO) test -coverprofile=$(COVER) ./...
	$(GO) tool cover -func=$(COVER)

golden: ## rewrite golden files; look at the difference before you commit it
	@set -e; for pkg in $$(grep -rl --include='*_test.go' 'flag.Bool("update"' internal | xargs -r -n1 dirname | sort -u); do \
		$(GO) test $$pkg -update; done
	git diff --stat

bench: ## the benchmarks of docs/benchmarks.md at their real sizes, about 30 minutes
	ALLOD_BENCH=full $(GO) test -count=1 -v -timeout 60m ./internal/e2e/bench
	$(GO) test -count=1 -p 1 -run '^$$' -bench . -benchmem ./internal/vault/... ./internal/source/dataverse/rows ./internal/emulator/dataverse ./internal/ledger ./internal/history

pacing: ## hours of simulated requests against the service's limits, every case (minutes)
	ALLOD_INTEGRATION=1 ALLOD_LONG=1 $(GO) test -count=1 -v -timeout 30m -run 'Pacing' ./internal/e2e

arch: ## the rules of the repository
	$(GO) test -count=1 .

deadcode: ## functions that nothing reaches; must print nothing
	@out=$$($(TOOL) deadcode -test ./...) || exit 1; if [ -n "$$out" ]; then echo "$$out"; exit 1; fi

cross: ## build and vet for Windows and macOS
	@set -e; for os in windows darwin; do echo "GOOS=$$os"; \
		GOOS=$$os CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/allod; GOOS=$$os CGO_ENABLED=0 $(GO) vet ./...; done

integration: node s3server ## tests of the whole; with CI=true a skipped one is a failure
	ALLOD_INTEGRATION=1 $(GO) test -json -count=1 -timeout 20m ./internal/e2e/... | \
		(cd tools && $(GO) run ./testcount $(if $(filter true,$(CI)),-noskip))

node: ## nodejs and npm for the client proof, from the packages of the system if absent
	@command -v node >/dev/null && command -v npm >/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends nodejs npm; }

S3SERVER := .tools/versitygw-v1.8.0/versitygw
s3server: $(S3SERVER) ## the S3 server that the tests of vaults in S3 start, built once
$(S3SERVER):
	GOFLAGS= CGO_ENABLED=0 GOBIN=$(CURDIR)/$(@D) $(GO) install github.com/versity/versitygw/cmd/versitygw@v1.8.0

wine: ## the Windows build and its service under Wine, installed if absent (a minute; not part of check)
	.ci/wine

kill: ## kill -9 at random moments, then compare; prints its seed
	ALLOD_INTEGRATION=1 $(GO) test -count=1 -v -timeout 30m -run 'Kill' ./internal/e2e/...

flips: ## every byte of a 200 kB vault and of a ledger, 1,000 bits of a 100 MB vault, flipped in turn (minutes)
	ALLOD_LONG=1 $(GO) test -count=1 -v -timeout 3h -run 'Flipped' ./internal/vault ./internal/ledger

chaos: ## every fault of the emulator against capture and restore, then CHAOS (50x100000) seeds x rows; writes docs/chaos.md
	ALLOD_INTEGRATION=1 $(GO) test -count=1 -v -timeout 30m -run 'Fault|BadInput' ./internal/e2e
	ALLOD_CHAOS=$(CHAOS) ALLOD_CHAOS_RESULT=$(CURDIR)/docs/chaos.md $(GO) test -count=1 -v -timeout 6h -run '^TestChaos$$' ./internal/e2e

coldbuild: ## build cmd/allod with an empty build cache, within COLD_BUDGET seconds (120)
	@$(GO) mod download
	@cache=$$(mktemp -d); start=$$(date +%s); \
	GOCACHE=$$cache $(GO) build -o /dev/null ./cmd/allod; rc=$$?; took=$$(( $$(date +%s) - start )); \
	rm -rf "$$cache"; [ $$rc -eq 0 ] || exit $$rc; \
	echo "cold build: $$took s, budget $(COLD_BUDGET) s"; [ $$took -le $(COLD_BUDGET) ]

check: vet race lint cross deadcode coldbuild integration ## what CI runs after go test ./...
	@echo "check: all passed"
