# Keyturn. `make` lists the targets. Everything that is built goes to bin/, everything else that is made to .keyturn/.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-builtin-rules

PKG  ?= ./...
ARGS ?=

# The commit is stamped into bin/keyturn, except where git refuses to tell it (a folder of another owner, no git).
VCS := $(shell git status >/dev/null 2>&1 && echo auto || echo false)
GO_TOOL := CGO_ENABLED=0 go build -trimpath -buildvcs=false

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: bin/temporal keyturn ## build bin/keyturn and bin/temporal

.PHONY: run
run: build ## start everything on this machine and place sample orders; ARGS="--port-offset 100" and the like
	@exec bin/keyturn dev $(ARGS)

# Two packages at a time: while one waits for what takes its time, the other has the processors. keyturn is built for
# ./survive, which finds its packages compiled.
.PHONY: test
test: bin/temporal with keyturn ## run all tests on a real PostgreSQL and Temporal; PKG=./db ARGS="-run Claim -race" for some
	@bin/with go test -p 2 -timeout 20m $(ARGS) $(PKG)

.PHONY: test/crash
test/crash: bin/temporal with ## have a process die at every crash point of every use case
	@bin/with go test -tags crash -run '^TestCrashSweep$$' -count=1 -parallel 12 -timeout 2h $(ARGS) ./e2e

.PHONY: test/outages
test/outages: bin/temporal with keyturn ## kill processes five times as often as make test does, with longer outages and freezes
	@KEYTURN_SURVIVE_LONG=1 bin/with go test -count=1 -timeout 30m -v -run 'Kills|Down|Frozen' $(ARGS) ./survive

.PHONY: test/oracle
test/oracle: bin/temporal with ## build the mutants of Keyturn, and require that the audit catches each by name
	@overlay=$$(go run ./internal/testkit/mutants/overlay .keyturn/mutants) && \
	bin/with go test -overlay "$$overlay" -parallel 1 -count=1 -timeout 15m -v -run TestEveryMutantIsCaught $(ARGS) ./e2e | grep -E "CAUGHT|^ *--- |^(ok|FAIL|PASS)|_test.go"

.PHONY: test/races
test/races: bin/temporal with ## run 200 rounds of each race of a checkout link, of a look at keys that no e-mail brought, and of an e-mail that came back
	@KEYTURN_RACES=$${KEYTURN_RACES:-200} bin/with go test -run '^TestRacesOf(ALook|ABounce)$$' -count=1 -v $(ARGS) ./db | \
	  grep -vE '^=== '
	@KEYTURN_RACES=$${KEYTURN_RACES:-200} bin/with go test -run '^TestRaces$$' -count=1 -timeout 1h -v $(ARGS) ./e2e | grep -vE '^=== '

.PHONY: test/purchases
test/purchases: bin/temporal with ## buy 5,000 times by checkout links while every call fails now and then, and compare all books
	@KEYTURN_PURCHASES=$${KEYTURN_PURCHASES:-5000} bin/with go test -run '^TestPurchases$$' -count=1 -timeout 2h -v $(ARGS) ./e2e | grep -vE '^=== '

.PHONY: test/webhooks
test/webhooks: bin/temporal with keyturn ## tell shops of orders beside a receiver that never answers, and while workers and receivers die
	@KEYTURN_DEAD_EVENTS=$${KEYTURN_DEAD_EVENTS:-100000} bin/with go test -run '^TestADeadReceiver' -count=1 -timeout 30m -v $(ARGS) ./e2e | grep -vE '^=== '
	@KEYTURN_SURVIVE_LONG=1 bin/with go test -run '^TestOrdersAndEvents' -count=1 -timeout 30m -v $(ARGS) ./survive | grep -vE '^=== '

# The mail servers run in a network namespace of their own, where their ports are free.
.PHONY: test/mail
test/mail: bin/temporal with ## (root) bring reports of real Postfix, Exim and Dovecot back by each inlet
	@go run ./internal/testkit/mailservers .keyturn/dist/mailservers
	@unshare --net --mount bash -c 'ip link set lo up && exec bin/with go test -tags mailservers -run "^TestRealMailServers$$" \
	  -count=1 -timeout 20m $(ARGS) ./e2e'

.PHONY: test/pooler
test/pooler: bin/temporal with ## look through a real PgBouncer as keyturn doctor does
	@bin/with go test -tags pgbouncer -run '^TestBehindPgBouncer$$' -count=1 $(ARGS) ./pg

.PHONY: test/stripe
test/stripe: bin/temporal with stripecheck ## buy 2,000 times at the Stripe emulator, and compare all that is said with Stripe's OpenAPI document
	@cd tools/stripecheck && CGO_ENABLED=0 go test -count=1 .
	@mkdir -p .keyturn && rm -f .keyturn/stripe.jsonl
	@KEYTURN_STRIPE_PURCHASES=$${KEYTURN_STRIPE_PURCHASES:-2000} KEYTURN_STRIPE_EXCHANGES=$(abspath .keyturn/stripe.jsonl) \
	  bin/with go test -run Stripe -count=1 -timeout 2h -v $(ARGS) ./e2e | grep -vE '^=== '
	@bin/stripecheck check .keyturn/stripe.jsonl

.PHONY: stripecheck
stripecheck:
	@cd tools/stripecheck && $(GO_TOOL) -o ../../bin/stripecheck .

