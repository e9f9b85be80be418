"""Whatever is wrong with what comes in is told in one sentence, that says what, where, and what to do."""

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from small_cytology import SIDE, image_name, save_image, save_labels, smears, write_files, write_yaml

from kotowari.studies import STUDIES
from typed_words import typed


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The study is known by its name, as the table of studies will have it."""
    monkeypatch.setitem(STUDIES, "cytology", "kotowari.studies.cytology")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "in"


@pytest.fixture
def refused_run(home, tmp_path, refused):
    def refuse(path=None):
        return refused("run", path or home / "study.yaml", "--out", tmp_path / "run", after_progress=True)

    return refuse


def test_sound_files_are_read_and_split(home, tmp_path, monkeypatch, capsys):
    assert typed(monkeypatch, "run", write_files(home), "--out", tmp_path / "run", "--until", "split") == 0
    told = capsys.readouterr().err
    assert "Read 8 images of 4 slides: 8 of bright-field, dark cells; 8 with masks, which only score." in told


def test_an_empty_folder_is_refused(home, refused_run):
    (home / "images").mkdir(parents=True)
    write_yaml(home, masks=False)
    assert refused_run().endswith("images: holds no TIFF, PNG or JPEG image. Name the folder that does.")


def test_one_image_alone_is_refused_since_there_is_no_fold(home, refused_run):
    save_image(home / "images" / f"{image_name(0)}.png", smears().images[0])
    write_yaml(home, masks=False)
    said = refused_run()
    assert said.startswith("data.images: 1 image: a detector is judged on slides that it never saw")
    assert said.endswith("or use a finished run on these by `kotowari apply`.")


def test_constant_images_alone_are_refused(home, refused_run):
    for k in range(4):
        save_image(home / "images" / f"{image_name(k)}.png", np.full((SIDE, SIDE), 0.3))
    write_yaml(home, masks=False)
    assert "4 images, of which 4 cannot be used (one value)" in refused_run()


def test_a_truncated_tiff_is_refused_by_name_and_leaves_no_run(home, refused_run, tmp_path):
    path = write_files(home)
    cut = home / "images" / "x-s9-99.tif"
    tifffile.imwrite(cut, np.uint8(255 * smears().images[0][..., 0]))
    cut.write_bytes(cut.read_bytes()[:2000])
    assert "x-s9-99.tif: " in refused_run(path)
    assert not (tmp_path / "run" / "run.json").exists()


def test_nan_is_refused_by_its_place(home, refused_run):
    path = write_files(home)
    values = smears().images[0][..., 0].copy()
    values[0, 1] = np.inf
    tifffile.imwrite(home / "images" / "x-s9-99.tif", values)
    assert "row 1, column 2" in refused_run(path)


def test_transparency_is_refused(home, refused_run):
    path = write_files(home)
    rgba = np.full((SIDE, SIDE, 4), 100, np.uint8)
    Image.fromarray(rgba).save(home / "images" / "x-s9-99.png")
    assert "x-s9-99.png: " in refused_run(path)


def test_a_mask_of_another_size_is_refused(home, refused_run):
    path = write_files(home)
    save_labels(home / "masks" / f"{image_name(1)}.png", np.zeros((SIDE, SIDE - 2)))
    said = refused_run(path)
    assert "holds 62 x 64 pixels, its image smear-s0-01.png 64 x 64 pixels" in said
    assert said.endswith("Give each image a mask of its own size, or take this one away.")


def test_an_unknown_key_is_refused_by_name(home, refused_run):
    path = write_files(home)
    content = yaml.safe_load(path.read_text())
    content["data"]["stains"] = "auto"
    path.write_text(yaml.safe_dump(content))
    assert "data.stains: there is no such key" in refused_run(path)


def test_cells_that_all_touch_are_no_error(home, tmp_path, monkeypatch):
    own = smears(8, seed=3)
    crowded = [np.clip(np.minimum(image, np.roll(image, 9, 1)), 0, 1) for image in own.images]
    path = write_files(home, own=type("Own", (), {"images": crowded, "labels": own.labels}), masks=False)
    assert typed(monkeypatch, "run", path, "--out", tmp_path / "run", "--until", "fit") == 0
