"""Clinical variables from features of the brain, with everything that learns inside one estimator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from kotowari.core.errors import CapabilityError, DesignError, InputError
from kotowari.studies.brain.model.combat import ComBat
from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.studies.brain.model.preparation import Preparation
from kotowari.studies.brain.model.regression_heads import Head, HeadOptions, Inner, Method, fit_heads
from kotowari.studies.brain.model.regression_saved import read_regression, write_regression
from kotowari.studies.brain.model.regression_scores import HeldOut, main_statistic
from kotowari.studies.brain.model.site_confounding import require_separable
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.model.target_coding import TargetCoding, TargetKind, TargetTransform, checked_target
from kotowari.trust import scores

__all__ = ["LatentRegression", "Nuisance", "paired_truth"]

FloatArray = npt.NDArray[np.float64]
Nuisance = Literal["features", "target", "both", "none"]
_SAME = 1 - 1e-9


def _tells_classes(model: "LatentRegression") -> bool:
    return model.target == "class"


class LatentRegression(RegressorMixin, BaseEstimator):
    r"""A linear model on features, with harmonising, removal of nuisances, scaling and choice of penalty inside.

    In this order, each learned from the rows given to :meth:`fit`: ``features`` turns what is measured into features;
    ``harmoniser`` takes site effects out and preserves the covariates; covariates are regressed out; every feature is
    brought to unit variance; the head is fitted, its penalty chosen within these rows. Only the head sees the target.
    So a fold that hands over its training rows leaks nothing, and another site is predicted without any refit.

    Parameters
    ----------
    method
        ``"ridge"``: of two classes logistic, of survival Cox's model, each with a ridge penalty. ``"linear"``: least
        squares of minimum norm, which passes through all training points when features outnumber subjects; the paper's
        choice, shown for comparison. ``"pls"``: partial least squares; of several targets the pair of directions with
        the largest covariance. ``"cca"``: of several targets the pair with the largest correlation, shrunken.
    target
        ``"number"``; ``"class"`` (two classes); ``"survival"`` (columns time and event); ``"several"`` (a column each).
    features
        Unfitted transformer to ``(subject, feature)``, fitted without a target; None takes ``X`` as features.
    harmoniser
        Unfitted :class:`kotowari.studies.brain.model.combat.ComBat`; None for none.
    nuisance
        Where covariates are regressed out: of ``"features"``, ``"target"``, ``"both"``, or ``"none"``. Out of the
        target only for numbers; predictions are then of what is left.
    scale
        Bring features to unit variance.
    target_transform
        ``"log"`` or ``"log1p"``: learn numbers on a logarithmic scale; predictions come back in units.
    inner
        How the penalty is chosen. ``"auto"``: for ridge on numbers each group (or subject) is left out, exactly and
        without refits; for the others 5 stratified grouped folds. A number gives the folds; ``"generalised"`` is
        generalised cross-validation, for ridge on numbers.
    weights
        Penalties on the squared length of the weights, above 0; None for a grid that suits the features.
    max_components
        Most components of PLS.
    name
        What the target is called in sentences; no covariate may have this name.
    random_state
        Seed of the inner folds.

    Attributes
    ----------
    coef_
        Weights on the features as they stand after harmonising and removal of covariates, before scaling, shape
        ``(feature,)``: the change of the score with one unit.
    intercept_
        Score of the mean of training.
    choice_
        The penalty, number of components or shrinkage that was chosen.
    target_weights_
        Weights on several targets, shape ``(target,)``; None otherwise.
    classes_
        The two classes, in order; empty for other targets.
    n_subjects_
        Rows learned from.

    Source: ridge and its left-out errors :class:`kotowari.studies.brain.model.ridge_path.RidgePath`; ordinary least
    squares on flattened features Yamaguchi et al. 2021, Front. Neurosci. 15:652987.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(60, 200))
    >>> y = X[:, :20].sum(1)
    >>> model = LatentRegression().fit(X[:50], y[:50])
    >>> model.predict(X[50:]).shape
    (10,)
    """

    preparation_: Preparation
    coding_: TargetCoding
    head_: Head
    classes_: npt.NDArray[Any]
    n_subjects_: int

    def __init__(
        self,
        method: Method = "ridge",
        *,
        target: TargetKind = "number",
        features: Any = None,
        harmoniser: ComBat | None = None,
        nuisance: Nuisance = "features",
        scale: bool = True,
        target_transform: TargetTransform = "none",
        inner: Inner = "auto",
        weights: tuple[float, ...] | None = None,
        max_components: int = 10,
        name: str = "the target",
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.target = target
        self.features = features
        self.harmoniser = harmoniser
        self.nuisance = nuisance
        self.scale = scale
        self.target_transform = target_transform
        self.inner = inner
        self.weights = weights
        self.max_components = max_components
        self.name = name
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sites: Any = None, covariates: Any = None, groups: Any = None) -> Self:
        """Learn from some subjects.

        Parameters
        ----------
        X
            What ``features`` takes, ``(subject, ...)``; or features themselves.
        y
            Shape ``(subject,)``; ``(subject, 2)`` for survival, ``(subject, target)`` for several.
        sites
            Site of each subject; needed by a harmoniser.
        covariates
            Nuisances, a row each: DataFrame, mapping of columns or array.
        groups
            Owner of each row, which the choice of the penalty does not tear apart.

        Raises
        ------
        DesignError
            When the target is constant, is one of the covariates, or cannot be separated from the site that is to be
            harmonised; when there are more covariates than subjects allow.
        InputError
            When a value is missing or not finite, or an option does not fit the target.
        """
        self._learn(X, [y], [self], {"sites": sites, "covariates": covariates, "groups": groups})
        return self

    def fit_each(
        self, X: Any, outcomes: Sequence[Any], *, sites: Any = None, covariates: Any = None, groups: Any = None
    ) -> list[Self]:
        """Return one fitted copy for each of many targets of the same subjects, such as permuted ones.

        What sees no target (harmonising, covariates, the decomposition) is learned once and shared by the copies, so
        none of them should be adapted to a site. Parameters and errors as in :meth:`fit`.
        """
        copies: list[Self] = [clone(self) for _ in outcomes]
        if copies:
            known = {"sites": sites, "covariates": covariates, "groups": groups}
            copies[0]._learn(X, outcomes, copies, known)
        return copies

    def _learn(self, X: Any, outcomes: Sequence[Any], models: Sequence[Self], known: dict[str, Any]) -> None:
        """Fit models of these options, one an outcome; the first checks the features."""
        options = self.head_options()
        X = self._checked(X, reset=True)
        checked = [checked_target(y, self.target, name=self.name) for y in outcomes]
        subjects = Subjects.of(len(X), **known)
        for values, _ in checked:
            if len(values) != len(X):
                raise InputError(
                    f"{self.name} has {len(values)} rows and X has {len(X)}. Give one row a subject to both."
                )
            self.require_sound(values, subjects)
        preparation, codings = self.preparation(), [self.coding() for _ in checked]
        preparation.fit(X, subjects)
        learned = [
            coding.learned(values, subjects.covariates) for coding, (values, _) in zip(codings, checked, strict=True)
        ]
        axes = preparation.axes
        if axes is None:
            raise CapabilityError("The preparation lost its training rows.")
        heads = fit_heads(axes, learned, options, subjects.groups)
        for model, coding, head, (values, classes) in zip(models, codings, heads, checked, strict=True):
            model.preparation_, model.coding_, model.head_ = preparation, coding, head
            model.__dict__ |= {name: value for name, value in vars(self).items() if name.endswith("_in_")}
            weights = axes.feature_weights(head.coef)
            # scaled features have mean 0 up to rounding; the axes' own centre holds the rest
            model._take_weights(weights, head.intercept - float(axes.centre @ weights))
            model.classes_ = np.array(classes)
            model.n_subjects_ = len(values)
        preparation.forget()

    def predict(self, X: Any, *, sites: Any = None, covariates: Any = None) -> npt.NDArray[Any]:
        """Return values, classes, log hazards, or the score of the features for several targets, ``(subject,)``."""
        found = self.decision_scores(X, sites=sites, covariates=covariates)
        if self.target == "class":
            said: npt.NDArray[Any] = self.classes_[(found > 0).astype(np.intp)]
            return said
        return self.coding_.in_units(found)

    @available_if(_tells_classes)
    def predict_proba(self, X: Any, *, sites: Any = None, covariates: Any = None) -> FloatArray:
        """Return the probability of each of the two classes, ``(subject, 2)``; there for classes only."""
        share = expit(self.decision_scores(X, sites=sites, covariates=covariates))
        return np.column_stack([1 - share, share])

    def decision_scores(self, X: Any, *, sites: Any = None, covariates: Any = None) -> FloatArray:
        """Return the linear score on the scale on which it was learned (log odds, log hazard, logarithm)."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        subjects = Subjects.of(len(X), sites=sites, covariates=covariates)
        found: FloatArray = self.preparation_.transform(X, subjects) @ self._weights + self._offset
        return found

    def truth(self, y: Any, *, covariates: Any = None) -> FloatArray:
        """Return targets of other subjects as :meth:`predict` is to be compared with them.

        Numbers as they are, or what covariates leave of them; codes 0 and 1 of classes; of several targets their score
        with ``target_weights_``.
        """
        check_is_fitted(self)
        values = _other_target(y, self.target, self.classes_, self.name)
        subjects = Subjects.of(len(values), covariates=covariates)
        known = self.coding_.truth(values, subjects.covariates)
        return paired_truth(known, self.head_)

    def score(self, X: Any, y: Any, *, sites: Any = None, covariates: Any = None) -> float:
        """Return R2 of numbers, AUC of classes, C of survival, and r of the pair of scores of several targets."""
        truth = self.truth(y, covariates=covariates)
        if self.target == "number":
            return scores.r2(truth, self.predict(X, sites=sites, covariates=covariates))
        found = self.decision_scores(X, sites=sites, covariates=covariates)
        number = np.arange(len(truth))
        return main_statistic(HeldOut(number, np.zeros_like(number), truth, found, self.target))

    def adapt(self, X: Any, site: str, *, covariates: Any = None) -> Self:
        """Set the site effects of a new site from some of its unlabelled subjects, which must then not be scored.

        Raises
        ------
        InputError
            When the model has no harmoniser, or knows the site.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        self.preparation_.adapt(X, site, Subjects.of(len(X), covariates=covariates))
        return self

    def save(self, folder: str | Path) -> None:
        """Write options and all that was learned into a folder: JSON and safetensors, no pickles.

        Raises
        ------
        CapabilityError
            When ``features`` is a transformer that cannot be saved.
        """
        check_is_fitted(self)
        write_regression(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to predict, to adapt and to explain.

        Raises
        ------
        InputError
            When a file is missing, damaged, or of another kind.
        """
        model = cls()
        read_regression(model, Path(folder))
        return model

    def preparation(self) -> Preparation:
        """Return the unfitted part that sees no target."""
        if self.nuisance not in {"features", "target", "both", "none"}:
            raise InputError(f"nuisance must be features, target, both or none, got {self.nuisance!r}.")
        residualise = self.nuisance in {"features", "both"}
        return Preparation(self.features, self.harmoniser, residualise=residualise, scale=self.scale)

    def coding(self) -> TargetCoding:
        """Return the unfitted form of the target."""
        return TargetCoding(self.target, self.target_transform, residualise=self.nuisance in {"target", "both"})

    def head_options(self) -> HeadOptions:
        """Return how the head is fitted, checked."""
        self.coding()
        return HeadOptions(self.method, self.target, self.inner, self.weights, self.max_components, self.random_state)

    def require_sound(self, values: FloatArray, subjects: Subjects) -> None:
        """Refuse a target that is among the covariates, or that the site to be harmonised settles.

        Parameters
        ----------
        values
            From :func:`kotowari.studies.brain.model.target_coding.checked_target`.
        subjects
            Of the same rows.

        Raises
        ------
        DesignError
            As said.
        """
        columns = values.reshape(len(values), -1)[:, : 1 if self.target == "survival" else None]
        if subjects.covariates is not None:
            _require_no_target(columns, subjects.covariates, self.name)
        if self.harmoniser is not None and subjects.sites is not None:
            for column in columns.T:
                require_separable(column, subjects.sites, name=self.name)

    def _take_weights(self, weights: FloatArray, offset: float) -> None:
        """Set the weights on prepared features, and what follows from them, the head and the preparation."""
        self._weights, self._offset = weights, offset
        self.coef_: FloatArray = weights / self.preparation_.deviation
        self.intercept_, self.choice_ = self.head_.intercept, self.head_.choice
        self.target_weights_ = self.head_.right

    def _checked(self, X: Any, *, reset: bool) -> Any:
        if self.features is not None:
            return X
        if getattr(X, "ndim", 2) > 2:
            X = np.asarray(X).reshape(len(X), -1)
        return validate_data(self, X, reset=reset, dtype=np.float64, ensure_min_samples=2 if reset else 1)


