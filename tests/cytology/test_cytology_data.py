"""Images of every sort are read, described and sorted into kinds; whatever cannot be used is told by file."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from small_cytology import SIDE, image_name, save_image, save_labels, smears, write_images

from kotowari.core.errors import DesignError, InputError
from kotowari.studies.cytology.config import Config, Data
from kotowari.studies.cytology.data import files_of, image_table, input_fingerprints, kinds_of, read_file, read_objects
from kotowari.studies.cytology.image_store import ImageStore

GREY = ("bright-field", "dark")


def table_of(folder, *, apart=False, **data):
    """Read all images of ``folder/images`` as the stage does; returns table, notes and where the pages are kept."""
    config = Config(data=Data(images=folder / "images", **data))
    files = files_of(config)
    parts = {file.name: read_file(file, config.data, folder / "kept") for file in files}
    return *image_table(files, parts, apart=apart), folder / "kept"


def save_stack(path, pages, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.stack(pages), photometric="minisblack", **options)


def test_images_come_back_as_they_were_with_their_masks(tmp_path):
    write_images(tmp_path)
    table, _, kept = table_of(tmp_path, masks=tmp_path / "masks")
    store = ImageStore(kept, tuple(zip(table["file"], table["page"], strict=True)), (1,) * len(table))
    for row, (image, labels) in enumerate(zip(smears().images, smears().labels, strict=True)):
        np.testing.assert_allclose(store.image(row), image, atol=0.5 / 255)
        np.testing.assert_array_equal(store.truth(row), labels)
    assert store.image(0).dtype == np.float32
    assert table["has_mask"].all()


def test_kind_slide_and_scale_are_found(tmp_path):
    write_images(tmp_path)
    table, notes, _ = table_of(tmp_path, slide=r"-(s\d+)-", um_per_pixel=0.5)
    assert [(kind.stain, kind.polarity, len(kind.rows)) for kind in kinds_of(table)] == [(*GREY, 8)]
    assert table["slide"].tolist() == [f"s{k // 2}" for k in range(8)]
    assert table["group"].tolist() == [k // 2 for k in range(8)]
    assert (table["um_per_pixel"] == 0.5).all()
    assert (table["left_out"] == "").all()
    assert not any("kinds" in note for note in notes)


def test_two_stains_in_one_folder_are_two_kinds_and_that_is_told(tmp_path):
    write_images(tmp_path)
    write_images(tmp_path, smears(4, "fluorescence"), word="glow")
    table, notes, _ = table_of(tmp_path)
    assert [(kind.name, len(kind.rows)) for kind in kinds_of(table)] == [
        ("bright-field, dark cells", 8),
        ("fluorescence, bright cells", 4),
    ]
    assert [note for note in notes if "Images of 2 kinds stand together (8 of bright-field, dark cells and 4" in note]


def test_what_the_user_says_of_the_stain_counts(tmp_path):
    write_images(tmp_path)
    table, _, _ = table_of(tmp_path, stain="phase", polarity="bright")
    assert [kind.name for kind in kinds_of(table)] == ["phase, bright cells"]
    assert (table["sure"] == 1).all()


def test_one_image_of_an_unsure_stain_joins_the_others(tmp_path):
    write_images(tmp_path)
    odd = 0.5 + np.random.default_rng(0).normal(0, 0.1, (SIDE, SIDE, 1))  # balanced about a middle grey
    odd[:8, :8] = 0.1
    save_image(tmp_path / "images" / "odd.png", odd)
    table, notes, _ = table_of(tmp_path)
    row = table["image"].tolist().index("odd")
    assert (table["stain"].iloc[row], table["flags"].iloc[row]) == ("bright-field", "stain unsure")
    assert any("flagged as stain unsure" in note for note in notes)


def test_one_value_too_small_and_the_only_one_of_its_kind_are_left_out_and_told(tmp_path):
    write_images(tmp_path)
    save_image(tmp_path / "images" / "flat.png", np.full((SIDE, SIDE), 0.7))
    save_image(tmp_path / "images" / "tiny.png", smears().images[0][:20, :20])
    save_image(tmp_path / "images" / "glow.png", smears(4, "fluorescence").images[0])
    table, notes, _ = table_of(tmp_path)
    told = dict(zip(table["image"], table["left_out"], strict=True))
    assert told["flat"] == "one value"
    assert told["tiny"] == "smaller than 32 pixels"
    assert told["glow"] == "of the only slide of its kind"
    assert [kind.name for kind in kinds_of(table)] == ["bright-field, dark cells"]
    assert sum("left out" in note for note in notes) == 3


def test_a_copy_under_another_name_shares_the_fold_of_its_original(tmp_path):
    write_images(tmp_path)
    save_image(tmp_path / "images" / "zz-s9-00.png", smears().images[0])
    table, notes, _ = table_of(tmp_path, slide=r"-(s\d+)-")
    groups = dict(zip(table["image"], table["group"], strict=True))
    assert groups["zz-s9-00"] == groups[image_name(0)] == groups[image_name(1)]
    assert any("near copies" in note and "zz-s9-00" in note for note in notes)


def test_pages_are_images_and_stand_together_or_apart_as_asked(tmp_path):
    for name, own in {"a": smears().images[:3], "b": smears().images[3:6]}.items():
        save_stack(tmp_path / "images" / f"{name}.tif", [np.uint16(65535 * image[..., 0]) for image in own])
    table, _, _ = table_of(tmp_path)
    assert table["image"].tolist() == [f"{name}-page-{k}" for name in "ab" for k in (1, 2, 3)]
    assert table["group"].tolist() == [0, 0, 0, 1, 1, 1]
    apart, _, _ = table_of(tmp_path, apart=True)
    assert apart["group"].nunique() == 6


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "P", "1", "L", "RGB"])
def test_every_mode_of_a_picture_becomes_grey_or_colour(tmp_path, mode):
    write_images(tmp_path)
    picture = Image.fromarray(np.uint8(255 * smears().images[0][..., 0])).convert("RGB")
    converted = picture.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else picture.convert(mode)
    converted.save(tmp_path / "images" / ("odd.tif" if mode == "CMYK" else "odd.png"))
    table, notes, kept = table_of(tmp_path)
    row = table["image"].tolist().index("odd")
    store = ImageStore(kept, tuple(zip(table["file"], table["page"], strict=True)), (1,) * len(table))
    image = store.image(row)
    assert image.shape == (SIDE, SIDE, 1)
    if mode != "1":
        assert np.corrcoef(image.ravel(), smears().images[0].ravel())[0, 1] > 0.98
    if mode in {"CMYK", "P", "1"}:
        assert any(note.startswith("odd: ") for note in notes), "what was done is told"


def test_mixed_sizes_are_fine(tmp_path):
    write_images(tmp_path)
    save_image(tmp_path / "images" / "wide.png", smears(4, side=96).images[0])
    table, _, _ = table_of(tmp_path)
    assert sorted(table["width"].unique()) == [SIDE, 96]
    assert len(kinds_of(table)) == 1


def test_fractions_with_nan_are_refused_by_their_place(tmp_path):
    write_images(tmp_path)
    values = smears().images[0][..., 0].copy()
    values[3, 5] = np.nan
    tifffile.imwrite(tmp_path / "images" / "nan.tif", values)
    with pytest.raises(InputError, match=r"nan\.tif: has 1 values that are NaN .* row 4, column 6"):
        table_of(tmp_path)


def test_a_truncated_tiff_is_refused_by_name(tmp_path):
    write_images(tmp_path)
    path = tmp_path / "images" / "cut.tif"
    tifffile.imwrite(path, np.uint8(255 * smears().images[0][..., 0]))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.tif: "):
        table_of(tmp_path)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    write_images(tmp_path)
    save_labels(tmp_path / "masks" / f"{image_name(2)}.png", np.zeros((SIDE, SIDE + 1)))
    with pytest.raises(InputError, match=r"-02\.png: holds 65 x 64 pixels, its image smear-s1-02\.png 64 x 64 pixels"):
        table_of(tmp_path, masks=tmp_path / "masks")


def test_a_mask_of_two_values_is_cut_into_its_parts_and_labels_stay(tmp_path):
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 2:5] = mask[10:14, 10:14] = 255
    save_labels(tmp_path / "m.png", mask)
    assert len(np.unique(read_objects(tmp_path / "m.png"))) == 3
    mask[10:14, 10:14] = 7
    save_labels(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_objects(tmp_path / "m.png")[0], mask)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["one"], "1 image: a detector is judged on slides that it never saw"),
        (["flat", "flat2"], r"2 images, of which 2 cannot be used \(one value\)"),
    ],
)
def test_too_few_images_to_judge_are_refused(tmp_path, names, words):
    for name in names:
        image = smears().images[0] if name == "one" else np.full((SIDE, SIDE), 0.5)
        save_image(tmp_path / "images" / f"{name}.png", image)
    with pytest.raises(DesignError, match=words):
        table_of(tmp_path)


def test_pages_of_one_file_are_one_slide_and_too_few(tmp_path):
    save_stack(tmp_path / "images" / "a.tif", [np.uint8(255 * image[..., 0]) for image in smears().images])
    with pytest.raises(
        DesignError, match=r"8 images of one slide \(pages of a file belong together unless data\.pages"
    ):
        table_of(tmp_path)


def test_fingerprints_name_no_image_and_change_with_any(tmp_path):
    write_images(tmp_path)
    config = Config(data=Data(images=tmp_path / "images", masks=tmp_path / "masks"))
    before = input_fingerprints(config)
    assert [entry["name"] for entry in before] == ["8 images", "8 masks"]
    save_image(tmp_path / "images" / f"{image_name(3)}.png", smears().images[0])
    after = input_fingerprints(config)
    assert before[0]["sha256"] != after[0]["sha256"]
    assert before[1] == after[1]
