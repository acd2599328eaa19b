# softcache: offline distillation of a big image classifier into many tiny ones.
# `make help` lists the targets. Everything is built under build/ (BUILD=dir for another place).

BUILD   ?= build
CC      ?= gcc
CFLAGS  ?= -O2 -g
WERROR  ?= $(if $(CI),-Werror,)
# Without nvcc everything but the CUDA backend is built. Sanitized builds have no use for it either: they have tests/shim.
NVCC    ?= $(shell command -v nvcc 2>/dev/null || ls /usr/local/cuda/bin/nvcc 2>/dev/null)
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(NVCC))
# Compute capabilities to build for: 90, or "75 80 90" (the last one also as PTX), native (this machine's GPUs), all, or
# ptx: PTX of 7.5 alone, which compiles soonest and which the driver translates for any GPU, but without its tensor cores.
CUDA_ARCHS ?= $(if $(shell nvidia-smi -L 2>/dev/null),native,ptx)

VERSION  := 0.1.0
PACKAGES := hdf5-serial libjpeg libpng libzstd libprotobuf-c libcjson libcrypto zlib
OBJ      := $(BUILD)/obj
TESTDIR  := $(BUILD)/tests

WARNINGS := -Wall -Wextra -Werror=switch -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wno-missing-field-initializers $(if $(WERROR),-Werror)
CPPFLAGS += -I. -I$(BUILD)/generated -DSOFTCACHE_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
# No contraction and no fast-math: results must not depend on how the compiler fuses (kernels ask for FMA themselves).
BASE_CFLAGS := -std=c11 -pthread -fPIC -ffp-contract=off -fno-math-errno
LDLIBS   += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -ldl -lpthread -lm
# Programs look for their libraries in ../lib first, so that a folder of `make dist` works wherever it lies. DT_RPATH, not
# DT_RUNPATH: it also holds for what the libraries themselves need.
# A Debian package has no use for that (RELOCATABLE=).
RELOCATABLE ?= yes
comma := ,
origin_path = $(if $(RELOCATABLE),-Wl$(comma)--disable-new-dtags$(comma)-rpath$(comma)'$$ORIGIN/$(1)')
RUNPATH := -Wl,--as-needed $(call origin_path,../lib)

PLUGIN     := $(BUILD)/plugins/libh5zstd.so
ONEDNN_ENGINE := $(BUILD)/softcache_onednn.so
ONNXRUNTIME_ENGINE := $(BUILD)/softcache_onnxruntime.so
VIEWS_LIBRARY := $(BUILD)/libsoftcache_views.so
# The only program that gives files of others to libhdf5.
HDF5_READER := $(BUILD)/softcache_hdf5_reader
PREFIX     ?= /usr/local
ONNX_PROTO := $(BUILD)/generated/onnx/onnx.pb-c
LIBRARY    := $(BUILD)/libsoftcache.a
# Which sources make what: folders named onednn, onnxruntime, cudnn, cuda, plain, webp and tiff are shared objects of their
# own, all other C is the library. Every .cu file outside of cudnn is the CUDA backend's, beside the .c file that does the same on the CPU.
CUDA_FOLDERS    := shared/device/cuda shared/training/cuda shared/inference/cuda shared/inference/plain
CUDA_SOURCES    := $(sort $(wildcard $(CUDA_FOLDERS:%=%/*.c) shared/*/*.cu shared/*/*/*.cu) shared/backend/backend_cuda.c)
CUDA_SOURCES    := $(filter-out shared/inference/cudnn/%,$(CUDA_SOURCES))
CUDNN_SOURCES   := $(sort $(wildcard shared/inference/cudnn/*.c shared/inference/cudnn/*.cu))
ONEDNN_SOURCES  := $(sort $(wildcard shared/inference/onednn/*.c))
# Decoders of big libraries, opened when the first such image is met; built where their headers are installed.
WEBP_PACKAGES   := libwebpdemux libwebp
TIFF_PACKAGES   := libtiff-4
IMAGE_CODECS    := $(if $(shell pkg-config --exists $(WEBP_PACKAGES) 2>/dev/null && echo yes),$(BUILD)/softcache_webp.so) \
	$(if $(shell pkg-config --exists '$(TIFF_PACKAGES) >= 4.5' 2>/dev/null && echo yes),$(BUILD)/softcache_tiff.so)
ONNXRUNTIME_SOURCES := $(sort $(wildcard shared/inference/onnxruntime/*.c))
LIBRARY_SOURCES := $(filter-out $(CUDA_SOURCES) $(CUDNN_SOURCES) $(ONEDNN_SOURCES) $(ONNXRUNTIME_SOURCES), \
	$(sort $(wildcard shared/*/*.c shared/*/*/*.c formats/*.c formats/*/*.c)))
