"""A modulator from the genes of a signature, fitted on training samples alone."""

from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import InputError
from kotowari.studies.genenet.model.profile.coherent_genes import coherence_p, coherent_genes
from kotowari.studies.genenet.model.profile.input import (
    ExpressionTable,
    expression_table,
    gene_positions,
    require_finite,
    require_same_genes,
    require_varying,
)

__all__ = ["SignatureScore"]

Floats = npt.NDArray[np.float64]
Method = Literal["first_component", "mean_z", "ks"]

_FEWEST_GENES = 3


class SignatureScore(TransformerMixin, BaseEstimator):
    r"""One number a sample from a set of genes, such as how mesenchymal a tumour is.

    Means, standard deviations and loadings are those of the samples given to ``fit``; new samples are scored by them,
    so that the score belongs inside the fold.

    * ``"first_component"``: first principal component of the standardised genes, with variance 1 over the training
      samples. Its sign is fixed: it rises with the mean of ``up`` minus the mean of ``down``.
    * ``"mean_z"``: mean of the standardised ``up`` genes minus that of ``down``.
    * ``"ks"``: the genes of a sample are ranked by their standardised value, highest first; the score of a set is the
      largest deviation, with its sign, of the share of the set seen so far from the share of all other genes seen so
      far, -1 to 1. Score of ``up`` minus score of ``down``.

    Parameters
    ----------
    up
        Genes that rise with the score, names in the table.
    down
        Genes that fall with it; may be empty.
    method
        ``"first_component"``, ``"mean_z"`` or ``"ks"``.
    coherent
        None takes all genes. A number above 0 and below 1 takes the largest part of them that moves together in the
        training samples (genes that fall are turned): closer to one profile than all but this share of the other genes;
        see :func:`~kotowari.studies.genenet.model.profile.coherent_genes.coherent_genes`. 0.05 is the radius of the
        program that it follows. Needs the whole table, 100 genes or more besides the signature.

    Attributes
    ----------
    genes_
        The genes that the score is made of, ``up`` first.
    left_out_
        Genes of the signature that do not move with them; none where ``coherent`` is None.
    loadings_
        Shape ``(gene,)``: weights of the standardised genes, for the two linear methods.
    explained_
        Share of the signature's variance that the first component carries; only for that method.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    InputError
        At ``fit``: when a gene is not in the table (which), is constant, has a missing value, or stands in both lists,
        when the first component has fewer than three genes, or goes along with neither list, or when no coherent part
        rises. ``"ks"`` and ``coherent`` read all genes.

    Source: Shimamura et al. 2011, PLoS ONE 6:e20804 (first component of the coherent genes of a signature as
    modulator); Subramanian et al. 2005, PNAS 102, unweighted running sum.
    """

    def __init__(
        self,
        up: Sequence[str],
        down: Sequence[str] = (),
        *,
        method: Method = "first_component",
        coherent: float | None = None,
    ) -> None:
        self.up = up
        self.down = down
        self.method = method
        self.coherent = coherent

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on a DataFrame or array of shape ``(sample, gene)``; y is not used."""
        del y
        if self.method not in get_args(Method):
            raise InputError(
                f"SignatureScore: method must be one of {', '.join(get_args(Method))}, got {self.method!r}."
            )
        table = expression_table(X)
        self._take_genes(table)
        if self.coherent is not None:
            self._keep_coherent(table, self.coherent)
        self.genes_ = tuple(table.genes[column] for column in self._columns)
        if self.method == "first_component" and len(self._columns) < _FEWEST_GENES:
            raise InputError(
                f"SignatureScore: a first component needs {_FEWEST_GENES} genes or more, got {len(self._columns)}."
            )
        self.__dict__.pop("feature_names_in_", None)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(table.genes, dtype=object)
        signature = self._standardised(table)[:, self._columns]
        if self.method == "ks":
            return self
        n_down = len(self._columns) - self._n_up
        means = np.full(len(self._columns), 1.0 / self._n_up)
        means[self._n_up :] = -1.0 / max(n_down, 1)
        self.loadings_ = means if self.method == "mean_z" else self._first_component(signature, means)
        return self

    def transform(self, X: Any) -> Floats:
        """Return the score of every sample, ``(sample, gene) -> (sample, 1)``."""
        check_is_fitted(self)
        table = expression_table(X, training=False)
        require_same_genes(table, self._genes, by="SignatureScore")
        require_finite(table, np.arange(len(table.genes)) if self.method == "ks" else self._columns)
        values = self._standardised(table)
        if self.method != "ks":
            return np.asarray(values[:, self._columns] @ self.loadings_)[:, None]
        score = _running_sum(values[:, self._varying], self._places(slice(None, self._n_up)))
        if self._n_up < len(self._columns):
            score = score - _running_sum(values[:, self._varying], self._places(slice(self._n_up, None)))
        return score[:, None]

    def coherence_p(self, X: Any, *, n_draws: int = 99, random_state: int = 0) -> float:
        """Return how often a random set of as many genes has a coherent part as large as the signature.

        Parameters
        ----------
        X
            The table that was given to ``fit``.
        n_draws
            Random sets.
        random_state
            Seed of the sets.

        Raises
        ------
        InputError
            As in :meth:`fit`, or when ``coherent`` is None.
        """
        if self.coherent is None:
            raise InputError("SignatureScore: all genes are taken (coherent=None), so there is no part to be judged.")
        check_is_fitted(self)
        table = expression_table(X)
        require_same_genes(table, self._genes, by="SignatureScore")
        rng = np.random.default_rng(random_state)
        return coherence_p(*self._turned(table), share=self.coherent, n_draws=n_draws, rng=rng)

    def _take_genes(self, table: ExpressionTable) -> None:
        up = gene_positions(list(self.up), table.genes, what="SignatureScore, up")
        down = gene_positions(list(self.down), table.genes, what="SignatureScore, down") if len(self.down) else up[:0]
        if both := set(up) & set(down):
            raise InputError(f"SignatureScore: {table.genes[min(both)]} stands in up and in down. Choose one.")
        columns = np.concatenate([up, down])
        whole = self.method == "ks" or self.coherent is not None
        require_finite(table, np.arange(len(table.genes)) if whole else columns)
        require_varying(table, columns, what="SignatureScore, genes of the signature")
        self._named = self._columns = columns
        self._n_up = len(up)
        self._mean, deviation = table.values.mean(0), table.values.std(0)
        self._varying = deviation > 0
        self._deviation = np.where(self._varying, deviation, 1.0)
        self._genes, self.n_features_in_, self.left_out_ = table.genes, len(table.genes), ()

    def _turned(self, table: ExpressionTable) -> tuple[Floats, Floats]:
        """Return the signature, genes that fall turned, and all other genes that vary; standardised."""
        values = self._standardised(table)
        signature = values[:, self._named]
        signature[:, len(self.up) :] *= -1
        other = self._varying.copy()
        other[self._named] = False
        return signature, values[:, other]

    def _keep_coherent(self, table: ExpressionTable, share: float) -> None:
        found = coherent_genes(*self._turned(table), share=share)
        kept, left = self._columns[found.members], self._columns[~found.members]
        n_up = int(found.members[: self._n_up].sum())
        if not n_up:
            which = "nor do any others" if not len(kept) else "those that do are down-genes"
            raise InputError(
                f"SignatureScore: no up-genes of the signature move together, {which}. Check its directions, or "
                "take all of it (coherent=None)."
            )
        self._columns, self._n_up = kept, n_up
        self.left_out_ = tuple(table.genes[column] for column in left)

    def _standardised(self, table: ExpressionTable) -> Floats:
        return np.asarray((table.values - self._mean) / self._deviation)

    def _first_component(self, signature: Floats, means: Floats) -> Floats:
        _, size, right = np.linalg.svd(signature, full_matrices=False)
        self.explained_ = float(size[0] ** 2 / (size**2).sum())
        score, direction = signature @ right[0], signature @ means
        agreement = float(score @ direction)
        if abs(agreement) <= 1e-9 * float(np.linalg.norm(score) * np.linalg.norm(direction)):
            raise InputError(
                "SignatureScore: the first component has no sign: it goes along with neither up nor down. "
                "Choose method='mean_z', or a more coherent signature."
            )
        return np.asarray(right[0] * (np.sign(agreement) / score.std()))

    def _places(self, part: slice) -> npt.NDArray[np.bool_]:
        """Return which of the varying genes belong to one of the two lists."""
        member = np.zeros(self.n_features_in_, dtype=np.bool_)
        member[self._columns[part]] = True
        return np.asarray(member[self._varying])


def _running_sum(values: Floats, member: npt.NDArray[np.bool_]) -> Floats:
    """Return the largest signed deviation of each row's running sum, shape ``(sample,)``."""
    if member.all():
        raise InputError("SignatureScore: method='ks' needs genes outside the signature. Bring the whole table.")
    seen = member[np.argsort(-values, axis=1, kind="stable")]
    walk = np.cumsum(np.where(seen, 1.0 / member.sum(), -1.0 / (~member).sum()), axis=1)
    furthest = np.abs(walk).argmax(axis=1)
    return np.asarray(walk[np.arange(len(walk)), furthest])
