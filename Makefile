# Every target does the set-up it needs; a second one installs nothing.
PYTHON ?=
export PYTHON
BIN := .venv/bin

.PHONY: help setup demo serve airflow airflow-demo airflow-lock test test-slow test-airflow lint clean bench-drift bench-report bench-nodes bench-train bench-tasks bench-serve endure-serve bench-score bench-scale bench-memory fuzz-serve

help:
	@echo "make demo    set up, train on the movie reviews, push the model, see it answer;"
	@echo "             TASK=multiclass, ner or qa for another task than binary classification"
	@echo "make serve   serve the last pushed model over gRPC and REST, with a page to try it: http://127.0.0.1:8501"
	@echo "make airflow-demo   set up, Airflow too, and run a small pipeline as a DAG: web interface on 127.0.0.1:8080"
	@echo "             PORT=... another port; WAIT=0 end when the run has ended"
	@echo "make test    set up, run the tests, a whole pipeline run among them"
	@echo "make test-slow   whole runs of the other tasks, of the Beam engine and of the tfx command"
	@echo "make test-airflow   set up, Airflow too; DAGs under its real scheduler"
	@echo "make lint    set up, ruff and mypy"
	@echo "make bench-drift    how often drift is told, and told wrongly"
	@echo "make bench-report   how long a report of 100,000 rows takes, and how fast it opens"
	@echo "make bench-nodes    a run node by node beside the same run in one process"
	@echo "make bench-train [PEER=...]   an epoch of training, padded to 128, and a peer's: benchmarks/README.md"
	@echo "make bench-tasks DATA=... [PEER=...]   the tasks on public data, beside a peer: benchmarks/README.md"
	@echo "make bench-serve [PEER=...]   latency and throughput of the server, and a peer's: benchmarks/README.md"
	@echo "make endure-serve   version switches under load, memory over 100,000 requests, restart after kill -9"
	@echo "make bench-score CONFIG=... SOURCE=... [ROWS=1000000]   rows/s and memory of a scoring: benchmarks/README.md"
	@echo "make bench-scale   check, split, data components and Transform on 1,306,122 rows, beside TFX's own: 20 minutes"
	@echo "make bench-memory CONFIG=...   memory of training, predict and drift at 130,612 and 1,306,122 rows"
	@echo "make fuzz-serve     10,000 malformed requests and more"
	@echo "make setup   the set-up alone: .venv with the locked packages"
	@echo "make clean   remove .venv and .bootstrap; output/ stays"

setup:
	@./bootstrap.sh

# TASK: binary, multiclass, ner or qa
TASK ?= binary
CONFIG_binary := reviews
CONFIG_multiclass := genres
CONFIG_ner := entities
CONFIG_qa := answers

demo: setup
	@test -n "$(CONFIG_$(TASK))" || { echo "make demo: TASK is $(TASK); it is binary, multiclass, ner or qa"; exit 1; }
	$(BIN)/tfx-bert run $(CONFIG_$(TASK))

# FLAGS: those of tensorflow_model_server, say FLAGS="--port=9000 --model_base_path=..."
serve: setup
	$(BIN)/tfx-bert serve $(FLAGS)

# Airflow's own environment, .bootstrap/airflow
airflow: setup
	@pipeline/local_airflow/setup.sh

PORT ?= 8080
WAIT ?= 1
airflow-demo: airflow
	@$(BIN)/python -m pipeline.local_airflow.demo --port $(PORT) $(if $(filter 0,$(WAIT)),--no-wait)

# Writes the lock file anew, by requirements.in
airflow-lock: setup
	cd pipeline/local_airflow && ../../.bootstrap/tools/bin/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.txt

# JOBS: how many processes share the test files, in the order of their names: whole runs, which take longest, are early
JOBS ?= 3
BY_FILE := --dist loadfile --no-loadscope-reorder
test: setup
	$(BIN)/python -m pytest -n $(JOBS) $(BY_FILE)

test-slow: setup
	$(BIN)/python -m pytest -n $(JOBS) $(BY_FILE) -m slow

test-airflow: airflow
	$(BIN)/python -m pytest tests/airflow -m airflow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# DATA: a folder with the data sets that benchmarks/README.md names; PEER: the peer environment's python
WORK ?= output/benchmarks
bench-tasks: setup
	$(BIN)/python benchmarks/tasks.py --data $(DATA) --work $(WORK) $(if $(PEER),--peer $(PEER))

bench-drift: setup
	$(BIN)/python benchmarks/drift.py

bench-report: setup
	$(BIN)/python benchmarks/report.py

bench-nodes: setup
	$(BIN)/python benchmarks/nodes.py

bench-train: setup
	$(BIN)/python benchmarks/train.py $(if $(PEER),--peer $(PEER))

# MODEL: a model_base_path whose newest version has an int8 engine; the last pushed model otherwise
bench-serve: setup
	$(BIN)/python benchmarks/serve.py $(if $(MODEL),--model $(MODEL)) $(if $(PEER),--peer $(PEER))

endure-serve: setup
	$(BIN)/python benchmarks/serve_endurance.py $(if $(MODEL),--model $(MODEL))

# CONFIG: one with a pushed model; SOURCE: a CSV of its texts
ROWS ?= 1000000
bench-score: setup
	$(BIN)/python benchmarks/score.py $(CONFIG) --source $(SOURCE) --rows $(ROWS)

# SCALE: where the rows and what is made of them stay, for bench-memory
SCALE ?= output/benchmarks/scale
bench-scale: setup
	$(BIN)/python benchmarks/scale.py --work $(SCALE)

# After bench-scale. CONFIG: one with a pushed model; a tiny encoder answers a million rows in minutes
bench-memory: setup
	$(BIN)/python benchmarks/memory.py training predict drift --work $(SCALE) --config $(CONFIG)

fuzz-serve: setup
	$(BIN)/python -m pytest tests/fuzz -m fuzz

clean:
	rm -rf .venv .bootstrap
