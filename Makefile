# The daily commands. Each does its own set-up.
.PHONY: setup fmt check test quick golden docs bench fuzz soak quickstart

setup:       ## make .venv with the locked versions
	scripts/setup

fmt: setup   ## format the code, mend what can be mended
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

check: setup ## format, lint, types, floors
	scripts/check

test:        ## everything CI runs
	scripts/test

quick: setup ## the tests that run no heavy tool
	.venv/bin/pytest -m "not tools and not slow"

golden: setup ## write the recorded outputs of the scenarios anew
	MLCTL_GOLDEN=write .venv/bin/pytest tests/scenarios -q

docs: setup  ## write the generated reference anew
	.venv/bin/python scripts/gen_docs.py

bench: setup ## the benchmarks, with ratios to their floors
	.venv/bin/python scripts/bench/engine.py
	.venv/bin/python scripts/bench/quickstart.py
	.venv/bin/python scripts/bench/data.py
	.venv/bin/python scripts/bench/training_loop.py
	.venv/bin/python scripts/bench/serving_models.py
	.venv/bin/python scripts/bench/serving_gateway.py
	.venv/bin/python scripts/bench/serving_statistics.py
	.venv/bin/python scripts/bench/economics.py
	.venv/bin/python scripts/bench/foretold.py

fuzz: setup  ## 20,000 spoiled inputs against the commands that only read
	.venv/bin/python scripts/fuzz.py --count 20000 --seed $$(date +%Y%m%d)

soak: fuzz   ## the long runs: clusters and kills of trainings, random histories of the engine, and the fuzzer
	MLCTL_TEST_SLOW_INSTALLS=1 .venv/bin/pytest -m soak --numprocesses 2 --dist loadfile
	MLCTL_HISTORIES=10000 .venv/bin/pytest tests/properties -q

quickstart:  ## the main job
	scripts/quickstart