def paired_truth(values: FloatArray, head: Head) -> FloatArray:
    """Return the score of several targets under a head; one target as it is."""
    if head.right is None or head.right_centre is None:
        return values
    joint: FloatArray = (values - head.right_centre) @ head.right
    return joint


def _other_target(y: Any, kind: TargetKind, classes: npt.NDArray[Any], name: str) -> FloatArray:
    values = np.asarray(y)
    if kind != "class":
        numbers: FloatArray = values.astype(np.float64)
        return numbers
    unknown = sorted(set(values.tolist()) - set(classes.tolist()))
    if unknown:
        raise InputError(f"{name}: {unknown[0]!r} is no class of training ({classes[0]}, {classes[1]}).")
    codes: FloatArray = np.asarray(values == classes[1], dtype=np.float64)
    return codes


def _require_no_target(columns: FloatArray, covariates: Any, name: str) -> None:
    design = CovariateDesign().fit(covariates)
    terms = design.transform(covariates)
    named = name in design.categories_
    for term, label in zip(terms.T, design.terms_, strict=True):
        for column in columns.T:
            a, b = term - term.mean(), column - column.mean()
            size = np.sqrt((a @ a) * (b @ b))
            if named or (size > 0 and len(a) > 2 and abs(a @ b) > _SAME * size):
                raise DesignError(
                    f"The covariate {name if named else label!r} is {name} itself: it would be handed to the features. "
                    "Take it out of the covariates."
                )
