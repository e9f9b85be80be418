"""A few tiny smears as the files of a user: images of 64 x 64 pixels, their masks, and a configuration."""

from functools import lru_cache

import numpy as np
import yaml
from PIL import Image

from kotowari.report.plots import style
from kotowari.studies.cytology.phantom import simulate_cells
from kotowari.studies.cytology.phantom_settings import CellSettings
from kotowari.trust.intervals import bootstrap_interval

SIDE, N_IMAGES = 64, 8
SMALL = {
    "detector": {"max_epochs": 2, "n_channels": 2, "patch": 32, "n_scenes": 16, "published_epochs": 1},
    "validation": {"n_splits": 2, "n_labelled": [], "curve_sizes": [2], "curve_seeds": 2},
    "trust": {
        "n_seeds": 2,
        "n_blank": 1,
        "n_removed": 2,
        "implant_contrasts": [1.0],
        "implant_repeats": 1,
        "n_planted": 8,
    },
    "workers": 1,
}
NO_CURVES = {"curve_sizes": []}
NO_TRUST = {"implant_repeats": 0, "n_planted": 0}


@lru_cache(maxsize=8)
def smears(n_images=N_IMAGES, kind="grey", seed=1, side=SIDE):
    """Return tiny smears, two of a slide."""
    settings = CellSettings(
        n_images=n_images, height=side, width=side, kind=kind, n_cells=(3, 6), radius=(5.0, 8.0), n_per_slide=2
    )
    return simulate_cells(settings, seed=seed)


def save_image(path, values):
    """Write an image in [0, 1], grey or colour, in 8 bits."""
    stored = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stored[..., 0] if stored.ndim == 3 and stored.shape[2] == 1 else stored).save(path)


def save_labels(path, labels):
    """Write a mask in 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint16)).save(path)


def image_name(k, word="smear"):
    """Name of an image without its ending; its slide stands in it."""
    return f"{word}-s{k // 2}-{k:02d}"


def write_images(folder, own=None, *, word="smear", masks=True):
    """Write smears into ``folder/images`` and their masks into ``folder/masks``."""
    own = smears() if own is None else own
    for k, (image, labels) in enumerate(zip(own.images, own.labels, strict=True)):
        save_image(folder / "images" / f"{image_name(k, word)}.png", image)
        if masks:
            save_labels(folder / "masks" / f"{image_name(k, word)}.png", labels)


def write_files(folder, *, own=None, masks=True, **changes):
    """Write a user's files and their configuration; returns the path of the YAML. ``changes`` lie over the sections."""
    write_images(folder, own, masks=masks)
    return write_yaml(folder, masks=masks, **changes)


def write_yaml(folder, *, masks=True, **changes):
    """Write a configuration for the images of ``folder/images``."""
    data = {"images": "images", "slide": r"-(s\d+)-"} | ({"masks": "masks"} if masks else {})
    config = {"study": "cytology", "data": data, **SMALL}
    for section, values in changes.items():
        config[section] = config.get(section, {}) | values if isinstance(values, dict) else values
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    return folder / "study.yaml"


def quick_runs(patch):
    """Rest intervals on few draws, draw pictures with few dots, and let the disk write when it likes."""
    for module in ("scores", "scoring", "curves", "chance"):
        patch.setattr(f"kotowari.studies.cytology.{module}.bootstrap_interval", _with_few_draws)
    patch.setattr(style, "_drawn", _with_few_dots)
    patch.setattr("kotowari.core.files.os.fsync", lambda _handle: None)


def _with_few_draws(statistic, *arrays, **options):
    return bootstrap_interval(statistic, *arrays, **(options | {"n_draws": 30}))


def _with_few_dots(canvas, dpi, drawn=style._drawn):
    return drawn(canvas, dpi / 6)
