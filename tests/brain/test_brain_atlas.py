"""Regions keep their names, sides and places; an atlas of another space is refused."""

import nibabel
import numpy as np
import pandas as pd
import pytest

from kotowari.core.errors import InputError, ShapeError
from kotowari.formats.nifti import write_nifti
from kotowari.studies.brain.model.atlas import Atlas
from kotowari.studies.brain.model.atlas_names import read_label_names
from kotowari.studies.brain.model.volume_store import VolumeStore

SHAPE = (10, 8, 6)
MNI = np.array([[-8.0, 0, 0, 36], [0, 8.0, 0, -28], [0, 0, 8.0, -20], [0, 0, 0, 1]])  # x falls with the index
NAMES = {3: "Insula_R", 7: "Insula_L", 9: "Vermis"}


@pytest.fixture
def store(rng, tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[1:9, 1:7, 1:5] = True
    mask[1, 1, 1] = False
    values = rng.random((3, *SHAPE), dtype=np.float32)
    return VolumeStore.from_arrays(values, mask, MNI, tmp_path / "store", subjects=["a", "b", "c"])


@pytest.fixture
def labels():
    """Right insula at low x indices, left at high ones, a middle region, and one outside of the mask."""
    values = np.zeros(SHAPE, np.int16)
    values[1:3, 1:4, 1:5] = 3
    values[7:9, 1:4, 1:5] = 7
    values[4:6, 4:7, 1:4] = 9
    values[0] = 12
    return values


def save(path, values, affine=MNI):
    write_nifti(path, values, affine)
    return path


def test_regions_are_those_of_the_mask(store, labels, tmp_path):
    atlas = Atlas.read(save(tmp_path / "a.nii", labels), NAMES | {12: "Outside"}, store)
    assert (atlas.numbers, atlas.names, atlas.sides) == (
        (3, 7, 9),
        ("Insula_R", "Insula_L", "Vermis"),
        ("R", "L", "both"),
    )
    np.testing.assert_array_equal(atlas.labels, labels[store.box] * store.mask)
    assert atlas.n_voxels.tolist() == [2 * 3 * 4 - 1, 2 * 3 * 4, 2 * 3 * 3]
    for number, (name, mask) in zip(atlas.numbers, atlas.masks(), strict=True):
        assert name in NAMES.values()
        np.testing.assert_array_equal(mask, atlas.labels == number)
    assert "1 of 4 regions have no voxel in the mask: Outside" in atlas.notes[1]
    assert len(atlas) == 3


def test_the_table_tells_mean_and_peak_of_each_region(store, labels, rng, tmp_path):
    atlas = Atlas.read(save(tmp_path / "a.nii", labels), NAMES, store)
    values = rng.standard_normal(store.mask.shape).astype(np.float32)
    values[0, 2, 1] = -9  # voxel (1, 3, 2) of the full grid, right insula
    table = atlas.table(values).set_index("name")
    assert list(table.columns) == ["label", "side", "voxels", "mean", "peak", "peak_x_mm", "peak_y_mm", "peak_z_mm"]
    assert table.loc["Insula_R", ["peak", "peak_x_mm", "peak_y_mm", "peak_z_mm"]].tolist() == [-9, 36 - 8, -28 + 24, -4]
    for name, mask in atlas.masks():
        assert table.loc[name, "mean"] == pytest.approx(values[mask].mean(dtype=float))
        assert abs(table.loc[name, "peak"]) == pytest.approx(np.abs(values[mask]).max())
    means = atlas.means(store.volumes(slice(None)))
    np.testing.assert_allclose(means[1, 2], store.volumes([1])[0][atlas.mask_of(2)].mean(dtype=float))
    with pytest.raises(ShapeError, match="volumes must have shape"):
        atlas.table(values[1:])
    values[0, 2, 1] = np.nan
    with pytest.raises(InputError, match="NaN or infinite values in a region"):
        atlas.table(values)


def test_the_side_of_a_region_is_that_of_its_millimetres_not_of_its_indices(store, labels, tmp_path):
    turned = MNI @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    straight = Atlas.read(save(tmp_path / "a.nii", labels), NAMES, store)
    mirrored = Atlas.read(save(tmp_path / "b.nii", labels[::-1].copy(), turned), NAMES, store)
    np.testing.assert_array_equal(mirrored.labels, straight.labels)
    assert mirrored.sides == straight.sides


def test_an_atlas_with_left_and_right_exchanged_is_refused(store, labels, tmp_path):
    labels[0] = 0
    with pytest.raises(InputError, match="left and right are exchanged: 2 of 2 regions"):
        Atlas.read(save(tmp_path / "a.nii", labels[::-1].copy()), NAMES, store)
    for words in (("Left-Insula", "Right-Insula"), ("ctx-lh-insula", "ctx-rh-insula"), ("L Insula", "Insula (right)")):
        with pytest.raises(InputError, match="left and right are exchanged"):
            Atlas.read(tmp_path / "a.nii", dict(zip((7, 3), words, strict=True)), store)
    assert Atlas.read(tmp_path / "a.nii", {3: "Lingual", 7: "Rolandic"}, store).sides == ("L", "R", "both")


def test_a_finer_atlas_is_laid_on_by_the_nearest_voxel(store, labels, tmp_path):
    fine = np.kron(labels, np.ones((3, 3, 3), np.int16))
    affine = MNI @ np.array([[1, 0, 0, -1], [0, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, 3]]) / 3
    atlas = Atlas.read(save(tmp_path / "fine.nii.gz", fine, affine), NAMES, store)
    np.testing.assert_array_equal(atlas.labels, labels[store.box] * store.mask)


def test_an_atlas_of_another_space_is_refused(store, labels, tmp_path):
    far = MNI.copy()
    far[:3, 3] += 40
    with pytest.raises(
        InputError, match=r"lies in another space than the volumes: its labels fill x .* to .* mm, the mask"
    ):
        Atlas.read(save(tmp_path / "a.nii", labels, far), NAMES, store)
    near = MNI.copy()
    near[0, 3] += 3  # less than half a voxel: the nearest is the same
    here = Atlas.read(save(tmp_path / "b.nii", labels), NAMES, store)
    beside = Atlas.read(save(tmp_path / "c.nii", labels, near), NAMES, store)
    np.testing.assert_array_equal(beside.labels, here.labels)


def test_a_small_region_alone_is_an_atlas_too(store, labels, tmp_path):
    atlas = Atlas.read(save(tmp_path / "a.nii", np.where(labels == 9, 9, 0).astype(np.int16)), None, store)
    assert (atlas.names, len(atlas.notes)) == (("label 9",), 1)


@pytest.mark.parametrize("value", [0.5, -1, np.nan])
def test_an_image_without_labels_is_refused(value, store, labels, tmp_path):
    soft = labels.astype(np.float32)
    soft[2, 2, 2] = value
    with pytest.raises(InputError, match="is no label image"):
        Atlas.read(save(tmp_path / "a.nii", soft), NAMES, store)
    with pytest.raises(InputError, match="holds no label"):
        Atlas.read(save(tmp_path / "b.nii", np.zeros(SHAPE, np.int16)), NAMES, store)


LISTS = {
    "a.csv": "label,name,aal_code\n3,Insula_R,2001\n7,Insula_L,2002\n",
    "a.tsv": "index\tregion\n3\tInsula_R\n7\tInsula_L\n",
    "a.txt": "# FreeSurfer\n\n3  Insula_R  220 216 20 0\n7 Insula_L 2002\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_names_come_from_tables_and_lists(name, tmp_path, store, labels):
    (tmp_path / name).write_text(LISTS[name])
    assert read_label_names(tmp_path / name) == {3: "Insula_R", 7: "Insula_L"}
    atlas = Atlas.read(save(tmp_path / "a.nii", labels), tmp_path / name, store)
    assert atlas.names == ("Insula_R", "Insula_L", "label 9")
    assert "1 labels have no name and are called by their number: 9" in atlas.notes[-1]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "label,name\n1,A\n1,B\n", "label 1 stands twice, again in line 3"),
        ("a.csv", "label,name\nx,A\n", "line 2: 'x' is no label"),
        ("a.csv", "id,word\n1,A\n", "needs a column label and a column name. There are: id, word"),
        ("a.txt", "7\n", "line 1 holds '7'"),
        ("a.txt", "# nothing\n", "names no label"),
    ],
)
def test_a_faulty_list_of_names_is_refused(name, text, sentence, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_label_names(tmp_path / name)


@pytest.mark.field_data
def test_aal_fits_its_own_brain_and_labels_of_a_scanner_do_not(field_data, tmp_path):
    colin = field_data / "brain" / "colin27"
    head = nibabel.load(colin / "ch2bet_T1.nii.gz")
    values = head.get_fdata(dtype=np.float32)
    coarse = head.affine @ np.diag([4, 4, 4, 1.0])
    store = VolumeStore.from_arrays(
        [values[::4, ::4, ::4], values[::4, ::4, ::4] * 0.5],
        values[::4, ::4, ::4] > 0,
        coarse,
        tmp_path / "store",
        subjects=["a", "b"],
    )
    atlas = Atlas.read(colin / "aal_labels.nii.gz", colin / "aal_names.csv", store)
    assert len(atlas) == 116
    sides = dict(zip(atlas.names, atlas.sides, strict=True))
    told = pd.Series({name: side for name, side in sides.items() if name.endswith(("_L", "_R"))})
    assert (told == told.index.str[-1]).mean() > 0.95  # a few at the midline cross it
    assert not ((told != told.index.str[-1]) & (told != "both")).any()
    scanner = field_data / "brain" / "itk_t1" / "T1_kmeans_labels.nii.gz"
    with pytest.raises(InputError, match="lies in another space"):
        Atlas.read(scanner, None, store)
