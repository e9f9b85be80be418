"""Cellpose and StarDist, where a user has them with their models: trained on such images, and marked so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.core.errors import InputError
from kotowari.studies.cytology.stain_vectors import cell_map

__all__ = ["InstalledCellpose", "InstalledStarDist"]

FloatImage = npt.NDArray[np.float32]


@final
class InstalledCellpose:
    """Cellpose's cell probability as a foreground, by a model file on disk; nothing is ever downloaded.

    Cellpose's own models were trained on images like these, masks included, so its scores are no comparison of
    methods: the name says so.

    Parameters
    ----------
    model
        Weights file of a Cellpose model.

    Raises
    ------
    MissingExtraError
        When cellpose is not installed.
    InputError
        When the file does not exist.

    Source: Stringer et al. 2021, Nat. Methods 18:100-106.
    """

    name = "cellpose (trained on such images)"

    def __init__(self, model: Path) -> None:
        self.model = _existing("InstalledCellpose", Path(model))
        models = require_extra("cellpose.models", extra="cellpose", by="InstalledCellpose")
        self._network = models.CellposeModel(gpu=False, pretrained_model=str(self.model))

    def fit(
        self,
        images: Sequence[npt.NDArray[Any]],  # noqa: ARG002 - the finders' contract
        groups: npt.ArrayLike | None = None,  # noqa: ARG002 - the finders' contract
    ) -> Self:
        """Learn nothing: the model is used as it is."""
        return self

    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """``(height, width, channel) -> (height, width)``, log odds of a cell."""
        _, flows, *_ = self._network.eval(cell_map(image))
        return np.asarray(flows[2], dtype=np.float32)

    def cut(self, foreground: npt.ArrayLike) -> float:  # noqa: ARG002 - the finders' contract
        """Even odds."""
        return 0.0


@final
class InstalledStarDist:
    """StarDist's object probability as a foreground, by a model folder on disk; nothing is ever downloaded.

    Trained on such images: the name says so.

    Parameters
    ----------
    model
        Folder of a StarDist model, with its ``config.json`` and weights.

    Raises
    ------
    MissingExtraError
        When stardist is not installed.
    InputError
        When the folder does not exist.

    Source: Schmidt et al. 2018, MICCAI, 265-273.
    """

    name = "stardist (trained on such images)"

    def __init__(self, model: Path) -> None:
        self.model = _existing("InstalledStarDist", Path(model))
        models = require_extra("stardist.models", extra="stardist", by="InstalledStarDist")
        self._network = models.StarDist2D(None, name=self.model.name, basedir=str(self.model.parent))

    def fit(
        self,
        images: Sequence[npt.NDArray[Any]],  # noqa: ARG002 - the finders' contract
        groups: npt.ArrayLike | None = None,  # noqa: ARG002 - the finders' contract
    ) -> Self:
        """Learn nothing: the model is used as it is."""
        return self

    def foreground(self, image: npt.ArrayLike) -> FloatImage:
        """``(height, width, channel) -> (height, width)``, 1 inside of its objects, 0 outside."""
        cells = cell_map(image)
        low, high = np.percentile(cells, [1, 99.8])
        labels, _ = self._network.predict_instances((cells - low) / max(float(high - low), 1e-6))
        return (np.asarray(labels) > 0).astype(np.float32)

    def cut(self, foreground: npt.ArrayLike) -> float:  # noqa: ARG002 - the finders' contract
        """One half."""
        return 0.5


def _existing(owner: str, path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{owner}: {path} does not exist. Give a model that is on this machine; none is downloaded.")
    return path
