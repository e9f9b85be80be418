"""Foreground by robust principal components of the batch: what a common low-rank background leaves over."""

from collections.abc import Sequence
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import torch
from skimage.transform import resize

from kotowari.core.errors import DesignError
from kotowari.priors.low_rank_sparse import background_basis, project_out
from kotowari.priors.robust_pca import robust_pca
from kotowari.studies.cytology.baselines.background import otsu_cut
from kotowari.studies.cytology.stain_vectors import cell_map

__all__ = ["LowRankBackground"]

FloatImage = npt.NDArray[np.float32]
_FEWEST_IMAGES = 2


@final
class LowRankBackground:
    """The map on which cells are bright, less its projection on the backgrounds of the images fitted on.

    The maps are made one size, split into low rank plus sparse, and the row space of the low-rank part is kept. The
    background of an image, seen or not, is its projection on that space, enlarged to the image.

    Parameters
    ----------
    shape
        Height and width at which the background is computed, px.
    tol
        Directions of the low-rank part weaker than this share of its strongest are left out.
    share
        Of Otsu's threshold of the difference; see
        :func:`~kotowari.studies.cytology.baselines.background.otsu_cut`.

    Attributes
    ----------
    basis_
        Shape ``(pixel, rank)``.

    Source: Candes, Li, Ma and Wright 2011, J. ACM 58(3), eq. 1.1; see :func:`kotowari.priors.robust_pca.robust_pca`.
    """

    name = "robust PCA"

    def __init__(self, shape: tuple[int, int] = (128, 128), tol: float = 1e-2, share: float = 1.0) -> None:
        self.shape, self.tol, self.share = shape, tol, share
        self.basis_: torch.Tensor | None = None

    def fit(
        self,
        images: Sequence[npt.NDArray[Any]],
        groups: npt.ArrayLike | None = None,  # noqa: ARG002 - the finders' contract
    ) -> Self:
        """Learn the common background of ``images``, each ``(height, width, channel)``.

        Raises
        ------
        DesignError
            When there are fewer than two images.
        """
        if len(images) < _FEWEST_IMAGES:
            raise DesignError(
                f"LowRankBackground: needs {_FEWEST_IMAGES} images or more, got {len(images)}: one is low rank."
            )
        rows = torch.from_numpy(np.stack([self._small(cell_map(image)).ravel() for image in images]))
        low_rank = robust_pca(rows).state.low_rank
        self.basis_ = background_basis(low_rank.reshape(len(images), -1), self.tol)
        return self

    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """``(height, width, channel) -> (height, width)``.

        Raises
        ------
        DesignError
            Before :meth:`fit`.
        """
        if self.basis_ is None:
            raise DesignError("LowRankBackground: call fit before foreground.")
        cells = cell_map(image)
        small = torch.from_numpy(self._small(cells).ravel())
        background = (small - project_out(small, self.basis_)).numpy().reshape(self.shape)
        difference: FloatImage = cells - resize(background, cells.shape, order=1).astype(np.float32)
        return difference

    def cut(self, foreground: npt.ArrayLike) -> float:
        """Threshold of a map."""
        return otsu_cut(foreground, self.share)

    def _small(self, cells: FloatImage) -> FloatImage:
        small: FloatImage = resize(cells, self.shape, order=1, anti_aliasing=True).astype(np.float32)
        return small
