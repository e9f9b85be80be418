"""Whether an attribution adds up to what it explains."""

from torch import Tensor

from kotowari.core.errors import ShapeError

__all__ = ["completeness_gap"]


def completeness_gap(values: Tensor, change: Tensor, *, eps: float = 1e-6) -> Tensor:
    r"""Return how far the sum of an attribution lies from the change of the score.

    .. math:: \mathrm{gap} = \frac{|\sum_i a_i - (f(x) - f(x_0))|}{\max(|f(x) - f(x_0)|, \varepsilon)}

    Sums are taken in float64. Complete by construction: integrated gradients, linear models, and gradient x input of
    piecewise-linear networks without bias (:math:`x_0 = 0`).

    Parameters
    ----------
    values
        Attribution a, shape ``(batch, ...)``.
    change
        :math:`f(x) - f(x_0)`, shape ``(batch,)``, as from two calls of :func:`target_scores`.
    eps
        Change of the score, in its units, below which the gap is no longer relative; above 0.

    Returns
    -------
    Tensor
        Shape ``(batch,)``, float64, 0 or more, without unit.

    Raises
    ------
    ShapeError
        When there is not one change a sample.

    Source: Sundararajan et al. 2017, ICML, section 3 (completeness); the relative form is ours.

    Examples
    --------
    >>> import torch
    >>> completeness_gap(torch.tensor([[1.0, 2.0]]), torch.tensor([4.0])).item()
    0.25
    """
    if change.shape != values.shape[:1]:
        raise ShapeError.mismatch("completeness_gap", "change", values.shape[:1], change.shape)
    total = values.double().reshape(len(values), -1).sum(1)
    wanted = change.double()
    return (total - wanted).abs() / wanted.abs().clamp_min(eps)
