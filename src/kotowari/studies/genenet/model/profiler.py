"""NetworkProfiler: a gene network for every sample, as a smooth function of a modulator."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.jobs import Arrays
from kotowari.core.progress import Progress
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.bandwidth import predictions
from kotowari.studies.genenet.model.blocks import Spread, fit_blocks, plan_blocks, read_block
from kotowari.studies.genenet.model.criterion import CRITERIA, Criterion
from kotowari.studies.genenet.model.kernel_choice import choose_kernels, count_neighbours
from kotowari.studies.genenet.model.nodes import node_gap, node_places
from kotowari.studies.genenet.model.paths import Search
from kotowari.studies.genenet.model.profile_input import (
    ExpressionTable,
    expression_table,
    gene_positions,
    penalty_factors,
    require_finite,
    require_same_genes,
    require_varying,
)
from kotowari.studies.genenet.model.profile_results import NetworkNames, fit_table, join_networks
from kotowari.studies.genenet.model.profile_task import ProfileTask, fit_block
from kotowari.studies.genenet.model.stack import NetworkStack
from kotowari.studies.genenet.model.weights import modulator_table

__all__ = ["NetworkProfiler"]

Floats = npt.NDArray[np.float64]

_MAX_STEPS = 100


class NetworkProfiler(BaseEstimator):
    r"""Networks that change along a modulator: one weighted elastic net for every sample and target gene.

    .. math::
        \min_\beta \tfrac12 \sum_i w_{ia} \Big(t_i - \sum_j \beta_j r_{ij}\Big)^2
        + \lambda \sum_j f_j \omega_j |\beta_j| + \tfrac{\gamma}{2} \|\beta\|^2, \qquad
        w_{ia} = K(m_i, m_a) \Big/ \sum_i K(m_i, m_a)

    for sample a with modulator :math:`m_a`; t and r have weighted mean 0 and weighted standard deviation 1 there. A
    path of lambda is followed for every gamma; the criterion chooses. Then
    :math:`\omega_j = 1 / (|\beta_j| + 10^{-3})`, from 1, and again as long as the criterion falls. A gene is no
    regulator of itself.

    The coefficients at a sample are a function of its modulator alone: whatever they predict, the modulator predicts.
    Fit inside the training folds.

    Parameters
    ----------
    kernel
        ``"gaussian"`` (one width everywhere) or ``"knn"`` (as wide as the nearest samples lie); see
        :mod:`kotowari.studies.genenet.model.weights`.
    bandwidth
        ``"effective"``: so that the median effective number of samples is ``effective_samples``. ``"cv"``: for every
        target the one of ``bandwidths`` that predicts a random half of the samples best from the other half. Or h, a
        number, or one a modulator, in squared units of the modulator; with ``"knn"`` the number of neighbours.
    effective_samples
        Kish's number, above 2; None for a quarter of the samples, at least 30, at most half.
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
        Most rounds of weights, 1 or more; 1 is the plain elastic net. The paper names no limit; on planted networks the
        third round changes little, and later ones nothing.
    n_folds
        For the criterion ``"cv"``, 2 or more.
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
        Where blocks are written as they come. A fit with the same data and options goes on there. None keeps all in
        memory.
    n_jobs
        Threads; -1 for all cores. The result does not depend on it.
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
    bandwidth_errors_
        For ``"cv"``: shape ``(bandwidth, target)``, mean squared error; else None.
    node_gap_
        Norm of the difference of interpolated and full coefficients over that of the full ones, genes in standard
        deviations, at up to 12 samples and 64 targets; None without nodes.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804. Kish's number in the criterion, the knn kernel's form, two
    modulators, nodes and the ratio of later paths are our own.
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
        penalty_factors: npt.ArrayLike | None = None,
        n_nodes: int | None = None,
        tol: float = 1e-6,
        block_size: int = 128,
        folder: Path | str | None = None,
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
        self.penalty_factors = penalty_factors
        self.n_nodes = n_nodes
        self.tol = tol
        self.block_size = block_size
        self.folder = folder
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
            When an option is out of its range, a gene is not in the table (which) or constant, or a value is missing.
        DesignError
            When the modulator does not vary, or no place has more than two effective samples.
        RunFolderError
            When the folder holds other networks, or the disk is full.
        """
        task = self._make_task(X, modulator, regulators, targets)
        show, n_jobs = Progress(shown=self.verbose), effective_n_jobs(self.n_jobs)
        self.kernels_, self.bandwidth_errors_ = choose_kernels(self, task, n_jobs=n_jobs, show=show)
        self.effective_samples_ = count_neighbours(self.kernels_, self.modulator_)
        if self.n_nodes is None:
            self._spread, self.places_ = Spread.of_samples(self.modulator_)
        else:
            self.places_ = node_places(self.modulator_, self.n_nodes)
            self._spread = Spread.between(self.places_[:, 0], self.modulator_[:, 0])
        self._task = task.at(self.places_)
        self._plan = plan_blocks(self.kernels_, self.block_size)
        self._folder = None if self.folder is None else Path(self.folder)
        with show.bar("Networks", len(self.places_) * len(self.targets_)) as advance:
            self._blocks = fit_blocks(self._task, self._plan, folder=self._folder, n_jobs=n_jobs, advance=advance)
        self.node_gap_ = None
        if self.n_nodes is not None:
            self.node_gap_ = node_gap(self._task, self._plan, n_jobs=n_jobs)
            show.say(f"Nodes: coefficients differ from the full solution by {self.node_gap_:.2%} of their size.")
        return self

    def networks(self) -> NetworkStack:
        """Return the networks of the samples that were fitted, raw scale; with a folder, the blocks are read.

        A sample in which a target has too few neighbours is marked as not fitted there.
        """
        check_is_fitted(self)
        axis = self.modulator_ if self.modulator_.shape[1] > 1 else self.modulator_[:, 0]
        names = NetworkNames(self.samples_, self.regulators_, self.targets_, axis)
        inside = np.ones(len(self.samples_), dtype=np.bool_)
        stack = join_networks(self._results(), self._spread, names, inside=inside, description=self._describe())
        if not stack.n_edges:
            warnings.warn(
                "NetworkProfiler: no network has an edge; in every fit the criterion chose no regulator. Widen the "
                "kernel, or look whether regulators and targets move together at all.",
                UserWarning,
                stacklevel=2,
            )
        return stack

    def fit_table(self) -> pd.DataFrame:
        """Return what was chosen in every fit; see :func:`kotowari.studies.genenet.model.profile_results.fit_table`."""
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
        axis, inside = self._inside(modulator)
        chosen = np.sort(gene_positions(targets, self.targets_, what="targets"))
        spread, places = Spread.of_samples(axis[inside])
        index = modulator.index if isinstance(modulator, pd.Series | pd.DataFrame) else range(len(axis))
        names = NetworkNames(
            tuple(map(str, index)), self.regulators_, self.targets_, axis if axis.shape[1] > 1 else axis[:, 0]
        )
        blocks = self._fit_at(places, chosen)
        return join_networks(blocks, spread, names, inside=inside, description=self._describe())

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
        require_same_genes(table, self._genes, by="NetworkProfiler")
        require_finite(table, self._task.regulators)
        axis, inside = self._inside(modulator, len(table.values))
        rows, regulators = np.flatnonzero(inside), table.values[inside][:, self._task.regulators]
        answer = np.full((len(axis), len(self.targets_)), np.nan)
        for arrays in self._fit_at(axis[inside], np.arange(len(self.targets_))):
            answer[np.ix_(rows, arrays["block"])] = predictions(arrays, regulators)
        return answer

    def _make_task(
        self, X: Any, modulator: npt.ArrayLike, regulators: Sequence[Any] | None, targets: Sequence[Any] | None
    ) -> ProfileTask:
        self._require_options()
        table = expression_table(X)
        self.modulator_ = modulator_table(modulator, len(table.values), np.array(table.samples))
        columns = tuple(
            gene_positions(names, table.genes, what=what)
            for what, names in (("regulators", regulators), ("targets", targets))
        )
        require_finite(table, np.union1d(*columns))
        require_varying(table, columns[0], what="regulators")
        require_varying(table, columns[1], what="targets")
        self._take_names(X, table, columns)
        ratios = np.geomspace(1.0, self.lambda_ratio, self.n_lambdas)
        folds = None
        if self.criterion == "cv":
            rng = np.random.default_rng(derive_seed(self.random_state, "network profiler", "folds"))
            folds = rng.permutation(np.arange(len(table.values)) % self.n_folds)
        search = Search(
            np.array([ratios, ratios**2]),
            np.array(self.ridges, dtype=np.float64),
            self.max_rounds,
            self.criterion == "bic",
            self.tol,
            _MAX_STEPS,
        )
        factors = penalty_factors(self.penalty_factors, len(columns[1]), len(columns[0]))
        axis = self.modulator_
        return ProfileTask(table.values, columns[0], columns[1], axis, axis, factors, search, self.criterion, folds)

    def _take_names(self, X: Any, table: ExpressionTable, columns: Sequence[npt.NDArray[np.intp]]) -> None:
        self._genes, self.samples_ = table.genes, table.samples
        self.regulators_ = tuple(table.genes[column] for column in columns[0])
        self.targets_ = tuple(table.genes[column] for column in columns[1])
        self.n_features_in_ = len(table.genes)
        self.__dict__.pop("feature_names_in_", None)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(table.genes, dtype=object)

    def _require_options(self) -> None:
        rules = {
            "kernel must be gaussian or knn": self.kernel in {"gaussian", "knn"},
            f"criterion must be one of {', '.join(CRITERIA)}": self.criterion in get_args(Criterion),
            "n_lambdas must be 2 or more": self.n_lambdas >= 2,
            "lambda_ratio must lie between 0 and 1": 0 < self.lambda_ratio < 1,
            "ridges must be one finite value or more, 0 or more": len(self.ridges) > 0
            and all(0 <= ridge < np.inf for ridge in self.ridges),
            "max_rounds must be 1 or more": self.max_rounds >= 1,
            "n_folds must be 2 or more": self.n_folds >= 2,
            "tol must be above 0": self.tol > 0,
            "block_size must be 1 or more": self.block_size >= 1,
        }
        if broken := [rule for rule, kept in rules.items() if not kept]:
            raise InputError(f"NetworkProfiler: {broken[0]}.")

    def _inside(self, modulator: npt.ArrayLike, n_samples: int | None = None) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return new modulators as a table, and which lie within the range of training."""
        axis = modulator_table(modulator, None)
        if n_samples is not None and len(axis) != n_samples:
            raise ShapeError.mismatch("NetworkProfiler", "modulator", (n_samples,), axis.shape)
        if axis.shape[1] != self.modulator_.shape[1]:
            raise ShapeError.mismatch("NetworkProfiler", "modulator", ("sample", self.modulator_.shape[1]), axis.shape)
        inside = np.asarray(((axis >= self.modulator_.min(0)) & (axis <= self.modulator_.max(0))).all(1))
        if not inside.any():
            raise InputError("modulator: all values lie beyond those of training, and nothing is extrapolated.")
        return axis, inside

    def _fit_at(self, places: Floats, targets: npt.NDArray[np.intp]) -> Iterable[Arrays]:
        task, n_jobs = self._task.at(places), effective_n_jobs(self.n_jobs)
        for block in self._plan:
            chosen = np.intersect1d(block.targets, targets)
            if len(chosen):
                yield fit_block(task, block._replace(targets=chosen), n_jobs=n_jobs)

    def _results(self) -> Iterable[Arrays]:
        if self._folder is None:
            return self._blocks
        return (read_block(self._folder, number) for number in range(len(self._plan)))

    def _describe(self) -> str:
        kernels = {kernel.describe() for kernel in self.kernels_}
        shown = kernels.pop() if len(kernels) == 1 else f"{len(kernels)} bandwidths, chosen target by target"
        return f"NetworkProfiler ({shown}; criterion {self.criterion}; at most {self.max_rounds} rounds of weights)."
