# make            build bin/velonym
# make demo       the whole job once, on a made-up register, in a temporary folder
# make test       what a change must pass before it is shown; .ci/run adds the campaigns below and arm64 under qemu
# make fuzz       each fuzz target for FUZZTIME (3s)
# make test-clients  the clients for Python and R against a server on loopback; installs what they need
# make test-recipes  the scripts of docs/recipes on the invented register; installs what they need
# make soak       random and structured inputs of a new seed for SOAKTIME (10m), and the long form of other tests
# make kills      kill processes in the midst of what they do with keys; what they said must hold
# make mutants    break every fast path on purpose, one condition at a time: a test must fail for each
# make bench      measure, then write BENCHMARKS.md (make bench QUICK=1: does it work?)
# make asm        regenerate the assembly from its generators

GO          ?= go
PKG         := github.com/velonym/velonym
FUZZTIME    ?= 3s
SOAKTIME    ?= 10m
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: build install demo test fmt vet lint unit race fuzz soak kills mutants imports generated test-clients test-recipes test-arm64 portable asm asm-check bench testdata vuln clean

# Without cgo nothing is linked dynamically, which would lengthen every start by a third.
# The linker writes its file page by page, and so the page cache holds it; a copy is held
# in larger pieces, which are mapped sooner: every start takes a tenth less.
build:
	CGO_ENABLED=0 $(GO) build -buildvcs=auto -o bin/velonym ./cmd/velonym
	cp bin/velonym bin/velonym.copy && mv bin/velonym.copy bin/velonym

install:
	CGO_ENABLED=0 $(GO) install -buildvcs=auto -trimpath ./cmd/velonym

demo: build
	$(GO) run ./testdata/demo

test: fmt vet lint imports generated unit race

fmt:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not formatted (run gofmt -w):"; echo "$$bad"; exit 1; }

vet:
	$(GO) vet ./...
	$(GO) vet -tags peers ./bench

lint:
	$(GO) run $(STATICCHECK) ./...

imports:
	bash .ci/imports

# what is generated and kept must be what the generators write
generated:
	$(GO) run ./testdata/generate -check
	$(GO) mod tidy -diff

# the target vet looks at the tests too; several packages wait for servers and databases, so
# more of them run than there are cores
unit:
	$(GO) test -vet=off -p 3 ./...

race:
	GO="$(GO)" bash .ci/race

# a few seconds of each fuzz target
fuzz:
	bash .ci/fuzz $(FUZZTIME)

# whole, stream, parts and shares agree with the standard library, for as long as you like
soak:
	bash .ci/soak $(SOAKTIME)

# 1,000 processes killed in the midst of key acts on SQLite, 300 on PostgreSQL
kills:
	bash .ci/kills

# the tests' own test; the lists are testdata/mutants/*.txt. MUTANTSTIME=15m tries as many
# as that allows, others each day
mutants:
	$(GO) run ./testdata/mutants $(if $(MUTANTSTIME),-for $(MUTANTSTIME))

# the clients of other languages, against the server of this tree
test-clients:
	bash .ci/clients

# the scripts of docs/recipes
test-recipes:
	bash .ci/recipes

# the arm64 kernels and their twins, emulated
test-arm64:
	bash .ci/arm64

# the whole tree without assembly, vetted on every platform we name and one big-endian
portable:
	VELONYM_TEST_KERNELS=generic $(GO) test -short -tags purego ./csvfast/... ./engine/kernel/... ./engine/suite/... ./engine/bulk/internal/...
	@for p in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 linux/s390x linux/riscv64; do \
		echo "vet $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./csvfast/... ./engine/kernel/... ./engine/suite/... ./engine/bulk/internal/... || exit 1; done
	@for p in linux/arm64 darwin/arm64 darwin/amd64; do \
		echo "build $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/velonym || exit 1; done

asm:
	cd csvfast/internal/asm && bash generate.sh
	cd engine/kernel/internal/asm && bash generate.sh

# regenerated assembly must be what is committed
asm-check: asm
	git diff --exit-code -- '*.s' || { echo "asm: the committed assembly is not what its generator writes: run 'make asm'"; exit 1; }

# bin/velonym-peers holds the libraries that a run is compared with.
bench: build
	CGO_ENABLED=0 $(GO) build -buildvcs=auto -tags peers -o bin/velonym-peers ./cmd/velonym
	bin/velonym-peers bench engine $(if $(QUICK),--quick)
	bin/velonym-peers bench tokenizer $(if $(QUICK),--quick)
	bin/velonym-peers bench run $(if $(QUICK),--quick)
	bin/velonym-peers bench http $(if $(QUICK),--quick)
	bin/velonym bench start $(if $(QUICK),--quick)
	bin/velonym bench report > BENCHMARKS.md.new && mv BENCHMARKS.md.new BENCHMARKS.md

testdata:
	$(GO) run ./testdata/generate

vuln:
	$(GO) run $(VULNCHECK) ./...

clean:
	rm -rf bin
