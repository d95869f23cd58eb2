#!/usr/bin/env bash
# Snakemake runs this in the new conda environment, from the folder that holds its copy of cpu.yaml.
set -euo pipefail
cd "${GENERALTHINKER_ROOT:?set it to the project folder, so that the lock is found}"
pip install torch==2.13.0
pip install --no-deps -r envs/cpu.lock
pip install --no-deps --no-build-isolation --editable .
