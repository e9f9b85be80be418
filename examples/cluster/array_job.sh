#!/usr/bin/env bash
# Networks as an array job, on any scheduler: the nodes share nothing but a folder.
#
# 1. Once, where memory allows, write the task; it prints the number of blocks:
#
#      python - <<'PYTHON'
#      import pandas as pd
#      from kotowari.studies.genenet.model.profiler import NetworkProfiler
#      X = pd.read_parquet("expression.parquet")
#      m = pd.read_csv("modulator.csv", index_col=0)["score"].loc[X.index]
#      print(NetworkProfiler(folder="networks", block_size=64).prepare(X, m))
#      PYTHON
#
# 2. Submit this script with one job a block, here for 12 of them. Slurm and PBS count from 0, Grid Engine and LSF
#    from 1; the script below takes that into account.
#
#      Slurm         sbatch --array=0-11 array_job.sh
#      PBS           qsub -J 0-11 array_job.sh
#      Grid Engine   qsub -t 1-12 -cwd array_job.sh
#      LSF           bsub -J "networks[1-12]" < array_job.sh
#
#    A block that stands is not fitted again, so that the same command once more makes what is missing.
#
# 3. Merge: NetworkProfiler.load("networks") is the fitted profiler, or names the blocks that are missing.

set -euo pipefail
cd "${PBS_O_WORKDIR:-$PWD}"  # PBS starts jobs at home

python - "${1:-networks}" <<'PYTHON'
import os
import sys

from kotowari.core.errors import KotowariError
from kotowari.studies.genenet.cluster.numbered import array_index, fit_numbered_block

try:
    fit_numbered_block(sys.argv[1], array_index(os.environ), verbose=True)
except KotowariError as error:
    sys.exit(f"kotowari: {error}")
PYTHON
