"""Guards: nothing that is tested on may have been learned from."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import few
from kotowari.core.errors import DesignError, InputError
from kotowari.core.evidence import Check
from kotowari.trust.folds import duplicated_rows

__all__ = ["confounding_check", "require_blind", "require_distinct_rows", "require_not_derived_from"]

Array = npt.NDArray[Any]
Fit = Callable[[Array, Array], Any]


def require_blind(name: str, fit: Fit, X: npt.ArrayLike, y: npt.ArrayLike, *, test: npt.ArrayLike) -> None:
    """Prove that a fit does not read the rows kept aside, by poisoning them.

    The features of the test rows become NaN and their targets are swapped for others; the outcome must stay the same to
    the last digit.

    Parameters
    ----------
    name
        What is fitted, for the sentence.
    fit
        ``fit(X, y)`` gets all rows, learns from the training rows alone, and returns what it learned: an array, or a
        list or mapping of arrays. Equal input must give equal output.
    X, y
        Shape ``(sample, ...)`` and ``(sample,)``.
    test
        Row numbers kept aside.

    Raises
    ------
    DesignError
        When the outcome changes, or the fit stumbles over the poison.
    InputError
        When the fit gives another outcome on the very same input, so that nothing can be proved.
    """
    rows, target, aside = np.asarray(X, dtype=np.float64), np.asarray(y), np.asarray(test)
    clean = fit(rows.copy(), target.copy())
    poisoned, swapped = rows.copy(), target.copy()
    poisoned[aside] = np.nan
    values = np.unique(target)
    swapped[aside] = values[(np.searchsorted(values, target[aside]) + 1) % len(values)]
    complaint = f"{name} reads the test rows: its outcome changes when they are poisoned. Fit it on training rows only."
    try:
        seen = fit(poisoned, swapped)
    except ValueError as error:  # what scikit-learn and this package raise on NaN
        raise DesignError(f"{complaint} (It stopped with: {error})") from error
    if _equal(clean, seen):
        return
    if not _equal(clean, fit(rows.copy(), target.copy())):
        raise InputError(f"{name} gives another outcome on the same input. Fix its random state, then test it again.")
    raise DesignError(complaint)


def require_distinct_rows(
    X: Any, groups: npt.ArrayLike | None = None, *, names: Iterable[object] | None = None
) -> None:
    """Refuse rows that are equal although their groups differ: one subject under two names.

    Parameters
    ----------
    X, groups
        As in :func:`kotowari.trust.folds.duplicated_rows`.
    names
        Name of each row for the sentence; None takes the row numbers.

    Raises
    ------
    DesignError
        Names the rows.
    """
    twins = duplicated_rows(X, groups)
    if twins:
        labels = [str(name) for name in (range(len(X)) if names is None else names)]
        shown = few((" = ".join(labels[row] for row in same) for same in twins), 3)
        raise DesignError(
            f"{len(twins)} sets of rows are equal but stand in different groups ({shown}): one subject may be learned "
            "and tested. Give them one group, or drop the copies."
        )


def require_not_derived_from(
    features: Iterable[str], targets: Iterable[str], derived_from: Mapping[str, Iterable[str]]
) -> None:
    """Refuse features and targets that go back to a common block of data.

    Parameters
    ----------
    features
        Blocks that predict, or that the evidence was computed from.
    targets
        Blocks that are predicted.
    derived_from
        Block to the blocks it was computed with, such as ``{"networks": ("expression", "modulator")}``. A block that is
        not listed was measured.

    Raises
    ------
    DesignError
        Tells the way from the feature to the block it shares with the target.
    InputError
        When a block is derived from itself.

    Examples
    --------
    >>> require_not_derived_from(["networks"], ["survival"], {"networks": ["expression"]})
    """
    parents = {block: tuple(above) for block, above in derived_from.items()}
    behind_targets: dict[str, tuple[str, ...]] = {}
    for target in targets:
        for block, way in _ways_up(target, parents).items():
            behind_targets.setdefault(block, way)
    for feature in features:
        for block, way in _ways_up(feature, parents).items():
            if block in behind_targets:
                here, there = " <- ".join(way), " <- ".join(behind_targets[block])
                raise DesignError(
                    f"Circular: the features ({here}) and the target ({there}) both go back to {block!r}. Predict a "
                    f"target that was measured apart, or compare with a null from {block!r} alone."
                )


def confounding_check(y: npt.ArrayLike, site: npt.ArrayLike, *, name: str = "site", threshold: float = 0.8) -> Check:
    r"""See whether a nuisance such as the site tells the class by itself.

    .. math:: \lambda = \frac{\sum_s \max_c n_{sc} - \max_c n_c}{n - \max_c n_c}

    0 when the site says nothing beyond the commonest class, 1 when it settles the class. Sites of one sample settle
    everything and say nothing, so a table without repeated sites is not judged.

    Parameters
    ----------
    y, site
        Shape ``(sample,)``.
    name
        The nuisance, for the sentence.
    threshold
        Largest share of errors that the site may remove.

    Source: Goodman and Kruskal 1954, J. Am. Stat. Assoc. 49:732-764 (lambda).
    """
    classes, codes = np.unique(np.asarray(y), return_inverse=True)
    sites, places = np.unique(np.asarray(site), return_inverse=True)
    title = f"confounding by {name}"
    counts = np.zeros((len(sites), len(classes)), dtype=np.int64)
    np.add.at(counts, (places, codes), 1)
    if len(classes) < 2 or len(sites) < 2 or 2 * len(sites) > len(codes):
        return Check.not_applicable(
            title,
            f"{len(sites)} values of {name} on {len(codes)} samples of {len(classes)} classes: nothing to compare.",
        )
    commonest = counts.sum(0).max()
    share = float((counts.max(1).sum() - commonest) / (len(codes) - commonest))
    told = "settles most of the class, so a model may read it instead" if share > threshold else "leaves the class open"
    return Check.at_most(
        title,
        share,
        threshold,
        f"The {name} removes {100 * share:.0f} % of the errors that guessing the commonest class makes: it {told}.",
    )


def _ways_up(block: str, parents: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return every block behind ``block``, itself included, with the way that leads there."""
    ways: dict[str, tuple[str, ...]] = {}
    waiting: list[tuple[str, ...]] = [(block,)]
    while waiting:
        way = waiting.pop()
        for parent in parents.get(way[-1], ()):
            if parent in way:
                raise InputError(f"derived_from goes in a circle: {' <- '.join((*way, parent))}.")
            waiting.append((*way, parent))
        ways.setdefault(way[-1], way)
    return ways


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_equal(one, other) for one, other in zip(a, b, strict=True))
    left, right = np.asarray(a), np.asarray(b)
    return left.shape == right.shape and bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
