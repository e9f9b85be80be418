"""Images are found in a folder or a table, each with one name, its slide and its mask; whatever is wrong is told."""

import numpy as np
import pytest
from small_cytology import save_image, save_labels

from kotowari.core.errors import InputError
from kotowari.studies.cytology.image_files import find_images

GREY = np.full((8, 9, 1), 0.5)


@pytest.fixture
def folder(tmp_path):
    for name in ("b_2.png", "a_1.png", "deep/a_1.png"):
        save_image(tmp_path / "images" / name, GREY)
    return tmp_path / "images"


def test_a_folder_gives_its_images_in_order_with_names_that_tell_them_apart(folder):
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    assert [file.name for file in find_images(folder)] == ["a_1", "b_2", "deep-a_1"]


def test_files_of_one_name_and_two_endings_get_two_names(folder):
    save_image(folder / "b_2.jpg", GREY)
    assert {file.name for file in find_images(folder)} == {"a_1", "b_2-jpg", "b_2-png", "deep-a_1"}


def test_the_slide_is_what_the_pattern_finds_in_the_name(folder):
    assert [file.slide for file in find_images(folder, slide="^(.)_")] == ["a", "b", "a"]
    with pytest.raises(InputError, match=r"a_1\.png: data\.slide .* finds no slide in this name"):
        find_images(folder, slide="^(z)")


def test_masks_inside_the_folder_are_no_images_and_lie_beside_their_images(folder):
    save_labels(folder / "masks" / "b_2.png", np.zeros((8, 9)))
    found = {file.name: file.mask for file in find_images(folder, masks=folder / "masks")}
    assert found == {"a_1": None, "b_2": folder / "masks" / "b_2.png", "deep-a_1": None}


def test_a_table_names_images_slides_and_masks(folder):
    save_labels(folder / "m.png", np.zeros((8, 9)))
    (folder / "t.csv").write_text("path,slide,mask\nb_2.png,7,m.png\na_1.png,8,\n")
    first, second = find_images(folder / "t.csv")
    assert (first.name, first.slide, first.mask) == ("b_2", "7", folder / "m.png")
    assert (second.name, second.slide, second.mask) == ("a_1", "8", None)


def test_one_file_stands_for_itself(folder):
    (only,) = find_images(folder / "a_1.png")
    assert only.name == "a_1"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("slide,mask\n1,2\n", "has no column path"),
        ("path\nmissing.png\n", r"line 2: missing\.png is not there"),
        ("path,slide\nb_2.png,\n", "line 2 has no slide"),
        ("path\nb_2.png\nb_2.png\n", r"b_2\.png stands twice"),
    ],
)
def test_a_table_that_does_not_fit_is_told_by_line(folder, content, words):
    (folder / "t.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        find_images(folder / "t.csv")


def test_an_empty_folder_a_missing_one_and_a_stranger_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.nii").write_bytes(b"")
    with pytest.raises(InputError, match="empty: holds no TIFF, PNG or JPEG image"):
        find_images(tmp_path / "empty")
    with pytest.raises(InputError, match="nowhere: is not there"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"x\.nii: is neither an image nor a table of paths"):
        find_images(tmp_path / "x.nii")


def test_masks_that_fit_no_image_or_more_than_one_are_refused(folder, tmp_path):
    save_labels(tmp_path / "other" / "c_3.png", np.zeros((8, 9)))
    with pytest.raises(InputError, match=r"other: holds no mask named as an image, such as a_1\.png"):
        find_images(folder, masks=tmp_path / "other")
    save_labels(tmp_path / "both" / "a_1.png", np.zeros((8, 9)))
    with pytest.raises(InputError, match="could be the mask of more than one image"):
        find_images(folder, masks=tmp_path / "both")
    with pytest.raises(InputError, match="is no folder"):
        find_images(folder, masks=tmp_path / "none")
