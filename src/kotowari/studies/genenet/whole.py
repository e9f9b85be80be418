"""The networks of all samples: by the run itself, or as numbered blocks that others compute."""

from kotowari.core.errors import InputError
from kotowari.core.progress import Progress
from kotowari.studies.genenet.cluster.numbered import missing_blocks
from kotowari.studies.genenet.fitting import make_profiler
from kotowari.studies.genenet.job import GenenetJob

__all__ = ["fit_whole"]


def fit_whole(job: GenenetJob, progress: Progress) -> None:
    """Estimate the networks of all samples into ``model/networks``.

    Raises
    ------
    InputError
        With ``network.numbered_blocks``, as long as blocks are missing; the sentence says how to compute them.
    """
    config, whole = job.config, job.whole
    profiler = make_profiler(
        config,
        job.seed("networks"),
        folder=job.network_folder,
        n_jobs=config.workers,
        cluster=job.cluster,
        verbose=progress.shown,
    )
    genes = {"regulators": whole.regulators, "targets": whole.targets}
    if not config.network.numbered_blocks:
        profiler.fit(job.X, job.axis, **genes)
        return
    profiler.prepare(job.X, job.axis, **genes)
    missing = missing_blocks(job.network_folder)
    if missing:
        raise InputError(
            f"{job.network_folder}: {len(missing)} numbered blocks wait, {missing[0]} to {missing[-1]}. Compute each "
            f"by `kotowari block {job.network_folder} NUMBER` on any machine that sees this folder, then go on by "
            f"`kotowari resume {job.path}`."
        )
