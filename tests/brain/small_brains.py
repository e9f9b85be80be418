"""A small cohort of simulated brains as the files of a user: coarse volumes, a coarse atlas, and a configuration."""

from functools import lru_cache

import nibabel
import numpy as np
import pandas as pd
import yaml

from kotowari.formats.nifti import write_nifti
from kotowari.report.plots import style
from kotowari.studies.brain import reconstruction, simulate_brains
from kotowari.studies.brain.model import regression_scores
from kotowari.studies.brain.phantom_files import write_brains
from kotowari.studies.brain.phantom_settings import BrainSettings
from kotowari.trust.intervals import bootstrap_interval

VOXEL_MM, N_SUBJECTS = 12.0, 32
REGIONS = [f"{height} {depth} {side}" for side in "LR" for height in ("low", "high") for depth in ("back", "front")]
SMALL = {
    "cohort": {"covariates": ["age", "sex"]},
    "targets": {"patients": ["dose"]},
    "features": {
        "n_blocks": 1,
        "n_channels": 2,
        "max_epochs": 2,
        "precision": "float32",
        "grid_blocks": [1, 2],
        "grid_channels": [1, 2],
    },
    "maps": {"methods": ["gradient", "integrated_gradients"], "n_explained": 4, "max_points": 16},
    "validation": {"n_splits": 2},
    "trust": {
        "n_permutations": 3,
        "n_map_shuffles": 3,
        "n_glm_permutations": 3,
        "n_strongest": 2,
        "implant_losses": [0.9],
        "implant_repeats": 1,
    },
    "workers": 1,
}
ONE_QUESTION = {"everyone": ["age"], "patients": [], "logarithm": [], "together": []}
NO_TRUST = {"n_permutations": 0, "n_map_shuffles": 1, "implant_repeats": 0}
NO_GRID = {"grid_blocks": []}


@lru_cache(maxsize=4)
def brains(n_subjects=N_SUBJECTS, seed=1):
    """Return brains of two sites at 12 mm."""
    settings = BrainSettings(site_2_share=0.3)
    return simulate_brains(n_subjects, seed=seed, voxel_mm=VOXEL_MM, settings=settings)


def write_atlas(folder):
    """Write eight blocks that cover the grey matter, and their names."""
    own = brains()
    offsets = own.affine[:3, 3, None, None, None]
    x, y, z = offsets + VOXEL_MM * np.indices(own.mask.shape)
    labels = np.where(own.mask, 1 + 4 * (x > 0) + 2 * (z > 10) + (y > -20), 0)
    write_nifti(folder / "atlas.nii.gz", labels.astype(np.int16), own.affine)
    named = [f"{number}\t{name}\n" for number, name in enumerate(REGIONS, start=1)]
    (folder / "atlas.tsv").write_text("label\tname\n" + "".join(named))


def write_files(folder, table=None, *, n_subjects=N_SUBJECTS, layout="bids", **changes):
    """Write a user's files and their configuration; returns the path of the YAML.

    ``table`` changes participants.tsv, a frame of text as it stands in the file; ``changes`` are put over the sections.
    """
    source = write_brains(brains(n_subjects), folder / "brains", layout=layout)
    write_atlas(folder)
    if table is not None:
        change_table(folder, table)
    data = {
        "volumes": str(source.relative_to(folder)),
        "atlas": "atlas.nii.gz",
        "atlas_names": "atlas.tsv",
    }
    config = {"study": "brain", "data": data, **SMALL}
    for section, values in changes.items():
        config[section] = config.get(section, {}) | values if isinstance(values, dict) else values
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    return folder / "study.yaml"


def change_table(folder, change):
    """Change participants.tsv, a frame of text as it stands in the file."""
    path = folder / "brains" / "participants.tsv"
    change(pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)).to_csv(path, sep="\t", index=False)


def volume_path(folder, number):
    """Return the file of a subject, counted from 1, in a BIDS tree."""
    name = f"sub-{number:04d}"
    return folder / "brains" / name / "anat" / f"{name}_space-MNI152_label-GM_desc-modulated_probseg.nii.gz"


def save_volume(path, values, affine):
    """Write any array as NIfTI, such as one of four axes, or with NaN."""
    image = nibabel.Nifti1Image(values, affine)
    image.set_qform(affine, 4)
    image.set_sform(affine, 4)
    nibabel.save(image, path)


def quick_fits(patch):
    """Rest intervals on few draws, draw pictures with few dots, and let the disk write when it likes."""
    for module in (reconstruction, regression_scores):
        patch.setattr(module, "bootstrap_interval", _with_few_draws)
    patch.setattr(style, "_drawn", _with_few_dots)
    patch.setattr("kotowari.core.files.os.fsync", lambda _handle: None)


def _with_few_draws(statistic, *arrays, **options):
    return bootstrap_interval(statistic, *arrays, **(options | {"n_draws": 30}))


def _with_few_dots(canvas, dpi, drawn=style._drawn):
    return drawn(canvas, dpi / 6)
