"""Site effects taken out of features, learned from the training rows and never from a target."""

from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.brain.model.combat_saved import read_combat, write_combat
from kotowari.studies.brain.model.covariate_design import CovariateDesign
from kotowari.studies.brain.model.site_parameters import site_parameters
from kotowari.trust.leakage import require_not_derived_from

__all__ = ["ComBat"]

FloatArray = npt.NDArray[np.float64]


class ComBat(BaseEstimator):
    r"""Sites brought to one mean and spread, feature by feature, with shrinkage over features.

    .. math::
        y_{ijv} = \alpha_v + x_{ij} \beta_v + \gamma_{iv} + \delta_{iv} \varepsilon_{ijv}
        \;\to\; \frac{z_{ijv} - \gamma^*_{iv}}{\delta^*_{iv}} \sigma_v + \alpha_v + x_{ij} \beta_v, \quad
        z = \frac{y - \alpha - x\beta}{\sigma}

    for subject j of site i and feature v; :math:`\gamma^*, \delta^*` by
    :func:`kotowari.studies.brain.model.site_parameters.site_parameters`. Least squares gives :math:`\alpha` (the mean
    of the sites' intercepts, weighted by their subjects) and :math:`\beta`; :math:`\sigma^2` is the mean squared
    residual. Features that do not vary pass unchanged.

    Covariates (age, sex) are what must survive. **Never give the target, or anything made from it**: harmonised
    features would carry it into the test rows. Fit inside the fold; :class:`LatentRegression` does both. There is no
    place for it in scikit-learn's ``Pipeline``, which hands no sites to ``transform``.

    Parameters
    ----------
    empirical_bayes
        False takes each site's own mean and variance a feature, without shrinkage.
    reference
        A site to which the others are brought and whose own values stay; None brings all to their common mean.
    unseen
        What to do with a site that training had not: ``"refuse"``, or ``"reference"``: pass its values as they are, as
        if it measured like the reference (or the common mean). :meth:`adapt` is the third way.
    tol
        Largest relative change of a site's parameter at which to stop.
    max_steps
        Step limit.

    Attributes
    ----------
    sites_
        Labels, in the order of the rows of ``shift_`` and ``variance_``; adapted sites last.
    shift_, variance_
        :math:`\gamma^*` and :math:`\delta^{*2}`, shape ``(site, feature)``.
    mean_, deviation_
        :math:`\alpha` and :math:`\sigma`, shape ``(feature,)``.
    coef_
        :math:`\beta`, shape ``(term, feature)``.
    adapted_
        Sites that came by :meth:`adapt`.

    Source: Johnson, Li and Rabinovic 2007, Biostatistics 8:118-127; for images Fortin et al. 2018, NeuroImage
    167:104-120. ``unseen`` and :meth:`adapt` with training's :math:`\alpha, \beta, \sigma` are ours.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(40, 5))
    >>> sites = np.repeat(["A", "B"], 20)
    >>> values[20:] += 3
    >>> harmonised = ComBat().fit_transform(values, sites)
    >>> bool(abs(harmonised[:20].mean() - harmonised[20:].mean()) < 0.05)
    True
    """

    def __init__(
        self,
        *,
        empirical_bayes: bool = True,
        reference: str | None = None,
        unseen: Literal["refuse", "reference"] = "refuse",
        tol: float = 1e-4,
        max_steps: int = 1000,
    ) -> None:
        self.empirical_bayes = empirical_bayes
        self.reference = reference
        self.unseen = unseen
        self.tol = tol
        self.max_steps = max_steps

    def fit(self, X: npt.ArrayLike, sites: npt.ArrayLike, covariates: Any = None) -> Self:
        """Learn the effects of the sites.

        Parameters
        ----------
        X
            Shape ``(subject, ...)``, finite.
        sites
            Label of each subject's site or scanner, shape ``(subject,)``.
        covariates
            What must survive: DataFrame, mapping of columns, or array ``(subject, covariate)``; None for nothing.

        Raises
        ------
        DesignError
            When a site has one subject, a covariate is settled by the site, or subjects are too few.
        InputError
            When values are not finite, the reference is no site of training, or shrinkage has one feature only.
        """
        values, labels = self._rows(X, sites)
        self.n_features_in_, self.shape_in_ = values.shape[1], tuple(np.shape(X)[1:])
        names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        _require_pairs(names, counts)
        if self.reference is not None and self.reference not in names:
            raise InputError(f"ComBat: the reference {self.reference!r} is no training site ({few(names)}).")
        self.covariates_ = CovariateDesign().fit(np.empty((len(values), 0)) if covariates is None else covariates)
        terms = self._terms(covariates, len(values))
        design = np.hstack([np.eye(len(names))[codes], terms])
        self._require_full_rank(design, len(names))
        coef = np.linalg.pinv(design) @ values
        residuals = values - design @ coef
        own = np.ones(len(values), bool) if self.reference is None else labels == self.reference
        weight = np.bincount(codes[own], minlength=len(names)) / own.sum()
        self.mean_: FloatArray = weight @ coef[: len(names)]
        self.coef_: FloatArray = coef[len(names) :]
        self.deviation_: FloatArray = np.sqrt((residuals[own] ** 2).mean(0))
        # what rounding leaves of a constant feature is no spread
        self.varies_ = self.deviation_ > 1e-10 * (np.abs(values).max(0) + np.finfo(np.float64).tiny)
        if self.empirical_bayes and self.varies_.sum() < 2:
            raise InputError("ComBat: shrinkage needs two varying features or more. Set empirical_bayes=False.")
        self.sites_: tuple[str, ...] = ()
        self.adapted_: tuple[str, ...] = ()
        self.shift_ = self.variance_ = np.empty((0, values.shape[1]))
        standard = self._standardised(values, terms)
        for number, name in enumerate(names):
            self._learn_site(str(name), standard[codes == number], keep=name == self.reference)
        return self

    def transform(self, X: npt.ArrayLike, sites: npt.ArrayLike, covariates: Any = None) -> FloatArray:
        """Return the harmonised features, in the shape of ``X``, float64.

        Raises
        ------
        InputError
            When a site was not among those of training and may not pass, or covariates do not fit.
        ShapeError
            When there are other features than in training.
        """
        check_is_fitted(self)
        values, labels = self._rows(X, sites)
        if tuple(np.shape(X)[1:]) != self.shape_in_:
            raise ShapeError.mismatch("ComBat", "X", ("subject", *self.shape_in_), np.shape(X))
        unknown = sorted(set(labels) - set(self.sites_))
        if unknown and self.unseen == "refuse":
            raise InputError(
                f"ComBat: no training subject comes from site {few(unknown)} (known: {few(self.sites_)}). Adapt to it "
                "with some of its unlabelled subjects, or pass its values unchanged with unseen='reference'."
            )
        terms = self._terms(covariates, len(values))
        standard = self._standardised(values, terms)
        shift = np.vstack([self.shift_, np.zeros(values.shape[1])])
        spread = np.sqrt(np.vstack([self.variance_, np.ones(values.shape[1])]))
        place = {name: row for row, name in enumerate(self.sites_)}
        rows = np.array([place.get(label, len(place)) for label in labels], dtype=np.intp)
        moved = (standard - shift[rows]) / spread[rows] * self.deviation_ + self.mean_ + terms @ self.coef_
        return np.asarray(np.where(self.varies_, moved, values).reshape(np.shape(X)))

    def fit_transform(self, X: npt.ArrayLike, sites: npt.ArrayLike, covariates: Any = None) -> FloatArray:
        """Fit, and return the training rows harmonised."""
        return self.fit(X, sites, covariates).transform(X, sites, covariates)

    def adapt(self, X: npt.ArrayLike, site: str, covariates: Any = None) -> Self:
        """Learn shift and spread of a new site from some of its subjects, without any target.

        Mean, spread and effects of covariates stay those of training. The subjects given here have been seen and must
        not be scored.

        Parameters
        ----------
        X
            Shape ``(subject, ...)``, two subjects or more.
        site
            Label of the new site.
        covariates
            As in training; needed when there were some.

        Raises
        ------
        DesignError
            When fewer than two subjects are given.
        InputError
            When the site is known already.
        """
        check_is_fitted(self)
        values, _ = self._rows(X, np.full(len(np.asarray(X)), str(site)))
        if str(site) in self.sites_:
            raise InputError(f"ComBat: site {site} is known already; adapting would change what was learned.")
        _require_pairs(np.array([str(site)]), np.array([len(values)]))
        self._learn_site(str(site), self._standardised(values, self._terms(covariates, len(values))))
        self.adapted_ = (*self.adapted_, str(site))
        return self

    def save(self, folder: str | Path) -> None:
        """Write options and what was learned into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self)
        write_combat(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to transform and to adapt.

        Raises
        ------
        InputError
            When a file is missing, damaged, or of another kind.
        """
        combat = cls()
        read_combat(combat, Path(folder))
        return combat

    def require_blind_to(self, target: str) -> None:
        """Refuse covariates of the target's name; :class:`LatentRegression` also compares their values.

        Raises
        ------
        DesignError
            When the target is among the covariates.
        """
        check_is_fitted(self)
        require_not_derived_from(
            ["harmonised features"], [target], {"harmonised features": tuple(self.covariates_.categories_)}
        )

    def _learn_site(self, name: str, standard: FloatArray, *, keep: bool = False) -> None:
        shift, variance = np.zeros(standard.shape[1]), np.ones(standard.shape[1])
        if not keep:
            found = site_parameters(
                standard[:, self.varies_],
                empirical_bayes=self.empirical_bayes,
                tol=self.tol,
                max_steps=self.max_steps,
            )
            if not (found.variance > 0).all():
                raise DesignError(
                    f"ComBat: {int((found.variance <= 0).sum())} features do not vary at site {name}, so that their "
                    "spread cannot be set. Drop them, join the site with another, or use empirical_bayes=True."
                )
            shift[self.varies_], variance[self.varies_] = found.shift, found.variance
        self.sites_ = (*self.sites_, name)
        self.shift_ = np.vstack([self.shift_, shift])
        self.variance_ = np.vstack([self.variance_, variance])

    def _standardised(self, values: FloatArray, terms: FloatArray) -> FloatArray:
        standard: FloatArray = (values - self.mean_ - terms @ self.coef_) / np.where(self.varies_, self.deviation_, 1.0)
        return standard

    def _terms(self, covariates: Any, n_rows: int) -> FloatArray:
        known = self.covariates_.categories_
        if covariates is None and known:
            raise InputError(f"ComBat: was fitted with covariates ({few(known)}). Give them for these subjects too.")
        if not known:
            return np.empty((n_rows, 0))
        return self.covariates_.transform(covariates, n_rows)

    def _require_full_rank(self, design: FloatArray, n_sites: int) -> None:
        spread = design.std(0)
        rank = int(np.linalg.matrix_rank(design / np.where(spread > 0, spread, 1.0)))
        terms = few(self.covariates_.terms_)
        if rank < design.shape[1]:
            raise DesignError(
                f"ComBat: cannot separate the {n_sites} sites from the covariates ({terms}): one follows from the "
                "others. Drop the covariate that does not vary within sites."
            )
        if len(design) < rank + 2:
            raise DesignError(
                f"ComBat: {len(design)} subjects are too few for {n_sites} sites and covariates ({terms or 'none'}). "
                "Join sites, or preserve less."
            )

    def _rows(self, X: npt.ArrayLike, sites: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.str_]]:
        values = np.asarray(X, dtype=np.float64)
        if values.ndim < 2:
            raise ShapeError.mismatch("ComBat", "X", ("subject", "..."), values.shape)
        labels = np.asarray(sites)
        if labels.shape != (len(values),):
            raise ShapeError.mismatch("ComBat", "sites", (len(values),), labels.shape)
        values = values.reshape(len(values), -1)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise InputError(f"ComBat: feature {column} of row {row} is NaN or infinite. Leave it out, or fill it in.")
        return values, labels.astype(np.str_)


def _require_pairs(names: npt.NDArray[Any], counts: npt.NDArray[Any]) -> None:
    lonely = [str(name) for name, count in zip(names, counts, strict=True) if count < 2]
    if lonely:
        raise DesignError(
            f"ComBat: site {few(lonely)} has one subject, whose own value cannot be told from the site's. Leave it "
            "out, or join the site with another."
        )
