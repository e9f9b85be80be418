"""The scores of fitted regressions as functions of a volume: what every map of a network explains."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kotowari.core.checks import few
from kotowari.core.errors import CapabilityError, InputError, ShapeError
from kotowari.studies.brain.model.autoencoder_input import (
    WindowInputs,
    as_source,
    mask_window,
    row_numbers,
    volumes_at_once,
)
from kotowari.studies.brain.model.latent_regression import LatentRegression

__all__ = ["BrainScore", "Encoder", "VolumeBlock"]

Rows = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]


class Encoder(Protocol):
    """A fitted :class:`kotowari.studies.brain.model.autoencoder.ConvolutionalAutoencoder`, or what does as it does."""

    @property
    def mask_(self) -> npt.NDArray[np.bool_]:
        """Voxels that count, shape of the box."""

    @property
    def mean_brain_(self) -> npt.NDArray[np.float32]:
        """Mean training brain, shape of the box."""

    @property
    def reconstruction_(self) -> Any:
        """A module with ``encode``, from the window that holds the mask to features, and ``sd`` of training brains."""


class VolumeBlock(NamedTuple):
    """Some subjects as a network sees them.

    Attributes
    ----------
    x
        Shape ``(batch, 1, *window)``, 0 outside of the mask.
    sites
        Number of each subject's site among those of :class:`BrainScore`, shape ``(batch,)``.
    rows
        Row of each subject in the table of volumes, shape ``(batch,)``.
    """

    x: Tensor
    sites: Tensor
    rows: Rows


@final
class BrainScore(nn.Module):
    r"""The linear scores of fitted regressions as functions of a volume.

    .. math:: f_h(x) = \sum_j \frac{w_{hj}}{\delta_{sj}} E_j(x)

    with the weights w of regression h on features after removal of covariates and before scaling (``coef_``), and,
    where ComBat harmonises, its spread :math:`\delta` of feature j at the subject's site s. Intercept, covariates and
    shifts of sites are left out: they do not depend on the volume, so no map can tell them. The scale is that on which
    the regression learned (logarithm, log odds, log hazard). Sums over features are taken in float64.

    Parameters
    ----------
    encoder
        Fitted. Its network works in evaluation mode and is left as it was.
    regressions
        One or more, fitted on features of this encoder with harmonising of the same sites.

    Attributes
    ----------
    mask
        Voxels that count, shape of the box.
    window
        Where the smallest window that holds the mask lies in the box, three slices.
    reference
        Mean training brain in the window, shape ``(1, *window)``.
    sd
        Deviation of training brains from their mean, in units of the volumes.
    sites
        Sites that the regressions tell apart; empty without harmonising.
    slopes
        Change of each score with each feature, float64, shape ``(regression, site + 1, feature)``; the last is for
        subjects who are not harmonised.

    Raises
    ------
    ShapeError
        When a regression was fitted on another number of features.
    CapabilityError
        When a regression has a transformer of its own between the encoder's features and its weights.
    """

    def __init__(self, encoder: Encoder, regressions: Sequence[LatentRegression]) -> None:
        super().__init__()
        if not regressions:
            raise InputError("BrainScore: there is no regression. Give one or more.")
        for regression in regressions:
            _require_no_transformer(regression, encoder)
        self.network = encoder.reconstruction_
        self.mask = np.asarray(encoder.mask_, dtype=bool)
        self.window = mask_window(self.mask)
        self.sd = float(encoder.reconstruction_.sd)
        self.reference = torch.from_numpy(encoder.mean_brain_[self.window].astype(np.float32))[None]
        harmoniser = regressions[0].preparation_.harmoniser
        self.sites: tuple[str, ...] = () if harmoniser is None else harmoniser.sites_
        self._lenient = harmoniser is None or harmoniser.unseen == "reference"
        self.slopes = torch.from_numpy(np.stack([_slopes(regression, self.sites) for regression in regressions]))
        with torch.no_grad():
            n_features = self.features(self.reference[None].to(self._device())).shape[1]
        if self.slopes.shape[2] != n_features:
            raise ShapeError.mismatch("BrainScore", "weights", ("feature", n_features), tuple(self.slopes.shape[2:]))

    @property
    def n_scores(self) -> int:
        """Number of regressions."""
        return len(self.slopes)

    def features(self, x: Tensor) -> Tensor:
        """``(batch, 1, *window) -> (batch, feature)``, float64."""
        found: Tensor = self.network.encode(x)
        return found.double()

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, 1, *window) -> (batch, score)``, a column for each regression and site; see :meth:`column`."""
        return self.features(x) @ self.slopes.flatten(0, 1).to(x.device).T

    def column(self, regression: int, sites: Tensor) -> Tensor:
        """Return which column of :meth:`forward` is a subject's score, ``(batch,)``."""
        return regression * self.slopes.shape[1] + sites

    def blocks(
        self, X: Any, *, rows: Any = None, sites: Any = None, batch_size: int | None = None
    ) -> Iterator[VolumeBlock]:
        """Yield volumes as the network sees them, some at a time.

        Parameters
        ----------
        X
            Shape ``(subject, *box)``, or a store with this mask.
        rows
            Rows to explain; None for all.
        sites
            Site of each of these rows; needed where regressions harmonise.
        batch_size
            As in :meth:`batch`.

        Raises
        ------
        InputError
            When nobody is to be explained, a volume is not finite in the mask, or a site is missing or unknown.
        """
        source = as_source(X, self.mask)
        numbers = row_numbers(source, rows)
        if not len(numbers):
            raise InputError("BrainScore: there are no subjects to explain. Give one or more.")
        codes, inputs, batch = self._codes(sites, len(numbers)), WindowInputs(source, numbers), self.batch(batch_size)
        for start in range(0, len(numbers), batch):
            samples = torch.arange(start, min(start + batch, len(numbers)))
            x = inputs[samples]
            sound = torch.isfinite(x).flatten(1).all(1)
            if not sound.all():
                name = inputs.subject(start + int((~sound).nonzero()[0]))
                raise InputError(f"{name}: the volume holds NaN or infinite values in the mask.")
            yield VolumeBlock(x.to(self._device()), codes[samples].to(self._device()), numbers[samples.numpy()])

    def batch(self, batch_size: int | None) -> int:
        """Return how many volumes are seen at once: as asked for, or by None 8 small ones to 1 large one."""
        if batch_size is None:
            return volumes_at_once(self.reference.numel())
        if batch_size < 1:
            raise InputError(f"BrainScore: batch_size must be 1 or more, got {batch_size}.")
        return batch_size

    def to_box(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Put arrays of the window into the box, 0 elsewhere: ``(..., *window) -> (..., *box)``."""
        boxes = np.zeros((*windows.shape[:-3], *self.mask.shape), dtype=windows.dtype)
        boxes[(..., *self.window)] = windows
        return boxes

    def _codes(self, sites: Any, n_rows: int) -> Tensor:
        if not self.sites:
            return torch.zeros(n_rows, dtype=torch.long)
        if sites is None or len(sites) != n_rows:
            raise InputError("BrainScore: the regression harmonises sites. Give the site of every subject explained.")
        labels = np.asarray(sites).astype(np.str_).tolist()
        unknown = sorted(set(labels) - set(self.sites))
        if unknown and not self._lenient:
            raise InputError(
                f"BrainScore: site {few(unknown)} is unknown to the regression. Adapt it to the site first."
            )
        place = {name: number for number, name in enumerate(self.sites)}
        return torch.tensor([place.get(label, len(self.sites)) for label in labels])

    def _device(self) -> torch.device:
        parameter = next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device


def _slopes(regression: LatentRegression, sites: tuple[str, ...]) -> FloatArray:
    """Return the change of the score with each feature, at each site and unharmonised, ``(site + 1, feature)``."""
    harmoniser = regression.preparation_.harmoniser
    own = () if harmoniser is None else harmoniser.sites_
    if set(own) != set(sites):
        raise InputError("BrainScore: the regressions harmonise different sites. Explain them one by one.")
    spread = np.ones((len(sites) + 1, len(regression.coef_)))
    if harmoniser is not None:
        order = [own.index(name) for name in sites]
        # features without spread pass ComBat unchanged
        spread[:-1] = np.where(harmoniser.varies_, np.sqrt(harmoniser.variance_[order]), 1.0)
    slopes: FloatArray = regression.coef_ / spread
    return slopes


def _require_no_transformer(regression: LatentRegression, encoder: Encoder) -> None:
    own = regression.preparation_.features
    if own is not None and own is not encoder:
        raise CapabilityError(
            f"BrainScore: {type(own).__name__} stands between the volumes and the weights of the regression. Fit the "
            "regression on the features of the encoder, or hand over its own fitted encoder."
        )
