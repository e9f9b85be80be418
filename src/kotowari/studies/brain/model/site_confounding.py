"""Whether sites and a target can be told apart at all."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import DesignError
from kotowari.core.evidence import Check, Verdict
from kotowari.trust.leakage import confounding_check

__all__ = ["require_separable", "separation_check"]

_CUTS = (0.25, 0.5, 0.75)
_FEW_VALUES = 4


def separation_check(values: npt.ArrayLike, sites: npt.ArrayLike, *, name: str, threshold: float = 0.8) -> Check:
    """See whether the site settles a target, so that removing the site would remove the target.

    Numbers are cut at their quartiles, and the cut that the site tells best counts; see
    :func:`kotowari.trust.leakage.confounding_check` for the measure.

    Parameters
    ----------
    values
        Classes or numbers, shape ``(subject,)``.
    sites
        Shape ``(subject,)``.
    name
        The target, for the sentence.
    threshold
        Largest share of errors that the site may remove.
    """
    target, where = np.asarray(values), np.asarray(sites).astype(str)
    title = f"{name} apart from site"
    found = [confounding_check(classes, where, threshold=threshold) for classes in _as_classes(target)]
    judged = [check for check in found if check.value is not None]
    if not judged:
        sentence = found[0].sentence if found else f"{name} is constant: nothing to compare."
        return Check.not_applicable(title, sentence)
    share = max(float(check.value or 0.0) for check in judged)
    told = (
        f"cannot separate {name} from the site: harmonising would remove both"
        if share > threshold
        else f"{name} varies within sites"
    )
    return Check.at_most(title, share, threshold, f"The site removes {100 * share:.0f} % of the errors: {told}.")


def require_separable(values: npt.ArrayLike, sites: npt.ArrayLike, *, name: str, threshold: float = 0.8) -> None:
    """Refuse to harmonise where the site settles the target.

    Raises
    ------
    DesignError
        When :func:`separation_check` fails.
    """
    check = separation_check(values, sites, name=name, threshold=threshold)
    if check.verdict is Verdict.FAIL:
        raise DesignError(
            f"{check.sentence} Bring subjects that cover the range of {name} at every site, or analyse one site."
        )


def _as_classes(target: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    kinds = np.unique(target)
    if target.dtype.kind not in "fiu" or len(kinds) <= _FEW_VALUES:
        return [target] if len(kinds) > 1 else []
    cuts = np.unique(np.quantile(target, _CUTS))
    return [halves for cut in cuts if len(np.unique(halves := target > cut)) > 1]
