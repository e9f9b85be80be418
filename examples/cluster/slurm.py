"""
Networks on a Slurm cluster
===========================

Run this on a node that may submit jobs and that the workers can reach. Queue, account, memory and time are those of
your cluster. A job that is lost, or runs out of time, costs the block it was at; run the script again to go on.

Needs ``pip install 'kotowari[cluster]' dask-jobqueue`` in an environment that all nodes see.
"""

import pandas as pd
from dask_jobqueue import SLURMCluster

from kotowari.studies.genenet import NetworkProfiler

WORKERS = 32

if __name__ == "__main__":
    expression = pd.read_parquet("expression.parquet")  # samples x genes, log scale
    modulator = pd.read_csv("modulator.csv", index_col=0)["score"].loc[expression.index]
    regulators = pd.read_csv("regulators.txt", header=None)[0].tolist()

    with SLURMCluster(
        queue="normal",
        account="my-project",
        cores=1,  # one thread a worker
        memory="8GB",
        walltime="12:00:00",
        job_extra_directives=["--constraint=skylake"],  # equal processors, equal bytes
    ) as cluster:
        cluster.scale(jobs=WORKERS)
        # a block has to end well within the walltime, and several a worker even out what takes longer
        profiler = NetworkProfiler(folder="networks", cluster=cluster.scheduler_address, block_size=64, verbose=True)
        profiler.fit(expression, modulator, regulators=regulators)

    profiler.networks().to_frame().to_parquet("edges.parquet")