object = $(patsubst %,$(OBJ)/%.o,$(1:%.c=%))
LIBRARY_OBJECTS := $(call object,$(LIBRARY_SOURCES)) $(OBJ)/onnx.pb-c.o $(OBJ)/kernel_texts.o $(OBJ)/page_texts.o
ONEDNN_OBJECTS  := $(call object,$(ONEDNN_SOURCES))
ONNXRUNTIME_OBJECTS := $(call object,$(ONNXRUNTIME_SOURCES))
CUDA_BACKEND    := $(if $(NVCC),$(if $(findstring -fsanitize,$(CFLAGS)),,$(BUILD)/softcache_cuda.so))
CUDA_OBJECTS    := $(call object,$(CUDA_SOURCES))
# The teacher's engine on the GPU, where cuDNN's headers are installed too.
CUDNN_HEADER    := $(if $(CUDA_BACKEND),$(shell echo '\#include <cudnn_graph.h>' | $(CC) -E -isystem $(CUDA_HOME)/include - >/dev/null 2>&1 && echo yes))
CUDNN_ENGINE    := $(if $(CUDNN_HEADER),$(BUILD)/softcache_cudnn.so)
CUDNN_OBJECTS   := $(call object,$(CUDNN_SOURCES))
# A program is its main.c and the other files of its folder; tests link the other files.
TEACHER_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(filter-out %/main.c,$(sort $(wildcard teacher_dump/*.c))))
STUDENT_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(filter-out %/main.c,$(sort $(wildcard student_train/*.c student_train/*/*.c)))) $(OBJ)/presets.o
PRESETS    := $(sort $(wildcard student_train/presets/*.net))
SUBMISSIONS := $(sort $(wildcard student_train/submissions/*.ini))
KERNEL_TEXTS := $(sort $(wildcard shared/quantise/kernels/*.inc))
PAGE_TEXTS := formats/export/student_page.html
PROGRAMS   := $(patsubst %/main.c,$(BUILD)/%,$(wildcard teacher_dump/main.c student_train/main.c))
TESTS      := $(patsubst tests/%.c,$(TESTDIR)/%,$(sort $(wildcard tests/test_*.c)))
# Tests link archives, so that each takes in only what it uses: the helpers, then the programs' files, then the library.
TEST_HELPERS := $(patsubst %.c,$(OBJ)/%.o,$(sort $(wildcard tests/helper_*.c)))
TEST_LIBRARIES := $(OBJ)/tests/libhelpers.a $(OBJ)/libprograms.a $(LIBRARY)
SYNTHETIC  := $(BUILD)/synthetic_images
# Make teachers of any speed, and answers, for scripts.
SCRIPT_TOOLS := $(TESTDIR)/net_teacher $(TESTDIR)/answers_of
# What tests give out as libonnxruntime.
STAND_IN   := $(TESTDIR)/stand_in/libonnxruntime.so
# Lets calls of the programs fail (scripts/torture.sh); the sanitizers' own allocators cannot be replaced.
FAULT_LIBRARIES := $(TESTDIR)/fault_injection.so $(TESTDIR)/file_recorder.so
FAULTS     := $(FAULT_LIBRARIES) $(TESTDIR)/power_loss
# What a folder of `make dist` carries to check and measure a GPU: the tests that drive kernels, the benchmarks.
DEVICE_TESTS := $(patsubst tests/%.c,$(TESTDIR)/%,$(sort $(shell grep -l '"tests/helper_device.h"' tests/test_*.c)))
# The CUDA backend on the tests' execution shim (tests/shim/README.md): compiled by gcc and g++, run without a GPU.
SHIM         := $(BUILD)/shim
# The teacher's engine there has no cuDNN: those files are left out that call it.
CUDNN_CALLERS := $(addprefix shared/inference/cudnn/,conv_%.c cublas_library.c cudnn_descriptor.c linear_layer.c teacher_libraries.c)
SHIM_TEACHER := $(filter-out $(CUDNN_CALLERS),$(CUDNN_SOURCES)) tests/shim/cudnn_stand_in.c
SHIM_RUNTIME := $(patsubst %.cpp,$(OBJ)/shim/%.o,$(sort $(wildcard tests/shim/*.cpp)))
# The same with losses in double, as on GPUs that have the units for it (shared/training/losses/float_pair.cuh).
SHIM_DOUBLE  := $(SHIM)/double/softcache_cuda.so
SHIM_LOSSES  := $(filter shared/training/losses/%,$(CUDA_SOURCES))
SHIM_BACKEND := $(SHIM)/softcache_cuda.so $(SHIM)/softcache_cudnn.so $(SHIM_DOUBLE) $(PROGRAMS:$(BUILD)/%=$(SHIM)/%)
SHIM_TESTS   := $(patsubst tests/%.cpp,$(TESTDIR)/%,$(sort $(wildcard tests/test_*.cpp)))
BENCHES    := $(patsubst tests/%.c,$(TESTDIR)/%,$(sort $(wildcard tests/bench_*.c)))
# Those that scripts/bench_cpu.py asks.
CPU_BENCHES := $(patsubst %,$(TESTDIR)/bench_%,cache limits teacher train)

# Everything is built, and tests run, on all processors, unless -j or JOBS says otherwise.
JOBS     ?= $(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),$(shell nproc))
QUIETLY   = --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
RUN_TESTS = JOBS=$(JOBS) scripts/run_tests.sh

.DEFAULT_GOAL := all
.PHONY: all help deps check-deps programs tests test check test-cuda test-parity bench bench-parts debug asan ubsan tsan fuzz coverage lint tidy
.PHONY: format torture demo layers install uninstall deb dist clean force
.SECONDARY:

all: check-deps ## build the two programs
	@$(MAKE) $(QUIETLY) programs

CUDA_BUILT = $(if $(filter ptx,$(CUDA_ARCHS)),as PTX$(comma) which the driver translates (docs/gpu.md: CUDA_ARCHS chooses GPUs),for $(if \
	$(filter native,$(CUDA_ARCHS)),this machine's GPUs,compute capability $(cuda_list)))
programs: $(PROGRAMS) $(PLUGIN) $(ONEDNN_ENGINE) $(ONNXRUNTIME_ENGINE) $(VIEWS_LIBRARY) $(HDF5_READER) $(IMAGE_CODECS) $(CUDA_BACKEND) $(CUDNN_ENGINE)
	@$(if $(NVCC),$(if $(CUDA_BACKEND),echo "CUDA backend: built $(strip $(CUDA_BUILT))",:),\
	echo "no nvcc found: built for the CPU only, which is complete. Install CUDA for the GPU backend.")

help: ## print this list
	@grep -hE '^[a-z][a-z_.-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z_.-]+):.*## /  \1\t/' | sort | expand -t 25

deps: ## install the Debian packages that are missing
	@scripts/install_deps.sh

check-deps:
	@scripts/install_deps.sh --check

clean: ## remove build/ and the other build folders
	rm -rf $(BUILD) $(addprefix build-,$(SANITIZERS)) build-fuzz build-coverage build-debug build-dist build-deb compile_commands.json

demo: deps ## install what is missing, build, distil a teacher into two students, print a table (minutes)
	@$(MAKE) $(QUIETLY) programs
	@BUILD=$(BUILD) scripts/demo.sh

# TESTS_ONLY="cache view" runs some tests, TEST_CASE='shard*' some of their cases.
test: deps ## install what is missing, build and run every test (TESTS_ONLY="cache view" TEST_CASE=shard: some of them)
	@$(MAKE) $(QUIETLY) tests
	@$(RUN_TESTS) $(TESTDIR) $(TESTS_ONLY)

check: deps ## run the tests that are quick (under a minute once built); tests/schedule.txt lists the others
	@$(MAKE) $(QUIETLY) tests
	@$(RUN_TESTS) --fast $(TESTDIR) $(TESTS_ONLY)

debug: deps ## build the programs and tests for a debugger in build-debug/ (-O0 -g3)
	@$(MAKE) $(QUIETLY) BUILD=build-debug CFLAGS="-O0 -g3" CUDA_BACKEND= CUDNN_ENGINE= programs tests

# What editors and clang-tidy read: every compiler call of a build, printed by make -n, which needs no build.
compile_commands.json: $(ONNX_PROTO).h force ## write compile_commands.json for editors
	@$(MAKE) --no-print-directory -n -B programs tests | scripts/compile_commands.sh >$@
	@echo "$@: $$(grep -c '"file"' $@) sources"

tidy: compile_commands.json ## run clang-tidy on the C sources (minutes)
	@scripts/tidy.sh $(TIDY_FILES)

# The program of a test that was renamed or removed would still be run.
tests: programs $(TESTS) $(SYNTHETIC) $(SCRIPT_TOOLS) $(CPU_BENCHES) $(STAND_IN) $(FAULTS) $(SHIM_TESTS) $(SHIM_BACKEND)
	@rm -f $(filter-out $(TESTS) $(SHIM_TESTS),$(wildcard $(TESTDIR)/test_*))

.PHONY: bench-programs
bench-programs: $(BENCHES)

# TORTURE_POINTS=N: so many points of each kind, drawn with TORTURE_SEED, instead of all. A complaint does not end the hours.
torture: deps ## fail every allocation and file call, kill at any moment, flip every byte (hours)
	@$(MAKE) $(QUIETLY) programs $(SYNTHETIC) $(SCRIPT_TOOLS) $(FAULTS) $(TESTDIR)/test_damage
	@code=0; BUILD=$(BUILD) scripts/torture_kills.sh $(if $(TORTURE_SEED),--seed $(TORTURE_SEED)) || code=1; \
		DAMAGE_STEP=1 $(TESTDIR)/test_damage || code=1; \
		BUILD=$(BUILD) scripts/torture.sh $(if $(TORTURE_POINTS),--points $(TORTURE_POINTS)) $(if $(TORTURE_SEED),--seed $(TORTURE_SEED)) || code=1; exit $$code

# Ten minutes on a quiet machine with two processors. Without torch and its kin it measures softcache alone, and leaves the page as it is.
bench: deps ## measure everything on the CPU beside PyTorch and its kin, and write docs/benchmarks/cpu.md
	@$(MAKE) $(QUIETLY) programs $(CPU_BENCHES) $(SYNTHETIC)
	@command -v $(SOFTCACHE_PYTHON) >/dev/null || { echo "bench: needs python3 (SOFTCACHE_PYTHON names another)"; exit 69; }
	@$(SOFTCACHE_PYTHON) scripts/bench_cpu.py --build $(BUILD) --out docs/benchmarks/cpu.md

bench-parts: deps ## run each benchmark program by itself, and every teacher in both engines
	@$(MAKE) $(QUIETLY) programs bench-programs
	@set -e; for bench in $(filter-out %/bench_teacher %/bench_cache,$(BENCHES)); do echo "== $$bench"; $$bench; done # those two need files
	@BUILD=$(BUILD) scripts/bench_teachers.sh

# The kernels on a GPU: make test runs the same tests on the execution shim.
test-cuda: deps ## run the tests that drive kernels on this machine's GPU
	@nvidia-smi -L 2>/dev/null | grep -q GPU || { echo "test-cuda: no GPU here; make test runs the kernels without one"; exit 69; }
	@[ -n "$(CUDA_BACKEND)" ] || { echo "test-cuda: no nvcc here, so no softcache_cuda.so"; exit 69; }
	@$(MAKE) $(QUIETLY) programs $(DEVICE_TESTS)
	@SOFTCACHE_TEST_CUDA=$(abspath $(CUDA_BACKEND)) \
		$(RUN_TESTS) $(TESTDIR) $(or $(TESTS_ONLY),$(DEVICE_TESTS:$(TESTDIR)/test_%=%))

# Models too large to commit; needs a Python with torch, torchvision, onnx, safetensors and numpy.
SOFTCACHE_PYTHON ?= python3
test-parity: deps ## compare full-size ResNet-18, VGG-11-BN and MobileNetV2 with PyTorch (minutes)
	@$(MAKE) $(QUIETLY) programs $(TESTDIR)/test_onnx_models
	$(SOFTCACHE_PYTHON) tests/golden/make_onnx_models.py --full $(BUILD)/full-models
	SOFTCACHE_FULL_MODELS=$(BUILD)/full-models $(TESTDIR)/test_onnx_models

# Every test, built in a folder of its own with a sanitizer.
SANITIZERS := asan ubsan tsan
asan: SANITIZE  := address,undefined,float-cast-overflow
ubsan: SANITIZE := undefined,float-cast-overflow
tsan: SANITIZE  := thread
asan: ## run the tests under AddressSanitizer and UndefinedBehaviorSanitizer
ubsan: ## run the tests under UndefinedBehaviorSanitizer
tsan: ## run the tests under ThreadSanitizer
$(SANITIZERS): deps
	@$(MAKE) $(QUIETLY) BUILD=build-$@ \
		CFLAGS="-O1 -g1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all" tests
	@$(RUN_TESTS) build-$@/tests $(TESTS_ONLY)

# One driver a reader: tests/fuzz_NAME.c; what they find is kept in build-fuzz/corpus/NAME between runs. FUZZ_RUNS=1000000: so many
# runs of each, FUZZ_ONLY="net shard": of some. Kernels are left as they are: no reader calls them.
FUZZ_SECONDS ?= $(if $(FUZZ_RUNS),0,30)
FUZZ_RUNS    ?=
FUZZ_ONLY    ?=
FUZZERS      := $(patsubst tests/%.c,build-fuzz/tests/%,$(sort $(if $(FUZZ_ONLY),$(FUZZ_ONLY:%=tests/fuzz_%.c),$(wildcard tests/fuzz_*.c))))
fuzz: deps ## fuzz every reader for FUZZ_SECONDS or FUZZ_RUNS each with libFuzzer (needs clang)
	@command -v clang >/dev/null || { echo "fuzz: needs clang (apt-get install clang)"; exit 69; }
	@$(MAKE) $(QUIETLY) CC=clang BUILD=build-fuzz LDFLAGS="-fsanitize=fuzzer" \
		CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow -fno-sanitize-recover=all" $(FUZZERS) \
		$(IMAGE_CODECS:$(BUILD)/%=build-fuzz/%)
	@scripts/run_fuzzers.sh --seconds $(FUZZ_SECONDS) $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS)) $(FUZZERS)

# Tests that drive kernels call no reader or writer that others do not call, and are left out: they need the shim. test_faults is, too: programs
# that count their branches cannot write these down at their end where no allocation succeeds any more.
COVERAGE_TESTS := $(sort $(shell grep -LE 'helper_device.h|shim|make_dist|layers.sh|torture.sh' tests/test_*.c tests/test_*.sh))
COVERAGE_FLAGS := -fprofile-arcs -ftest-coverage
coverage: deps ## run tests and print how many lines and branches of formats/ they take (needs gcov)
	@$(MAKE) $(QUIETLY) BUILD=build-coverage CUDA_BACKEND= CUDNN_ENGINE= CFLAGS="$(CFLAGS) $(COVERAGE_FLAGS)" coverage-tests
	@find build-coverage -name '*.gcda' -delete
	@$(RUN_TESTS) build-coverage/tests $(or $(TESTS_ONLY),$(patsubst tests/test_%,%,$(basename $(COVERAGE_TESTS)))); code=$$?; \
		[ $$code -eq 0 ] || echo "coverage: tests failed; the figures below are of this run all the same"; \
		scripts/coverage.sh build-coverage formats && exit $$code

.PHONY: coverage-tests
coverage-tests: programs $(patsubst tests/%.c,$(TESTDIR)/%,$(filter %.c,$(COVERAGE_TESTS))) $(SYNTHETIC) $(SCRIPT_TOOLS) $(CPU_BENCHES) $(STAND_IN) $(FAULTS)

lint: ## check formatting and run static analysis, where the tools are installed
	@scripts/lint.sh

format: ## format every source
	@clang-format -i $(shell find shared formats teacher_dump student_train tests -regex '.*\.\([ch]\|cu\|cuh\|cpp\)' \
		! -path 'tests/golden/*')

layers: $(ONNX_PROTO).h ## prove that includes point one way and that headers compile alone
	@BUILD=$(BUILD) scripts/layers.sh

SHARED_OBJECTS = $(VIEWS_LIBRARY) $(ONEDNN_ENGINE) $(ONNXRUNTIME_ENGINE) $(IMAGE_CODECS) $(CUDA_BACKEND) $(CUDNN_ENGINE)
install: all ## install programs, manual pages, completions, the C library that reads caches under PREFIX (/usr/local; DESTDIR is honoured)
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) VERSION=$(VERSION) scripts/install.sh $(BUILD) $(PROGRAMS) $(SHARED_OBJECTS)

uninstall: ## remove what install has put under PREFIX
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) scripts/install.sh --remove

# For every GPU, in folders of their own: nothing of a development build is taken.
EVERY_GPU = $(if $(filter file,$(origin CUDA_ARCHS)),CUDA_ARCHS=all)

# A package's programs find their libraries where the system has them, and are hardened by
# the flags that dpkg-buildflags of Debian 12 prints with hardening=+bindnow: they read files of others.
HARDENING := -fstack-protector-strong -Wformat -Werror=format-security -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -Wl,-z,relro,-z,now
deb: ## install what is missing, make a Debian package in build/
	@scripts/install_deps.sh --deb
	@$(MAKE) $(QUIETLY) BUILD=build-deb RELOCATABLE= CFLAGS="$(CFLAGS) $(HARDENING)" $(EVERY_GPU) programs
	@VERSION=$(VERSION) scripts/make_deb.sh build-deb $(BUILD)

dist: deps ## make a relocatable folder and archive under build/dist (ONEDNN=1: with the CPU teacher's library, 40 MB)
	@$(MAKE) $(QUIETLY) BUILD=build-dist DIST=$(BUILD)/dist $(EVERY_GPU) dist-folder

.PHONY: dist-folder
dist-folder: programs $(SYNTHETIC) $(DEVICE_TESTS) $(BENCHES)
	@ONEDNN=$(ONEDNN) DIST=$(DIST) scripts/make_dist.sh $(BUILD) $(VERSION) $(DEVICE_TESTS) $(BENCHES)

# ---- how things are built ----
$(ONNX_PROTO).c $(ONNX_PROTO).h &: /usr/include/onnx/onnx.proto
	@mkdir -p $(BUILD)/generated/onnx
	protoc-c --proto_path=/usr/include/onnx --c_out=$(BUILD)/generated/onnx /usr/include/onnx/onnx.proto

$(OBJ)/onnx.pb-c.o: $(ONNX_PROTO).c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(CFLAGS) -w -c $< -o $@

# The presets become string literals of the program: nothing is looked up at run time.
literals = for file in $(1); do name=$$(basename $$file); echo "{\"$${name%.*}\","; \
	sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' $$file; echo '},'; done
$(BUILD)/generated/presets.c: $(PRESETS) $(SUBMISSIONS) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "student_train/student/preset.h"'; \
	echo 'const struct preset presets[] = {'; $(call literals,$(PRESETS)); echo '};'; \
	echo 'const int preset_count = sizeof presets / sizeof *presets;'; \
	echo 'const struct option_preset submissions[] = {'; $(call literals,$(SUBMISSIONS)); echo '};'; \
	echo 'const int submission_count = sizeof submissions / sizeof *submissions;'; } > $@

# So do the functions that student.c is made of; the library compiles the same files.
$(BUILD)/generated/kernel_texts.c: $(KERNEL_TEXTS) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "formats/export/student_c_writer.h"'; \
	echo 'const struct kernel_text kernel_texts[] = {'; $(call literals,$(KERNEL_TEXTS)); echo '};'; \
	echo 'const int kernel_text_count = sizeof kernel_texts / sizeof *kernel_texts;'; } > $@

# The fuzz drivers without libFuzzer, their two functions under names of their own, for the test that replays tests/corpus.
CORPUS_DRIVERS := $(patsubst tests/fuzz_%.c,%,$(sort $(wildcard tests/fuzz_*.c)))
$(BUILD)/generated/fuzz_drivers.h: $(CORPUS_DRIVERS:%=tests/fuzz_%.c) Makefile
	@mkdir -p $(@D)
	@printf 'DRIVER(%s)\n' $(CORPUS_DRIVERS) >$@
$(OBJ)/tests/test_corpus.o: $(BUILD)/generated/fuzz_drivers.h
$(OBJ)/corpus/%.o: tests/fuzz_%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(WARNINGS) -DLLVMFuzzerTestOneInput=fuzz_$* -DLLVMFuzzerInitialize=fuzz_$*_start \
		$(filter-out $(COVERAGE),$(CFLAGS)) -MMD -MP -c $< -o $@
$(TESTDIR)/test_corpus: $(CORPUS_DRIVERS:%=$(OBJ)/corpus/%.o)

$(OBJ)/kernel_texts.o: $(BUILD)/generated/kernel_texts.c formats/export/student_c_writer.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(WARNINGS) $(CFLAGS) -c $< -o $@

# And the web page that a student becomes.
$(BUILD)/generated/page_texts.c: $(PAGE_TEXTS) Makefile
	@mkdir -p $(@D)
	@{ echo 'extern const struct page_text { const char *name, *text; } page_texts[];'; \
	echo 'const struct page_text page_texts[] = {'; $(call literals,$(PAGE_TEXTS)); echo '};'; } > $@

$(OBJ)/page_texts.o: $(BUILD)/generated/page_texts.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(WARNINGS) $(CFLAGS) -c $< -o $@

$(OBJ)/presets.o: $(BUILD)/generated/presets.c student_train/student/preset.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(WARNINGS) $(CFLAGS) -c $< -o $@

# The CPU kernels: one source for every instruction set, chosen at run time; these files do want contraction to FMA.
# A sanitized build keeps its own optimisation: instrumented kernels take many minutes to compile at -O3. UndefinedBehaviorSanitizer
# doubles that, and finds what there is in the generic kernels, of the same source; make fuzz calls no kernel: -O0 compiles soonest.
KERNELS := $(OBJ)/shared/training/cpu/cpu_kernels_
KERNEL_CFLAGS := $(if $(findstring -fsanitize,$(CFLAGS)),,-O3) $(if $(findstring -fsanitize=fuzzer,$(CFLAGS)),-fno-sanitize=all -O0) -ffp-contract=fast
ISA_CFLAGS := $(KERNEL_CFLAGS) $(if $(findstring undefined,$(CFLAGS)),-fno-sanitize=undefined$(comma)float-cast-overflow)
AVX512 := -mavx512f -mavx512vl -mavx512bw -mavx512dq -mfma
$(KERNELS)avx512_bf16.o: FILE_CFLAGS := $(ISA_CFLAGS) $(AVX512) -mavx512bf16
$(KERNELS)avx512.o: FILE_CFLAGS := $(ISA_CFLAGS) $(AVX512)
$(KERNELS)avx2.o: FILE_CFLAGS := $(ISA_CFLAGS) -mavx2 -mfma
$(KERNELS)generic.o: FILE_CFLAGS := $(KERNEL_CFLAGS)

# A quantised student and its float form on the host: the same loops as in student.c, for the compiler to vectorise.
$(OBJ)/shared/quantise/int8_run.o $(OBJ)/shared/quantise/lowered_run.o: FILE_CFLAGS := $(if $(findstring -fsanitize,$(CFLAGS)),,-O3)

# For make coverage: only formats/ is counted, and not optimised, which would merge branches. The rest is compiled as always.
COVERAGE := $(filter -fprofile-arcs -ftest-coverage,$(CFLAGS))
COUNTED   = $(if $(filter formats/%,$<),$(CFLAGS) -O0,$(filter-out $(COVERAGE),$(CFLAGS)))

$(OBJ)/%.o: %.c | $(ONNX_PROTO).h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(WARNINGS) $(if $(COVERAGE),$(COUNTED),$(CFLAGS)) $(FILE_CFLAGS) -MMD -MP -c $< -o $@

# HDF5's filter for zstd as a plugin: it needs no symbol of libhdf5, so that any HDF5 program can load it. Never sanitized:
# those programs are not.
$(PLUGIN): formats/cache/zstd_filter.c formats/cache/zstd_filter.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DZSTD_FILTER_PLUGIN $(BASE_CFLAGS) $(WARNINGS) $(filter-out -fsanitize% -fno-sanitize% $(COVERAGE),$(CFLAGS)) -shared $< -o $@ $(call origin_path,../..) -lzstd

# The teacher's engine on the CPU, opened when a teacher is loaded: its own copies of what it uses of the library.
$(ONEDNN_ENGINE): $(ONEDNN_OBJECTS) $(LIBRARY)
	$(CC) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL $^ -o $@ -ldnnl -lgomp -lpthread -lm

# The engine of teachers that our reader does not know: it looks for libonnxruntime at run time, and needs nothing to be built.
$(ONNXRUNTIME_ENGINE): $(ONNXRUNTIME_OBJECTS) $(LIBRARY)
	$(CC) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL $^ -o $@ -ldl -lpthread -lm

# What other languages call (formats/cache/cache_library.h): it exports that header's functions and nothing else.
$(VIEWS_LIBRARY): $(call object,formats/cache/cache_library.c formats/cache/cache_library_shard.c) $(LIBRARY)
	$(CC) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL,--as-needed,--no-undefined $^ -o $@ $(LDLIBS)

$(HDF5_READER): $(call object,formats/cache/hdf5/hdf5_reader.c) $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -Wl,--as-needed $(call origin_path,..) $^ -o $@ $(LDLIBS)

# Decoders of image formats, with their own copies of what they use of the library.
$(BUILD)/softcache_webp.so: $(call object,formats/image/webp/webp_codec.c) $(LIBRARY)
	$(CC) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL $^ -o $@ $(shell pkg-config --libs $(WEBP_PACKAGES)) -lpthread -lm

$(BUILD)/softcache_tiff.so: $(call object,formats/image/tiff/tiff_codec.c) $(LIBRARY)
	$(CC) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL $^ -o $@ $(shell pkg-config --libs $(TIFF_PACKAGES)) -lpthread -lm

# The CUDA backend, opened at run time: it needs nothing but the driver. CUDA's own headers are not held to our warnings.
cuda_list  := $(patsubst all,75 80 86 89 90 100 120,$(subst $(comma), ,$(CUDA_ARCHS)))
# One PTX for GPUs that the list does not name, older than the list's last or newer: the first with bf16 in its tensor cores.
cuda_ptx   := $(firstword $(filter-out 75,$(cuda_list)) $(cuda_list))
CUDA_CODE  := $(if $(filter native,$(cuda_list)),-arch=native,$(if $(filter ptx,$(cuda_list)),-gencode=arch=compute_75$(comma)code=compute_75,\
	$(foreach arch,$(cuda_list),-gencode=arch=compute_$(arch)$(comma)code=sm_$(arch)) -gencode=arch=compute_$(cuda_ptx)$(comma)code=compute_$(cuda_ptx)))
NVCC_FLAGS := -std=c++17 -O3 $(CUDA_CODE) --threads=2 -I. -I$(BUILD)/generated -Xcompiler=-fPIC,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics \
	-Xcompiler=-Wall,-Wextra,-Wshadow \
	$(if $(WERROR),-Werror=all-warnings -Xcompiler=-Werror)
$(OBJ)/nvcc_flags: force
	@mkdir -p $(@D)
	@echo '$(NVCC) $(NVCC_FLAGS)' | cmp -s - $@ || echo '$(NVCC) $(NVCC_FLAGS)' > $@

$(OBJ)/%.cu.o: %.cu $(OBJ)/nvcc_flags
	@mkdir -p $(@D)
	$(NVCC) $(NVCC_FLAGS) --compress-mode=size -MMD -MP -MF $(@:.o=.d) -c $< -o $@

CUDA_C_OBJECTS := $(call object,$(filter %.c,$(CUDA_SOURCES) $(CUDNN_SOURCES)))
$(CUDA_C_OBJECTS): FILE_CFLAGS := -isystem $(CUDA_HOME)/include
$(CUDA_BACKEND): $(CUDA_OBJECTS) $(LIBRARY)
	$(CC) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL,--no-undefined $^ -o $@ -L$(CUDA_HOME)/lib64 \
		-lcudart_static -lrt -ldl -lpthread -lm

# The teacher's engine, opened when a teacher is loaded: it needs cuDNN and cuBLASLt, which are found where they are installed.
$(CUDNN_ENGINE): $(CUDNN_OBJECTS) $(LIBRARY)
	$(CC) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL,--no-undefined,-rpath,'$$ORIGIN' $^ -o $@ -L$(CUDA_HOME)/lib64 \
		-lcudnn_graph -lcudart_static -lcrypto -lrt -ldl -lpthread -lm

# Kernels address memory as other types than it was stored as: nvcc knows no strict aliasing. A unique symbol would be
# shared between objects that hold the same kernel. ThreadSanitizer does not see kernels: no two of their threads run at once.
SHIM_CFLAGS   = -Itests/shim/include $(CPPFLAGS) $(BASE_CFLAGS) $(filter-out $(COVERAGE),$(CFLAGS))
SHIM_CXXFLAGS = -std=gnu++17 $(filter-out -std=% -fsanitize=thread,$(SHIM_CFLAGS)) -fno-strict-aliasing -fno-gnu-unique -Wall -Wextra \
	-Wshadow=local -Wno-unknown-pragmas -Wno-missing-field-initializers $(if $(WERROR),-Werror)
$(OBJ)/shim/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(CXX) -x c++ $(SHIM_CXXFLAGS) -MMD -MP -c $< -o $@

$(OBJ)/shim/double/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(CXX) -x c++ -DLOSSES_IN_DOUBLE $(SHIM_CXXFLAGS) -MMD -MP -c $< -o $@

$(OBJ)/shim/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(SHIM_CXXFLAGS) -MMD -MP -c $< -o $@

$(OBJ)/shim/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(SHIM_CFLAGS) $(WARNINGS) -MMD -MP -c $< -o $@

$(SHIM)/softcache_cuda.so: $(CUDA_SOURCES:%=$(OBJ)/shim/%.o) $(SHIM_TEACHER:%=$(OBJ)/shim/%.o) $(SHIM_RUNTIME) $(LIBRARY)
$(SHIM_DOUBLE): $(SHIM_LOSSES:%=$(OBJ)/shim/double/%.o) $(patsubst %,$(OBJ)/shim/%.o,$(filter-out $(SHIM_LOSSES),$(CUDA_SOURCES)) \
	$(SHIM_TEACHER)) $(SHIM_RUNTIME) $(LIBRARY)
$(SHIM)/softcache_cuda.so $(SHIM_DOUBLE):
	@mkdir -p $(@D)
	$(CXX) $(CFLAGS) -shared -Wl,-Bsymbolic,--exclude-libs,ALL -Wl,--no-undefined $^ -o $@ -ldl -lpthread -lm

# One object under both names, so that both have the one runtime of the shim.
$(SHIM)/softcache_cudnn.so: $(SHIM)/softcache_cuda.so
	ln -f $< $@

# Programs look for a backend in their own folder first.
$(PROGRAMS:$(BUILD)/%=$(SHIM)/%): $(SHIM)/%: $(BUILD)/%
	@mkdir -p $(@D)
	ln -f $< $@

$(SHIM_TESTS): $(TESTDIR)/%: $(OBJ)/shim/tests/%.o $(SHIM_RUNTIME)
	@mkdir -p $(@D)
	$(CXX) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lcmocka -ldl -lpthread -lm

$(LIBRARY): $(LIBRARY_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/teacher_dump: $(OBJ)/teacher_dump/main.o $(TEACHER_OBJECTS) $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) $(RUNPATH) $^ -o $@ $(LDLIBS)

$(BUILD)/student_train: $(OBJ)/student_train/main.o $(STUDENT_OBJECTS) $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) $(RUNPATH) $^ -o $@ $(LDLIBS)

$(TESTS) $(SHIM_TESTS): $(OBJ)/tests/filter_cases.o
$(TESTS) $(BENCHES): | $(HDF5_READER) $(ONEDNN_ENGINE) $(ONNXRUNTIME_ENGINE) $(IMAGE_CODECS)
$(TESTDIR)/%: $(OBJ)/tests/%.o $(TEST_LIBRARIES)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $(WRAPPED) $(RUNPATH) $(filter %.o,$^) $(filter %.a,$^) -o $@ $(LDLIBS) -lcmocka

# Calls of our own objects that these tests let fail: of the C library and of ours (tests/helper_failing_calls.c).
FAILING_CALLS := malloc calloc realloc aligned_alloc strdup strndup open_memstream asprintf arena_alloc arena_strdup arena_printf openat open \
	fopen fdopendir readdir read pread write pwrite lseek fstat fstatat fsync ftruncate flock mkdir mkdirat unlinkat renameat realpath readlink \
	memfd_create pipe2 poll waitpid mmap posix_spawn posix_spawn_file_actions_init posix_spawnattr_init posix_spawn_file_actions_adddup2 \
	posix_spawn_file_actions_addopen posix_spawn_file_actions_addclosefrom_np
# And of other libraries: every function that has a line in that file.
FAILING_CALLS += $(shell sed -n 's/^WRAP[A-Z_]*.\([^,]*\), .*/\1/p' tests/helper_failing_libraries.c)
FAILING_TESTS := $(addprefix $(TESTDIR)/test_,failing_library failing_readers failing_writers onnx_names)
$(FAILING_TESTS): $(OBJ)/tests/helper_failing_libraries.o
$(FAILING_TESTS): private WRAPPED := $(FAILING_CALLS:%=-Wl,--wrap=%)

$(STAND_IN): $(OBJ)/tests/stand_in_onnxruntime.o $(OBJ)/shared/tensor/half.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -shared $^ -o $@

$(FAULT_LIBRARIES): $(TESTDIR)/%.so: tests/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(filter-out -fsanitize% -fno-sanitize% $(COVERAGE),$(CFLAGS)) -fPIC -shared $< -o $@ -ldl -lpthread

$(TESTDIR)/power_loss: $(OBJ)/tests/power_loss.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@

$(OBJ)/tests/libhelpers.a: $(TEST_HELPERS)
	@rm -f $@
	ar rcs $@ $^

$(OBJ)/libprograms.a: $(TEACHER_OBJECTS) $(STUDENT_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(SYNTHETIC): $(OBJ)/tests/synthetic_images.o $(TEST_LIBRARIES)
	$(CC) $(CFLAGS) $(LDFLAGS) $(RUNPATH) $^ -o $@ $(LDLIBS)

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
