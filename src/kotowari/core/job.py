"""One run of a study as its stages see it: where results lie, which seed a part has, how independent work is run."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from kotowari.core.cluster import Cluster
from kotowari.core.files import write_bytes
from kotowari.core.jobs import Arrays, load_arrays, map_jobs, pack_arrays
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder
from kotowari.core.seeds import derive_seed

__all__ = ["Job"]

ConfigT = TypeVar("ConfigT")


class Job(Generic[ConfigT]):
    """What the stages of any study share; everything is read from the run folder when asked for, so that any resumes.

    Parameters
    ----------
    config
        Options of the run, with ``seed``, ``workers``, and where the study can go there ``cluster``.
    folder
        Its run folder.
    """

    def __init__(self, config: ConfigT, folder: RunFolder) -> None:
        self.config = config
        self.folder = folder
        self.path = folder.path

    @cached_property
    def cluster(self) -> Cluster | None:
        """The Dask workers of the whole run, opened when a batch first needs them; None for processes of this machine.

        :meth:`close` parts from them.
        """
        where, workers = getattr(self.config, "cluster", None), getattr(self.config, "workers", 1)
        return None if where is None else Cluster(where, n_workers=workers)

    def close(self) -> None:
        """Part from the cluster, if there is one."""
        if self.cluster is not None:
            self.cluster.close()

    def seed(self, *path: str | int) -> int:
        """Seed of one named part of the run."""
        return derive_seed(getattr(self.config, "seed", 0), *path)

    def shards(self, name: str) -> Path:
        """Folder of the results of one batch of fits."""
        return self.path / "work" / name

    def run(
        self,
        progress: Progress,
        title: str,
        name: str,
        function: Callable[..., Arrays],
        jobs: Mapping[str, tuple[Any, ...]],
    ) -> dict[str, Arrays]:
        """Run independent jobs under a progress bar; each is kept as a shard of the batch ``name``."""
        workers = getattr(self.config, "workers", 1)
        with progress.bar(title, len(jobs)) as advance:
            return map_jobs(
                function, jobs, shards=self.shards(name), workers=workers, advance=advance, cluster=self.cluster
            )

    def keep(self, name: str, arrays: Arrays) -> None:
        """Write arrays to ``work/<name>.npz``."""
        write_bytes(self.path / "work" / f"{name}.npz", pack_arrays(arrays))

    def kept(self, name: str) -> Arrays:
        """Read what :meth:`keep` wrote."""
        return load_arrays(self.path / "work" / f"{name}.npz")

    def holds(self, name: str) -> bool:
        """Whether :meth:`keep` wrote ``name``."""
        return (self.path / "work" / f"{name}.npz").is_file()
