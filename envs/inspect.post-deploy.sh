#!/usr/bin/env bash
# Snakemake runs this in the new conda environment, from the folder that holds its copy of inspect.yaml.
set -euo pipefail
cd "${GENERALTHINKER_ROOT:?set it to the project folder, so that the lock is found}"
pip install --no-deps -r envs/inspect.lock
pip install --no-deps --no-build-isolation --editable .
