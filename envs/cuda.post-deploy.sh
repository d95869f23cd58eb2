#!/usr/bin/env bash
# Snakemake runs this in the new conda environment, from the folder that holds its copy of cuda.yaml.
set -euo pipefail
cd "${GENERALTHINKER_ROOT:?set it to the project folder, so that the lock is found}"
pip install torch==2.13.0
pip install --no-deps -r envs/cuda.lock
pip install --no-deps --no-build-isolation --editable .
