# Tools run at these versions, here and in .ci/run, which calls these targets.
GOFUMPT     := go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 10s

.PHONY: build test race lint fmt vet staticcheck tidy vuln kafka model chaos browser api fuzz bench microbench demo clean

build:
	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.version=$(VERSION)" -o bin/potok ./cmd/potok

test:
	go test ./...

race:
	go test -race ./...

lint: fmt vet staticcheck tidy

fmt: # gofumpt's rules contain gofmt's
	@found=$$($(GOFUMPT) -l .) || exit 1; \
	test -z "$$found" || { echo "$$found"; echo "not formatted: run $(GOFUMPT) -w ."; exit 1; }

vet:
	go vet ./...

staticcheck:
	$(STATICCHECK) ./...

tidy: # prints what go mod tidy would change
	go mod tidy -diff

# Needs the vulnerability database: from the network, or VULNDB=file:///a/copy.
vuln:
	$(GOVULNCHECK) $(if $(VULNDB),-db $(VULNDB)) ./...

# The packages whose tests can reach internal/testkafka, found anew each time so that none is forgotten.
KAFKA_TESTS = $(shell go list -test -f '{{$$p := .ImportPath}}{{range .Deps}}{{println $$p .}}{{end}}' ./... | \
	sed -n 's|^\([^ ]*\)\.test .*/internal/testkafka\( .*\)\{0,1\}$$|\1|p' | sort -u)

# Against a real Apache Kafka: needs Java, Maven and .venv (test/README.md).
kafka:
	PATH="$(CURDIR)/.venv/bin:$$PATH" POTOK_REQUIRE_KAFKA=1 go test -count=1 $(or $(KAFKA_TESTS),$(error no tests on a real Kafka found))

# Longer than go test may be: random histories on a cluster of embedded brokers that misbehave, and processes on a real
# broker to which everything happens that happens to programs.
model:
	POTOK_MODEL_HISTORIES=200 go test -count=1 -parallel 8 -timeout 40m -run '^TestModel$$' ./cmd/potok

chaos:
	POTOK_REQUIRE_KAFKA=1 POTOK_CHAOS_DURATION=5m go test -count=1 -timeout 20m -run '^TestChaos$$' ./test/chaos

# The page in Debian's Chromium, or the one that POTOK_CHROMIUM names: needs Node.js 20 or later and npm.
browser:
	cd test/browser && npm ci --ignore-scripts --no-audit --no-fund --silent && npm test --silent

# What a view answers against its own description: needs Python 3.11 or later with venv.
api: .venv/bin/schemathesis
	POTOK_REQUIRE_API=1 go test -count=1 -timeout 10m ./test/api

.venv/bin/schemathesis: test/api/requirements.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

fuzz: # go test fuzzes one target at a time
	@go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r pkg; do \
		targets=$$(go test -list '^Fuzz' "$$pkg") || exit 1; \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
		done; \
	done

# Beside Kafka Streams on a real broker: make bench BENCH="latency --rates 5000" (bench/README.md). Takes long.
bench:
	go run ./bench $(or $(BENCH),throughput)

microbench: # the benchmarks of the packages
	go test -run '^$$' -bench . -benchmem ./...

demo:
	go run ./cmd/potok demo

clean:
	rm -rf bin dist .artifacts
