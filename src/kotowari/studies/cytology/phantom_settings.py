"""Constants of the simulated smears: stain, cells, slides, debris and camera."""

from dataclasses import dataclass
from typing import Literal

from kotowari.core.errors import InputError

__all__ = ["CellSettings", "StainKind"]

StainKind = Literal["grey", "colour", "fluorescence"]

_SHARES = ("overlap", "ramp", "clustering", "haze", "defocus")
_RISING = {"n_cells": 0.0, "radius": 3.0, "strengths": 0.0}


@dataclass(frozen=True)
class CellSettings:
    """Constants of :func:`kotowari.studies.cytology.phantom.simulate_cells`; the defaults are locked to life there.

    Attributes
    ----------
    n_images
        1 or more.
    height, width
        In pixels, each 64 or more.
    kind
        ``"grey"`` and ``"colour"``: bright-field, cytoplasm and a darker nucleus; ``"fluorescence"``: bright nuclei.
    n_cells
        Fewest and most cells an image, 0 or more; a crowded image may hold fewer than were drawn.
    radius
        Smallest and largest mean radius in pixels, 3 or more.
    strength
        Weakest and strongest image: optical density of the cytoplasm (bright-field; a nucleus adds once to twice as
        much) or, as a share of full scale, brightness of a nucleus (fluorescence); above 0. None takes 0.2 to 0.5 and
        0.03 to 0.5.
    spread
        Standard deviation of the logarithm of a cell's strength within its image, 0 or more; None takes 0.25 in
        bright-field and 0.5 in fluorescence.
    overlap
        Largest share of a cell that may lie over another, 0 to 0.6.
    clustering
        Share of the cells that are placed beside another one, 0 to 1.
    ramp
        Largest relative change of the illumination across the image, 0 to 1.
    n_per_slide
        Images of one slide, which share gain, stain and texture; 1 or more.
    texture
        Standard deviation of the background's own structure relative to its level, 0 or more.
    n_debris
        Most specks an image, 0 or more.
    defocus
        Share of the cells that are out of focus, 0 to 1.
    haze
        Brightness of the out-of-focus haze relative to the cells (fluorescence), 0 to 1.
    photons
        Counted by a pixel at full scale, above 0.
    blur_px
        Standard deviation of the optics' blur, 0 or more.
    """

    n_images: int = 32
    height: int = 256
    width: int = 320
    kind: StainKind = "grey"
    n_cells: tuple[int, int] = (20, 80)
    radius: tuple[float, float] = (7.0, 13.0)
    strength: tuple[float, float] | None = None
    spread: float | None = None
    overlap: float = 0.2
    clustering: float = 0.5
    ramp: float = 0.4
    n_per_slide: int = 4
    texture: float = 0.03
    n_debris: int = 12
    defocus: float = 0.15
    haze: float = 0.15
    photons: float = 800.0
    blur_px: float = 0.8

    def __post_init__(self) -> None:
        if self.kind not in {"grey", "colour", "fluorescence"}:
            raise InputError(f"CellSettings: kind must be grey, colour or fluorescence, got {self.kind!r}.")
        if self.n_images < 1 or self.n_per_slide < 1 or min(self.height, self.width) < 64:
            raise InputError(
                "CellSettings: needs 1 image and 1 image a slide or more, and 64 pixels a side or more, got "
                f"{self.n_images}, {self.n_per_slide} and {self.height} x {self.width}."
            )
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"CellSettings: {name} must lie between 0 and 1, got {getattr(self, name)}.")
        if self.overlap > 0.6:
            raise InputError(f"CellSettings: overlap must be 0.6 or less, got {self.overlap}.")
        for name, least in _RISING.items():
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise InputError(f"CellSettings: {name} must rise from {least:g} or more, got {(low, high)}.")
        if not self.strengths[0] > 0 or not self.photons > 0:
            raise InputError(
                f"CellSettings: strength and photons must be above 0, got {self.strength} and {self.photons}."
            )
        if min(self.texture, self.n_debris, self.blur_px, self.cell_spread) < 0:
            raise InputError("CellSettings: texture, n_debris, blur_px and spread must be 0 or more.")

    @property
    def strengths(self) -> tuple[float, float]:
        """Weakest and strongest image, as set or as is usual for the kind."""
        return self.strength or ((0.03, 0.5) if self.kind == "fluorescence" else (0.2, 0.5))

    @property
    def cell_spread(self) -> float:
        """Spread within an image, as set or as is usual for the kind."""
        usual = 0.5 if self.kind == "fluorescence" else 0.25
        return usual if self.spread is None else self.spread
