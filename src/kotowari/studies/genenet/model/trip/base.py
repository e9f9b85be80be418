"""What the three tensor reconstruction estimators share: networks, members, explanations, files."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from kotowari.core.errors import DesignError, InputError
from kotowari.core.seeds import derive_seed
from kotowari.studies.genenet.model.trip.contributions import EdgeContributions, Quadrature, Rule, contributions_of
from kotowari.studies.genenet.model.trip.fit import FittedCore, Recipe, RetractionName, fit_core
from kotowari.studies.genenet.model.trip.heads import HeadName
from kotowari.studies.genenet.model.trip.network_frame import NetworkFrame, Networks, as_networks
from kotowari.studies.genenet.model.trip.projections import EdgeTensor
from kotowari.studies.genenet.model.trip.responses import Response
from kotowari.studies.genenet.model.trip.saved import read_trip, write_trip
from kotowari.studies.genenet.model.trip.sparse_networks import SparseNetworks
from kotowari.studies.genenet.model.trip.starts import STARTS, Part
from kotowari.training.devices import one_thread, require_device
from kotowari.trust.folds import grouped_folds

__all__ = ["TensorReconstruction"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
_DEVICES = ("cpu", "cuda")
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class TensorReconstruction(BaseEstimator, ABC):
    """Projections along every mode, a head on the projected networks, and their ensemble; not for use by itself."""

    # attributes that a fit sets besides frame and members, and that a saved model needs
    _fitted_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        core_shape: int | Sequence[int] = 4,
        head: HeadName = "perceptron",
        n_hidden: int = 32,
        reconstruction_weight: float = 0.01,
        head_weight: float = 2e-3,
        starts: Sequence[str] = ("hosvd", "pls", "kernel", "random"),
        retraction: RetractionName = "free",
        step: float = 1e-2,
        head_steps: int = 600,
        max_steps: int = 300,
        patience: int = 100,
        validation_fraction: float = 0.2,
        n_members: int = 5,
        dtype: str = "float32",
        device: str = "cpu",
        random_state: Any = 0,
    ) -> None:
        self.core_shape = core_shape
        self.head = head
        self.n_hidden = n_hidden
        self.reconstruction_weight = reconstruction_weight
        self.head_weight = head_weight
        self.starts = starts
        self.retraction = retraction
        self.step = step
        self.head_steps = head_steps
        self.max_steps = max_steps
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.n_members = n_members
        self.dtype = dtype
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Fit on one network a sample.

        Parameters
        ----------
        X
            Shape ``(sample, I1, .., IK)``, two modes or more: a numeric array or :class:`SparseNetworks`.
        y
            What the estimator predicts, one row a sample.
        groups
            Shape ``(sample,)``, such as patients: no group is torn apart by the inner hold-out.

        Raises
        ------
        ShapeError, InputError
            When networks or responses cannot be used as they are; the sentence says which.
        DesignError
            When there are too few samples or groups, or nothing that varies.
        """
        networks = as_networks(X)
        check_consistent_length(networks, y, groups)
        recipe, seed, device = self._recipe(len(networks.shape) - 1), self._seed(), require_device(self.device)
        dtype = _DTYPES[self.dtype]
        frame = NetworkFrame.of(networks)
        for length, n in zip(frame.mode_shape, recipe.core_shape, strict=True):
            if n > length:
                raise DesignError(f"core_shape {recipe.core_shape} is larger than the networks, {frame.mode_shape}.")
        response, strata, continuous = self._response(y, torch.empty(0, dtype=dtype, device=device))
        with one_thread():
            whole = Part(frame.centred(networks, dtype=dtype, device=device)[0], response)
            splits = self._splits(strata, groups, continuous, seed)
            members = []
            for number, (learned, held) in enumerate(splits):
                parts = [
                    None if part is None else Part(whole.networks.rows(part), whole.response.rows(part))
                    for part in (learned, held)
                ]
                inner = whole if parts[0] is None else parts[0]
                members.append(fit_core(inner, parts[1], recipe, seed=derive_seed(seed, "member", number)))
        self._take_fit(frame, members)
        return self

    def scores(self, X: Any) -> FloatArray:
        """Return the mean score of the members, ``(sample, I1, .., IK) -> (sample, n_scores)``.

        In units of the target, log odds, or log hazard ratios.
        """
        check_is_fitted(self, "members_")
        with one_thread(), torch.no_grad():
            networks = self.frame_.centred(as_networks(X), dtype=torch.float64)[0]
            mean = torch.stack([member.scores(networks) for member in self.members_]).mean(0).numpy()
        scores: FloatArray = self._offset() + self._unit() * mean
        return scores

    def edge_contributions(
        self,
        X: Any,
        *,
        reference: Any = "mean",
        output: Any = None,
        rule: Rule = "legendre",
        n_points: int | None = None,
        tol: float = 1e-4,
    ) -> EdgeContributions:
        """Return what every edge adds to the change of the score between a reference and each sample.

        Integrated gradients over the projected networks, averaged over the members; the contributions of a sample sum
        to the change, and the relative gap stands beside them.

        Parameters
        ----------
        X
            Networks, as in :meth:`fit`.
        reference
            ``"mean"`` for the mean training network; or a network of shape ``(I1, .., IK)``, such as that of the sample
            with the lowest modulator; or one a sample, shaped like ``X``.
        output
            Class whose score is explained, where there are three or more; else None.
        rule
            ``"legendre"`` (Gauss) or ``"midpoint"``.
        n_points
            First number of points, doubled until ``tol`` is met or 1024 is reached; None takes 16 (legendre) or 64.
        tol
            Largest relative gap that ends the doubling.
        """
        check_is_fitted(self, "members_")
        if rule not in get_args(Rule):
            raise InputError(f"rule {rule!r}: choose one of {', '.join(get_args(Rule))}.")
        points = (16 if rule == "legendre" else 64) if n_points is None else n_points
        if points < 1:
            raise InputError(f"n_points must be 1 or more, got {points}.")
        networks = as_networks(X)
        origin, words = self._origin(reference, networks)
        weights = torch.as_tensor(self._output_weights(output), dtype=torch.float64) * self._unit()
        with one_thread():
            tensors = self.frame_.centred(networks, origin, dtype=torch.float64)
            values, change, gap, used = contributions_of(
                self.members_, tensors[0], tensors[1], weights, Quadrature(rule, points, tol)
            )
        edges = tensors[0].edges.numpy() if isinstance(tensors[0], EdgeTensor) else None
        values = values if edges is not None else values.reshape(networks.shape)
        return EdgeContributions(values, change, gap, used, self.frame_.mode_shape, edges, words)

    def save(self, folder: str | Path) -> None:
        """Write options and fitted members into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self, "members_")
        write_trip(self, Path(folder), self._fitted_names)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to predict and to explain."""
        estimator = cls()
        estimator._take_fit(*read_trip(estimator, Path(folder), cls._fitted_names))
        return estimator

    @abstractmethod
    def _response(self, y: Any, like: torch.Tensor) -> tuple[Response, Array, bool]:
        """Return the response, the values that folds are stratified by, and whether these are continuous."""

    def _unit(self) -> float:
        """Return one unit of the members' scores in units of the target."""
        return 1.0

    def _offset(self) -> float:
        return 0.0

    def _output_weights(self, output: Any) -> FloatArray:
        if output is not None:
            raise InputError(f"output={output!r}: this model has one score. Leave output out.")
        return np.ones(1)

    def _origin(self, reference: Any, networks: Networks) -> tuple[Networks, str]:
        if isinstance(reference, str):
            if reference != "mean":
                raise InputError(f"reference {reference!r}: give 'mean', a network, or one network a sample.")
            return self.frame_.mean_network(), "mean training network"
        if not isinstance(reference, SparseNetworks) and np.ndim(reference) == len(self.frame_.mode_shape):
            reference = np.asarray(reference)[None]
        origin = as_networks(reference, who="reference")
        if len(origin) not in {1, len(networks)}:
            raise InputError(f"reference: give 1 network or {len(networks)}, one a sample; got {len(origin)}.")
        return origin, "given network" if len(origin) == 1 else "a given network for each sample"

    def _splits(
        self, strata: Array, groups: Any, continuous: bool, seed: int
    ) -> list[tuple[npt.NDArray[np.intp] | None, npt.NDArray[np.intp] | None]]:
        """Return learned and held-out rows of every member; a held-out part goes round before any is used again."""
        if not self.validation_fraction:
            return [(None, None)] * self.n_members
        n_splits = max(2, round(1 / self.validation_fraction))
        folds = grouped_folds(
            strata,
            groups=groups,
            n_splits=n_splits,
            n_repeats=math.ceil(self.n_members / n_splits),
            continuous=continuous,
            random_state=derive_seed(seed, "hold-out"),
        )
        return [(fold.train, fold.test) for fold in folds[: self.n_members]]

    def _recipe(self, n_modes: int) -> Recipe:
        core = (self.core_shape,) * n_modes if isinstance(self.core_shape, (int, np.integer)) else self.core_shape
        core_shape = tuple(int(n) for n in core)
        if len(core_shape) != n_modes or min(core_shape) < 1:
            raise InputError(f"core_shape must be a number of 1 or more, or {n_modes} of them, got {self.core_shape}.")
        _require_choice("head", self.head, get_args(HeadName))
        _require_choice("retraction", self.retraction, get_args(RetractionName))
        _require_choice("dtype", self.dtype, _DTYPES)
        _require_choice("device", self.device, _DEVICES)
        if isinstance(self.starts, str) or not self.starts:
            raise InputError(f"starts must be a list of {', '.join(STARTS)}, got {self.starts!r}.")
        for start in self.starts:
            _require_choice("starts", start, STARTS)
        _require_least(self, 0, "reconstruction_weight", "head_weight", "head_steps", "max_steps")
        _require_least(self, 1, "n_hidden", "n_members", "patience")
        if not self.step > 0:
            raise InputError(f"step must be above 0, got {self.step}.")
        if not 0 <= self.validation_fraction <= 0.5:
            raise InputError(f"validation_fraction must lie between 0 and 0.5, got {self.validation_fraction}.")
        return Recipe(
            core_shape=core_shape,
            n_hidden=self.n_hidden if self.head == "perceptron" else 0,
            reconstruction_weight=float(self.reconstruction_weight),
            head_weight=float(self.head_weight),
            starts=tuple(self.starts),
            retraction=self.retraction,
            step=float(self.step),
            head_steps=self.head_steps,
            max_steps=self.max_steps,
            patience=self.patience,
        )

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _take_fit(self, frame: NetworkFrame, members: list[FittedCore]) -> None:
        self.frame_, self.members_ = frame, members
        best = min(members, key=lambda member: member.loss)
        self.projections_ = [c.numpy() for c in best.projections]
        self.loss_ = float(np.mean([member.loss for member in members]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags


def _require_choice(what: str, value: Any, choices: Any) -> None:
    if value not in choices:
        raise InputError(f"{what} {value!r}: choose one of {', '.join(choices)}.")


def _require_least(estimator: Any, least: int, *names: str) -> None:
    for name in names:
        if not getattr(estimator, name) >= least:
            raise InputError(f"{name} must be {least} or more, got {getattr(estimator, name)}.")
