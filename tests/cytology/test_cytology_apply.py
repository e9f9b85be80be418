"""A finished run finds cells in new images, and says where it knows nothing of them."""

import numpy as np
import pandas as pd
import pytest
from small_cytology import NO_CURVES, NO_TRUST, SIDE, quick_runs, save_image, smears, write_files

from kotowari.core.errors import InputError
from kotowari.formats.coco import read_coco
from kotowari.formats.label_image import read_labels
from kotowari.formats.png import read_png
from kotowari.studies import cytology

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as far as detectors go."""
    home = tmp_path_factory.mktemp("cytology-apply")
    with pytest.MonkeyPatch.context() as patch:
        quick_runs(patch)
        path = write_files(home / "in", validation=NO_CURVES, trust=NO_TRUST, detector={"published_epochs": 0})
        return cytology.run(path, home / "run", until="fit", shown=False)


@pytest.fixture
def new(tmp_path):
    """Images that the run never saw: two of its stain, one larger, one of one value, one that glows, one in colour."""
    folder = tmp_path / "new"
    for k, image in enumerate(smears(2, seed=9).images):
        save_image(folder / f"same-{k}.png", image)
    save_image(folder / "large.png", smears(1, seed=9, side=96).images[0])
    save_image(folder / "flat.png", np.full((SIDE, SIDE), 0.5))
    save_image(folder / "glow.png", smears(1, "fluorescence").images[0])
    save_image(folder / "colour.png", np.repeat(smears(1, seed=4).images[0], 3, axis=2))
    return folder


def test_new_images_get_masks_tables_coco_and_overlays(run, new, tmp_path, capsys):
    out = tmp_path / "out"
    assert cytology.apply(run, new, out) == out / "counts.csv"
    counts = pd.read_csv(out / "counts.csv", keep_default_na=False).set_index("image")
    assert list(counts.index) == ["colour", "flat", "glow", "large", "same-0", "same-1"]
    cells = pd.read_csv(out / "cells.csv")
    coco = read_coco(out / "coco.json")
    for name in ("colour", "large", "same-0", "same-1"):
        labels = read_labels(out / "masks" / f"{name}-cells.tif")
        assert labels.max() == int(counts.loc[name, "cells"]) == (cells["image"] == name).sum()
        assert coco.labels[coco.images.index(name)].max() == labels.max()
        assert read_png(out / "overlays" / f"{name}.png").shape == (*labels.shape, 3)
        assert counts.loc[name, "flags"] == ""
    assert counts.loc["flat", ["cells", "flags"]].tolist() == ["", "one value"]
    assert counts.loc["glow", "cells"] == ""
    assert counts.loc["glow", "flags"] == "stain not seen by the run (fluorescence, bright cells)"
    assert "the run has not seen the stain of glow;" in capsys.readouterr().err


def test_one_file_is_enough_and_comes_out_the_same(run, new, tmp_path):
    cytology.apply(run, new, tmp_path / "all")
    cytology.apply(run, new / "same-1.png", tmp_path / "one")
    name = "masks/same-1-cells.tif"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_annotations_and_an_unfinished_run_are_refused(run, new, tmp_path):
    with pytest.raises(InputError, match="finds cells in images alone"):
        cytology.apply(run, new, tmp_path / "out", new / "flat.png")
    path = write_files(tmp_path / "in")
    young = cytology.run(path, tmp_path / "young", until="read", shown=False)
    with pytest.raises(InputError, match=r"has no fitted detector yet\. Finish it by `kotowari resume"):
        cytology.apply(young, new, tmp_path / "out")
