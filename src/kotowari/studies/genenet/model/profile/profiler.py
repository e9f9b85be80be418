"""NetworkProfiler: a gene network for every sample, as a smooth function of a modulator."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import InputError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.studies.genenet.model.profile.bandwidth import predictions
from kotowari.studies.genenet.model.profile.blocks import Spread, fit_blocks, read_block, write_block
from kotowari.studies.genenet.model.profile.criterion import Criterion
from kotowari.studies.genenet.model.profile.input import (
    expression_table,
    gene_positions,
    require_finite,
    require_same_genes,
)
from kotowari.studies.genenet.model.profile.nodes import node_gap
from kotowari.studies.genenet.model.profile.preparation import PreparedProfile, prepare_profile, within_training
from kotowari.studies.genenet.model.profile.results import NetworkNames, fit_table, join_networks
from kotowari.studies.genenet.model.profile.saved import (
    read_profile,
    record_node_gap,
    require_blocks,
    write_profile,
)
from kotowari.studies.genenet.model.profile.task import fit_block
from kotowari.studies.genenet.model.stack.stack import NetworkStack

__all__ = ["NetworkProfiler"]

Floats = npt.NDArray[np.float64]


class NetworkProfiler(BaseEstimator):
    r"""Networks that change along a modulator: one weighted elastic net for every sample and target gene.

    .. math::
        \min_\beta \tfrac12 \sum_i w_{ia} \Big(t_i - \sum_j \beta_j r_{ij}\Big)^2
        + \lambda \sum_j f_j \omega_j |\beta_j| + \tfrac{\gamma}{2} \|\beta\|^2, \qquad
        w_{ia} = K(m_i, m_a) \Big/ \sum_i K(m_i, m_a)

    for sample a with modulator :math:`m_a`; t and r have weighted mean 0 and weighted standard deviation 1 there. The
    criterion chooses from a path of lambda for every gamma, first with :math:`\omega = 1`, then again with
    :math:`\omega_j = 1 / (|\beta_j| + 10^{-3})` as long as it falls. A gene is no regulator of itself. Pooling p
    mixes every network with one network for all samples: :math:`(1 - p)\, \beta(m_a) + p\, \beta^0`.

    The coefficients at a sample are a function of its modulator alone and predict no more: fit inside training folds.

    Parameters
    ----------
    kernel
        ``"gaussian"`` (one width everywhere) or ``"knn"`` (as wide as the nearest samples lie); see
        :mod:`kotowari.studies.genenet.model.profile.weights`.
    bandwidth
        ``"effective"``: so that the median effective number of samples is ``effective_samples``. ``"cv"``: for every
        target the one of ``bandwidths`` that predicts a random half of the samples best from the other half. Or h, a
        number, or one a modulator, in squared units of the modulator; with ``"knn"`` the number of neighbours.
    effective_samples
        Kish's number, above 2, or below 1 a share of the samples; None for a quarter, 30 at least, half at most.
    bandwidths
        Candidates for ``"cv"``, each as ``bandwidth``; None for five between a twelfth of the samples and three fifths.
    criterion
        ``"waicc"``: AICc with Kish's effective number of samples; ``"paper"``: with the sum of the roots of the
        weights; ``"bic"``; or ``"cv"``: mean squared error over ``n_folds`` folds, drawn once.
    n_lambdas, lambda_ratio
        Length of a path, 2 or more, and its last lambda over its first, between 0 and 1; with adaptive weights the
        square of it, since a small coefficient has a large weight as well.
    ridges
        Gamma, one value or more, 0 or more.
    max_rounds
        Most rounds of weights, 1 or more; 1 is the plain elastic net. On planted networks a fourth changes nothing.
    n_folds
        For the criterion and the pooling ``"cv"``, 2 or more.
    pooling
        p, 0 to 1, and 0 in the paper; or ``"cv"``: what predicts samples left out best, of whose owners it knows
        nothing; see :mod:`kotowari.studies.genenet.model.profile.pooling`.
    penalty_factors
        f, for knowledge about edges: shape ``(regulator,)`` or ``(target, regulator)``, above 0, infinite to exclude.
    n_nodes
        None solves at every sample. A number solves at so many quantiles of the one modulator, and interpolates;
        ``node_gap_`` then tells how far that is from the full solution.
    tol
        Bar for the relative duality gap of every fit.
    block_size
        Targets in one block; memory grows with it.
    folder
        Where blocks are written as they come. The same fit goes on there, and :meth:`load` reads it. None: in memory.
    cluster
        Who fits the blocks: None for threads of this process; ``"local"`` for processes on this machine; or the address
        of a Dask scheduler, such as ``"tcp://host:8786"``, also as a Client or cluster object, which scikit-learn
        cannot clone. On equal machines the result is the same to the last byte. Needs the extra ``cluster``.
    n_jobs
        Threads, or processes with ``"local"``; -1 for all cores. The result does not depend on it.
    verbose
        Whether progress is shown.
    random_state
        Seed of folds and of the random half.

    Attributes
    ----------
    samples_, regulators_, targets_
        Names.
    modulator_
        Shape ``(sample, modulator)``.
    kernels_
        The kernel of every target.
    effective_samples_
        Kish's number at every sample, shape ``(sample, target)``.
    places_
        Where networks were solved, shape ``(place, modulator)``: the different modulators, or the nodes.
    pooling_
        Share of the one network, 0 to 1.
    bandwidth_errors_
        For ``"cv"``: shape ``(bandwidth, target)``, mean squared error; else None.
    node_gap_
        Norm of the difference of interpolated and full coefficients over that of the full ones, genes in standard
        deviations, at up to 12 samples and 64 targets; None without nodes.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804. Kish's number in the criterion, the knn kernel's form, two
    modulators, nodes, pooling and the ratio of later paths are our own.
    """

    def __init__(
        self,
        *,
        kernel: Literal["gaussian", "knn"] = "gaussian",
        bandwidth: float | Sequence[float] | Literal["effective", "cv"] = "effective",
        effective_samples: float | None = None,
        bandwidths: Sequence[Any] | None = None,
        criterion: Criterion = "waicc",
        n_lambdas: int = 30,
        lambda_ratio: float = 0.05,
        ridges: Sequence[float] = (0.01,),
        max_rounds: int = 3,
        n_folds: int = 5,
        pooling: float | Literal["cv"] = 0.0,
        penalty_factors: npt.ArrayLike | None = None,
        n_nodes: int | None = None,
        tol: float = 1e-6,
        block_size: int = 128,
        folder: Path | str | None = None,
        cluster: Any = None,
        n_jobs: int = 1,
        verbose: bool = False,
        random_state: int = 0,
    ) -> None:
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.effective_samples = effective_samples
        self.bandwidths = bandwidths
        self.criterion = criterion
        self.n_lambdas = n_lambdas
        self.lambda_ratio = lambda_ratio
        self.ridges = ridges
        self.max_rounds = max_rounds
        self.n_folds = n_folds
        self.pooling = pooling
        self.penalty_factors = penalty_factors
        self.n_nodes = n_nodes
        self.tol = tol
        self.block_size = block_size
        self.folder = folder
        self.cluster = cluster
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        modulator: npt.ArrayLike,
        *,
        regulators: Sequence[Any] | None = None,
        targets: Sequence[Any] | None = None,
    ) -> Self:
        """Estimate the networks of all samples.

        Parameters
        ----------
        X
            DataFrame or array of shape ``(sample, gene)``, logarithmic expression, 6 samples or more; finite in the
            regulators and targets.
        modulator
            Shape ``(sample,)`` or ``(sample, 2)``, finite; equal values share a network.
        regulators, targets
            Gene names, or positions where X is an array; None takes all genes.

        Raises
        ------
        InputError, ShapeError
            When an option is out of range, a gene is constant or not there (which), a value is missing, or no cluster.
        DesignError
            When the modulator does not vary, or no place has more than two effective samples.
        RunFolderError
            When the folder holds other networks, or the disk is full.
        """
        show, n_jobs = Progress(shown=self.verbose), effective_n_jobs(self.n_jobs)
        self._take(prepare_profile(self, X, modulator, (regulators, targets), n_jobs=n_jobs, show=show))
        self._folder = None if self.folder is None else Path(self.folder)
        if self._folder is not None:
            write_profile(self._prepared, self.get_params(), self._folder)
        task, plan = self._prepared.task, self._prepared.plan
        with show.bar("Networks", len(self.places_) * len(self.targets_)) as advance:
            self._blocks = fit_blocks(
                task, plan, folder=self._folder, n_jobs=n_jobs, advance=advance, cluster=self.cluster
            )
        self._measure_nodes(show)
        return self

    def prepare(
        self,
        X: Any,
        modulator: npt.ArrayLike,
        *,
        regulators: Sequence[Any] | None = None,
        targets: Sequence[Any] | None = None,
    ) -> int:
        """Do everything of :meth:`fit` up to the blocks, write the task into ``folder``, and return their number.

        The blocks are for :func:`kotowari.studies.genenet.cluster.numbered.fit_numbered_block`, on any machine that
        sees the folder, in any order; then comes :meth:`load`. This profiler stays as it is.

        Parameters
        ----------
        X, modulator, regulators, targets
            As in :meth:`fit`, which tells what is raised as well.
        """
        if self.folder is None:
            raise InputError("prepare: NetworkProfiler has no folder. Name the one that the blocks shall lie in.")
        show, n_jobs = Progress(shown=self.verbose), effective_n_jobs(self.n_jobs)
        prepared = prepare_profile(self, X, modulator, (regulators, targets), n_jobs=n_jobs, show=show)
        write_profile(prepared, self.get_params(), Path(self.folder))
        return len(prepared.plan)

    def save(self, folder: Path | str) -> None:
        """Write the fitted profiler into a folder of its own, as a fit with that ``folder`` does; nothing is pickled.

        Raises
        ------
        RunFolderError
            When the folder holds something else, or cannot be written.
        """
        check_is_fitted(self)
        write_profile(self._prepared, self.get_params(), Path(folder))
        for number, arrays in enumerate(self._results()):
            write_block(Path(folder), number, arrays)
        if self.node_gap_ is not None:
            record_node_gap(Path(folder), self.node_gap_)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return the fitted profiler of a folder in which all blocks are, whoever fitted them.

        Blocks are read when they are asked for. What belongs to a machine is at its default: ``folder``, ``cluster``,
        ``n_jobs`` and ``verbose``.

        Raises
        ------
        InputError
            When a file is missing, damaged, or of another kind.
        RunFolderError
            When blocks are missing; tells which, and how to make them.
        """
        place = Path(folder)
        prepared, options, gap = read_profile(place)
        require_blocks(place)
        profiler = cls(**options)
        profiler._take(prepared)
        profiler._folder, profiler._blocks, profiler.node_gap_ = place, [], gap
        if gap is None:
            profiler._measure_nodes(Progress(shown=False))
        return profiler

    def networks(self) -> NetworkStack:
        """Return the networks of the samples that were fitted, raw scale; with a folder, the blocks are read.

        A sample in which a target has too few neighbours is marked as not fitted there.
        """
        check_is_fitted(self)
        axis = self.modulator_ if self.modulator_.shape[1] > 1 else self.modulator_[:, 0]
        names = NetworkNames(self.samples_, self.regulators_, self.targets_, axis)
        told, inside = self._prepared.describe(), np.ones(len(self.samples_), dtype=np.bool_)
        stack = join_networks(self._results(), self._spread, names, inside=inside, description=told)
        if not stack.n_edges:
            warnings.warn(
                "NetworkProfiler: no network has an edge; in every fit the criterion chose no regulator. Widen the "
                "kernel, or look whether regulators and targets move together at all.",
                UserWarning,
                stacklevel=2,
            )
        return stack

    def fit_table(self) -> pd.DataFrame:
        """Return what was chosen in every fit; see :func:`kotowari.studies.genenet.model.profile.results.fit_table`."""
        check_is_fitted(self)
        return fit_table(self._results(), self.places_, self.targets_)

    def coefficients(self, modulator: npt.ArrayLike, *, targets: Sequence[Any] | None = None) -> NetworkStack:
        """Return the networks at other values of the modulator, solved there from the training samples.

        Values beyond those of training are marked as not fitted: nothing is extrapolated.

        Parameters
        ----------
        modulator
            Shape ``(place,)`` or ``(place, modulator)``; the index of a Series or DataFrame names the places.
        targets
            Names of fitted targets; None takes all.

        Raises
        ------
        InputError, ShapeError
            When a value is missing, all lie beyond those of training, or a target was not fitted.
        """
        check_is_fitted(self)
        axis, inside = within_training(modulator, self.modulator_)
        chosen = np.sort(gene_positions(targets, self.targets_, what="targets"))
        spread, places = Spread.of_samples(axis[inside])
        index = modulator.index if isinstance(modulator, pd.Series | pd.DataFrame) else range(len(axis))
        shown = axis if axis.shape[1] > 1 else axis[:, 0]
        names = NetworkNames(tuple(map(str, index)), self.regulators_, self.targets_, shown)
        blocks, told = self._fit_at(places, chosen), self._prepared.describe()
        return join_networks(blocks, spread, names, inside=inside, description=told)

    def predict(self, X: Any, modulator: npt.ArrayLike) -> Floats:
        """Return the targets of new samples, from their regulators and the networks at their modulator.

        Parameters
        ----------
        X
            Shape ``(sample, gene)``, the genes of training; only regulators are read.
        modulator
            Shape ``(sample,)`` or ``(sample, modulator)``.

        Returns
        -------
        ndarray
            Shape ``(sample, target)``; NaN where the modulator lies beyond training, or has too few neighbours there.

        Raises
        ------
        InputError, ShapeError
            When the genes are not those of training, or a value is missing.
        """
        check_is_fitted(self)
        table = expression_table(X, training=False)
        require_same_genes(table, self._prepared.genes, by="NetworkProfiler")
        columns = gene_positions(self.regulators_, self._prepared.genes, what="regulators")
        require_finite(table, columns)
        axis, inside = within_training(modulator, self.modulator_, len(table.values), table.samples)
        rows, regulators = np.flatnonzero(inside), table.values[inside][:, columns]
        answer = np.full((len(axis), len(self.targets_)), np.nan)
        for arrays in self._fit_at(axis[inside], np.arange(len(self.targets_))):
            answer[np.ix_(rows, arrays["block"])] = predictions(arrays, regulators)
        return answer

    def _take(self, prepared: PreparedProfile) -> None:
        self._prepared, self._spread = prepared, prepared.spread
        self.samples_, self.regulators_, self.targets_ = prepared.samples, prepared.regulators, prepared.targets
        self.modulator_, self.places_ = prepared.task.modulator, prepared.task.places
        self.kernels_, self.effective_samples_ = prepared.kernels, prepared.effective_samples
        self.bandwidth_errors_, self.pooling_ = prepared.bandwidth_errors, prepared.task.pooling
        self.n_features_in_ = len(prepared.genes)
        self.__dict__.pop("feature_names_in_", None)
        if prepared.named:
            self.feature_names_in_ = np.array(prepared.genes, dtype=object)

    def _measure_nodes(self, show: Progress) -> None:
        """Set ``node_gap_``, and note it in the folder."""
        self.node_gap_ = None
        if self.n_nodes is None:
            return
        self.node_gap_ = node_gap(self._prepared.task, self._prepared.plan, n_jobs=effective_n_jobs(self.n_jobs))
        show.say(f"Nodes: coefficients differ from the full solution by {self.node_gap_:.2%} of their size.")
        if self._folder is not None:
            record_node_gap(self._folder, self.node_gap_)

    def _fit_at(self, places: Floats, targets: npt.NDArray[np.intp]) -> Iterable[Arrays]:
        task, n_jobs = self._prepared.task.at(places), effective_n_jobs(self.n_jobs)
        for block in self._prepared.plan:
            chosen = np.intersect1d(block.targets, targets)
            if len(chosen):
                yield fit_block(task, block._replace(targets=chosen), n_jobs=n_jobs)

    def _results(self) -> Iterable[Arrays]:
        if self._folder is None:
            return self._blocks
        return (read_block(self._folder, number) for number in range(len(self._prepared.plan)))
