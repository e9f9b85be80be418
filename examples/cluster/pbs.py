"""
Networks on a PBS cluster
=========================

As ``slurm.py``, for PBS Professional and OpenPBS.

Needs ``pip install 'kotowari[cluster]' dask-jobqueue`` in an environment that all nodes see.
"""

import pandas as pd
from dask_jobqueue import PBSCluster

from kotowari.studies.genenet import NetworkProfiler

WORKERS = 32

if __name__ == "__main__":
    expression = pd.read_parquet("expression.parquet")  # samples x genes, log scale
    modulator = pd.read_csv("modulator.csv", index_col=0)["score"].loc[expression.index]
    regulators = pd.read_csv("regulators.txt", header=None)[0].tolist()

    with PBSCluster(
        queue="workq",
        account="my-project",
        cores=1,  # one thread a worker
        memory="8GB",
        resource_spec="select=1:ncpus=1:mem=8gb",
        walltime="12:00:00",
    ) as cluster:
        cluster.scale(jobs=WORKERS)
        # a block has to end well within the walltime, and several a worker even out what takes longer
        profiler = NetworkProfiler(folder="networks", cluster=cluster.scheduler_address, block_size=64, verbose=True)
        profiler.fit(expression, modulator, regulators=regulators)

    profiler.networks().to_frame().to_parquet("edges.parquet")