.PHONY: pictures
pictures: bin/temporal with ## remake docs/pictures where pages, e-mails or their style have changed; look at them then
	@bin/with go test ./web -run '^TestPicturesShowWhatCustomersSee$$' -count=1 -timeout 1h $(ARGS) -update

.PHONY: test/scenes
test/scenes: bin/temporal with ## look at every page and e-mail in a browser: each language, light and dark, with axe-core, 320 pixels wide
	@KEYTURN_TEST_SCENES=all bin/with go test ./web -run '^TestPicturesShowWhatCustomersSee$$' -count=1 -timeout 1h $(ARGS)

# What npm gets lies outside the tree that the documentation's tests read.
.PHONY: test/emails
test/emails: bin/temporal with ## (Node.js) look for what e-mail programs do not support in the e-mails of each language
	@rm -rf .keyturn/emails && mkdir -p .keyturn/emails .keyturn/dist/emails
	@KEYTURN_TEST_EMAILS=$(abspath .keyturn/emails) bin/with go test ./web \
	  -run '^TestPicturesShowWhatCustomersSee$$/^(mail-|library-letter)' -count=1 $(ARGS)
	@cp tools/emails/* .keyturn/dist/emails && cd .keyturn/dist/emails && npm ci --silent --ignore-scripts && \
	  node check.js ../../emails

.PHONY: lint
lint: bin/golangci-lint autocommit ## check style, imports, determinism of workflows, and that every write is in a transaction
	@CGO_ENABLED=0 bin/golangci-lint run ./...
	@CGO_ENABLED=0 bin/golangci-lint fmt --diff
	@CGO_ENABLED=0 bin/autocommit ./...
	@[ ! -d workflows ] || CGO_ENABLED=0 bin/workflowcheck -config tools/lint/workflowcheck.yaml ./workflows/...
	@cd tools/lint && CGO_ENABLED=0 go test ./autocommit
	@echo "lint: nothing to say"

.PHONY: bench
bench: build ## measure rates and CPU per order line; ARGS="--output json" and the like
	@exec bin/keyturn bench $(ARGS)

# The release whose workers have to get along with those of this build (git knows it; a copy without its history does not).
OLD   ?= 1c29860
SEEDS ?= 1
SEED  ?=
# How many seeds run side by side: half of the time each waits.
SIDE  ?= 2

.PHONY: chaos
chaos: bin/temporal bin/keyturn-$(OLD) ## break everything while orders come in, and audit; SEEDS=20 for more, SEED=7 to repeat one
	@KEYTURN_OLD=$(abspath bin/keyturn-$(OLD)) KEYTURN_CHAOS_SEEDS=$(SEEDS) KEYTURN_CHAOS_SEED=$(SEED) \
	  go test -tags chaos -run '^TestChaos$$' -count=1 -timeout 3h -parallel $(SIDE) -v ./survive

bin/keyturn-$(OLD):
	@mkdir -p bin .keyturn/old && echo "building the older build $(OLD)" && git archive $(OLD) | tar -x -C .keyturn/old && \
	cd .keyturn/old && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o ../../$@ ./cmd/keyturn && rm -rf ../old

.PHONY: setup
setup: bin/temporal with bin/golangci-lint autocommit ## get everything that the other targets need, and do nothing with it
	@bin/with true

.PHONY: reset
reset: ## forget the orders and settings of make run
	@[ ! -d .keyturn ] || find .keyturn -mindepth 1 -maxdepth 1 ! -name dist -exec rm -rf {} +

.PHONY: clean
clean: ## remove what was built or unpacked
	@rm -rf bin .keyturn/dist

# Go knows best what is out of date, so these are always asked for.
.PHONY: keyturn
keyturn:
	@CGO_ENABLED=0 go build -trimpath -buildvcs=$(VCS) -o bin/keyturn ./cmd/keyturn

.PHONY: with
with:
	@$(GO_TOOL) -o bin/with ./internal/testkit/with

# A Temporal CLI on the PATH will do. Otherwise it is built from its Go module.
bin/temporal: tools/temporal/go.mod tools/temporal/go.sum
	@mkdir -p bin; \
	if temporal server start-dev --help 2>/dev/null | grep -q -- --search-attribute; then \
	  echo "using the Temporal CLI $$(command -v temporal)"; ln -sf "$$(command -v temporal)" $@; \
	else \
	  echo "building the Temporal CLI (2 to 5 minutes, once)"; \
	  cd tools/temporal && $(GO_TOOL) -v -o ../../bin/temporal.part github.com/temporalio/cli/cmd/temporal 2>&1 | $(progress) && \
	  mv ../../bin/temporal.part ../../$@; \
	fi

bin/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	@mkdir -p bin; echo "building the linters (1 to 4 minutes, once)"; \
	cd tools/lint && $(GO_TOOL) -v -o ../../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint go.temporal.io/sdk/contrib/tools/workflowcheck 2>&1 | $(progress) && \
	touch ../../bin/golangci-lint

.PHONY: autocommit
autocommit:
	@cd tools/lint && $(GO_TOOL) -o ../../bin/autocommit ./autocommit

# progress shortens the names of modules and packages that go build prints to a line now and then; all else is shown.
progress = awk '/^go: downloading / { if (++mods % 100 == 0) print "  downloaded " mods " modules"; fflush(); next } \
	/^[a-z0-9.-]+(\/[A-Za-z0-9._~-]+)*$$/ { if (++pkgs % 250 == 0) print "  compiled " pkgs " packages"; fflush(); next } { print; fflush() }'
