# Every command of the project. `make` lists them; each does the set-up that it needs.
PRESET ?= release
TARGETS ?= all
SERVER := build/$(PRESET)/gradwire-server
PYTHON := .venv/bin/python
STUBS := client/python/gradwire/_proto/gradwire/v1/gradwire_pb2.py
# One job a core, but no more than one for each 2 GiB of free memory.
JOBS ?= $(shell awk -v n=$$(nproc) '/MemAvailable/ {m = int($$2 / 2097152); \
                                     print m < 1 ? 1 : m < n ? m : n}' /proc/meminfo)
TEST := $(PYTHON) tests/run.py

.PHONY: help setup stubs configure build demo load load-table soak run lint format docs clean
.PHONY: test test-unit test-ops test-e2e test-onnx test-random test-gradients test-programs test-clients test-deploy
.PHONY: test-asan test-tsan image-check bench fuzz cuda cuda-bundle test-cuda bench-cuda test-cuda-host

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: build/setup.stamp  ## install what is missing: Debian packages, Python environment

ifeq ($(wildcard $(PYTHON)),)
.PHONY: build/setup.stamp
endif
build/setup.stamp: scripts/setup.sh scripts/packages.sh deploy/packages/build.txt deploy/packages/test.txt \
                   tests/requirements.txt client/python/pyproject.toml
	@scripts/setup.sh
	@mkdir -p build && touch $@

stubs: $(STUBS)  ## generate the Python stubs of the .proto files

$(STUBS): scripts/python_stubs.sh $(wildcard proto/gradwire/v1/*.proto) | setup
	@scripts/python_stubs.sh

configure: build/$(PRESET)/build.ninja

build/$(PRESET)/build.ninja: CMakePresets.json | setup
	cmake --preset $(PRESET)

build: configure  ## build the server and the C++ tests (PRESET=release|debug|asan|tsan|cuda)
	cmake --build --preset $(PRESET) -j $(JOBS) --target $(TARGETS)

demo: build stubs  ## train two models on a server on this machine
	$(PYTHON) client/python/examples/demo.py --server $(SERVER) --out build/demo

LOAD := scripts/load.sh build/$(PRESET)

load: TARGETS = gradwire-server gradwire-bench
load: build  ## a load test with a report and plots (LOAD_FLAGS=... of gradwire-bench)
	@$(LOAD) build/load $(LOAD_FLAGS)

load-table: TARGETS = gradwire-server gradwire-bench
load-table: build  ## measures the README's table of what one server holds (2.5 minutes)
	@$(PYTHON) scripts/load_table.py build/$(PRESET)

soak: TARGETS = gradwire-server gradwire-bench
soak: build  ## ten minutes of it, with clients that die: no wrong answer, no growth of memory
	@$(LOAD) build/soak --duration=10m --ramp=2m --sessions=100 --die=0.002 --lease=10s --max_rss_growth=0.1 $(LOAD_FLAGS)

run: build  ## serve until Ctrl-C
	$(SERVER)

test:  ## everything; ends with 'N passed, N failed'
	@$(MAKE) -s --no-print-directory setup stubs build/clients.stamp build/deploy.stamp || { echo '0 passed, 1 failed'; exit 1; }
	@$(TEST) build tools lint unit ops cuda nvcc e2e fuzz onnx random gradients clients deploy

test-unit: stubs  ## C++ unit tests
	@$(TEST) build unit

test-ops: stubs  ## operators against their oracles
	@$(TEST) build ops

cuda: build/cuda/build.ninja  ## build the CUDA library, for sm_80, sm_90 and sm_100
	cmake --build --preset cuda -j $(JOBS) --target gradwire_cuda

build/cuda/build.ninja: CMakePresets.json | setup
	cmake --preset cuda

cuda-bundle: TARGETS = gradwire_op_tests gradwire-server
cuda-bundle: build cuda stubs  ## pack what test-cuda and bench-cuda need on a machine with a GPU
	@scripts/cuda_bundle.sh

test-cuda:  ## operators, sessions and plans on the first GPU; needs no package, but what cuda-bundle packed
	@scripts/test_cuda.sh

bench-cuda:  ## speed on the first GPU against PyTorch there; needs what cuda-bundle packed (BENCH_FLAGS=...)
	@scripts/bench_cuda.sh $(BENCH_FLAGS)

test-cuda-host: stubs  ## the CUDA backend without a GPU: its kernels as plain C++, and that nvcc builds them
	@$(TEST) build cuda nvcc

test-e2e: stubs  ## a server and the Python client
	@$(TEST) build e2e

test-onnx: stubs  ## the ONNX backend test suite
	@$(TEST) build onnx

test-random: stubs  ## random calls of every operator against onnx's reference evaluator
	@$(TEST) build random

test-clients: stubs build/clients.stamp  ## the clients in every language, against one server
	@$(TEST) build clients

build/clients.stamp: deploy/packages/clients.txt | setup
	@scripts/packages.sh $<
	@touch $@

test-deploy: stubs build/deploy.stamp  ## deploy/: nginx before three servers, and linters
	@$(TEST) build deploy

build/deploy.stamp: deploy/packages/deploy.txt | setup
	@scripts/packages.sh $<
	@touch $@

image-check: stubs build/deploy.stamp  ## the Dockerfile's steps without a container engine (as root, 20 minutes; IMAGE=cpu|cuda)
	scripts/image_check.sh $(IMAGE)

test-gradients: stubs build/gradients.stamp  ## gradients of operators, random programs and models, and PyTorch's
	@rm -f build/gradients.txt
	@$(TEST) build gradcheck programs models; status=$$?; cat build/gradients.txt; exit $$status

test-programs: stubs build/gradients.stamp  ## gradients of random programs against PyTorch's
	@$(TEST) build programs

build/gradients.stamp: tests/requirements-gradients.txt | setup
	@echo "Installing PyTorch into .venv"
	@$(PYTHON) -m pip install -q --disable-pip-version-check -r $<
	@touch $@

bench: build stubs build/gradients.stamp build/bench.stamp  ## speed against the peers (NAME=train|infer|overhead|rpc|transfer|scale)
	$(PYTHON) tests/bench/run.py --build=build/$(PRESET) $(BENCH_FLAGS) $(NAME)

build/bench.stamp: tests/requirements-bench.txt | setup
	@echo "Installing the peers into .venv"
	@$(PYTHON) -m pip install -q --disable-pip-version-check -r $<
	@touch $@

test-asan: stubs  ## C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(TEST) --preset asan build unit ops fuzz

test-tsan: setup  ## C++ unit tests under ThreadSanitizer
	@$(TEST) --preset tsan build unit

FUZZ_SECONDS ?= 60

fuzz: stubs build/fuzz.stamp  ## libFuzzer on each decoder and on whole requests (FUZZ_SECONDS=60 each, FUZZ=target...)
	@$(MAKE) -s --no-print-directory build PRESET=fuzz TARGETS=gradwire_fuzz
	scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ)

build/fuzz.stamp: deploy/packages/fuzz.txt | setup
	@scripts/packages.sh $<
	@touch $@

lint: stubs configure  ## formatting, size limits, layering, clang-tidy, mypy
	@cmake --build --preset $(PRESET) --target gradwire_proto gradwire_raw_proto
	@$(TEST) lint

docs: build stubs  ## write docs/gradients_table.md from the server's support matrix
	$(PYTHON) scripts/gradients_table.py $(SERVER)

format: setup  ## format the C++ sources
	@$(PYTHON) tests/lint/format.py --fix

clean:  ## remove everything that was built or installed here
	rm -rf build .venv client/python/gradwire/_proto
