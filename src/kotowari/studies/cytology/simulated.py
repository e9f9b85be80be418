"""Simulated smears as the images of a run, and as planted truth of the stain that a run has found."""

from pathlib import Path

import numpy as np

from kotowari.core.jobs import Arrays
from kotowari.studies.cytology.config import Config
from kotowari.studies.cytology.data import Kind, keep_pages
from kotowari.studies.cytology.image_files import ImageFile
from kotowari.studies.cytology.phantom import CellPhantom, simulate_cells
from kotowari.studies.cytology.phantom_settings import CellSettings, StainKind

__all__ = ["keep_simulated", "phantom_like", "smear_settings"]

_N_PER_SLIDE = 2
_PIXELS = 256 * 320  # of the image that the default number of cells fills
_CELLS = (20, 80)


def smear_settings(n_images: int, height: int, width: int, kind: StainKind) -> CellSettings:
    """Return the settings of smears of any size, with as many cells an area as the phantom's own."""
    share = height * width / _PIXELS
    fewest, most = (max(2, round(n * share)) for n in _CELLS)
    return CellSettings(
        n_images=n_images, height=height, width=width, kind=kind, n_cells=(fewest, most), n_per_slide=_N_PER_SLIDE
    )


def keep_simulated(config: Config, folder: Path) -> tuple[list[ImageFile], dict[str, Arrays]]:
    """Write simulated images where those of files would lie; returns their names, and what was seen on each."""
    own = config.phantom
    smears = simulate_cells(smear_settings(own.n_images, own.height, own.width, own.kind), seed=own.seed)
    files = [
        ImageFile(Path(), f"smear-{k + 1:03d}", f"slide-{int(slide) + 1}") for k, slide in enumerate(smears.slides)
    ]
    parts = {
        file.name: keep_pages(folder / f"{file.name}.npz", [image], 1.0, [labels], config.data)
        for file, image, labels in zip(files, smears.images, smears.labels, strict=True)
    }
    return files, parts


def phantom_like(kind: Kind, n_channels: int, n_images: int, shape: tuple[int, int], seed: int) -> CellPhantom:
    """Simulate images of the stain of a kind, whose cells are known; phase contrast is stood in for by grey smears."""
    coloured: StainKind = "colour" if n_channels > 1 else "grey"
    stain: StainKind = "fluorescence" if kind.stain == "fluorescence" else coloured
    height, width = (int(np.clip(side, 64, 256)) for side in shape)
    return simulate_cells(smear_settings(n_images, height, width, stain), seed=seed)
