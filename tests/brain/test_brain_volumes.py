"""A store of volumes: values, place and order come back; what cannot be trusted is refused with its culprits."""

import gzip
import hashlib
import json
import pickle
import shutil
import subprocess
import sys
import time

import nibabel
import numpy as np
import pytest
from nibabel.processing import resample_from_to

from kotowari.core.errors import InputError, RunFolderError, ShapeError
from kotowari.formats.nifti import read_nifti
from kotowari.studies.brain.model import volume_build
from kotowari.studies.brain.model.grid import Grid, tight_box
from kotowari.studies.brain.model.resample import resample
from kotowari.studies.brain.model.volume_rows import VolumeRows
from kotowari.studies.brain.model.volume_store import VolumeStore

SHAPE = (12, 15, 13)
MNI = np.array([[-8.0, 0, 0, 44], [0, 8.0, 0, -60], [0, 0, 8.0, -48], [0, 0, 0, 1]])
AFFINES = {
    "radiological": MNI,
    "neurological": np.array([[8.0, 0, 0, -44], [0, 8.0, 0, -60], [0, 0, 8.0, -48], [0, 0, 0, 1]]),
    "axes exchanged": np.array([[0, 0, 2.0, -13], [-2.0, 0, 0, 11], [0, 2.0, 0, -15], [0, 0, 0, 1]]),
    "oblique": np.array([[-1.4, 0.3, 0.1, 8], [0.2, 1.5, -0.4, -11], [0.1, 0.5, 1.6, -6], [0, 0, 0, 1]]),
}


def brain(rng, shape=SHAPE):
    """A smooth blob off centre with noise, 0 outside, asymmetric in every axis."""
    centre = np.array(shape)[:, None, None, None] * np.array([0.4, 0.5, 0.55])[:, None, None, None]
    radius = np.linalg.norm((np.indices(shape) - centre) / np.array(shape)[:, None, None, None], axis=0)
    return (np.maximum(0, 1 - radius / 0.4) * rng.uniform(0.8, 1.2, shape)).astype(np.float32)


def save(path, values, affine=MNI):
    """Both forms, as SPM writes them; no qform for an affine with a shear, which it could not hold."""
    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, 4)
    image.set_qform(affine, 4)
    if not np.allclose(image.get_qform(), affine, atol=1e-4):
        image.set_qform(None, 0)
    nibabel.save(image, path)
    return path


@pytest.fixture
def volumes(rng):
    return [brain(rng) for _ in range(6)]


@pytest.fixture
def paths(volumes, tmp_path):
    (tmp_path / "in").mkdir()
    return [save(tmp_path / "in" / f"mwc1s{i}.nii.gz", values) for i, values in enumerate(volumes)]


@pytest.fixture
def mask(tmp_path):
    values = np.zeros(SHAPE, np.uint8)
    values[2:9, 3:12, 4:11] = 1
    values[2, 3, 4] = 0
    return save(tmp_path / "mask.nii.gz", values)


def names(paths):
    return [f"s{i}" for i in range(len(paths))]


def build(paths, mask, folder, **options):
    return VolumeStore.build(paths, mask, folder, **({"subjects": names(paths)} | options))


def test_values_come_back_rounded_to_half_precision(paths, mask, volumes, tmp_path):
    store = build(paths, mask, tmp_path / "store")
    assert (store.shape, store.box) == (SHAPE, (slice(2, 9), slice(3, 12), slice(4, 11)))
    assert store.subjects == ("s0", "s1", "s2", "s3", "s4", "s5")
    back, expected = store.volumes([4, 1]), np.stack([volumes[4], volumes[1]])[(slice(None), *store.box)]
    assert back.dtype == np.float32
    error = np.abs(back - expected)
    assert (error <= np.maximum(2.0**-11 * expected, 2.0**-25)).all()
    assert error.max() > 0  # a store that kept float32 would not be half the size
    np.testing.assert_array_equal(store.volumes(slice(None)), store.values.astype(np.float32))
    assert store.values.dtype == np.float16
    np.testing.assert_array_equal(store.vectors([4, 1]), back[:, store.mask])
    np.testing.assert_array_equal(store.to_box(store.vectors([3]))[0], store.volumes([3])[0] * store.mask)
    assert store.n_voxels == 7 * 9 * 7 - 1
    assert "2^-11" in store.notes[0]


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_delta_in_the_box_returns_to_its_voxel_and_millimetres(affine, volumes, mask, tmp_path):
    paths = [save(tmp_path / f"v{i}.nii", values, affine) for i, values in enumerate(volumes)]
    store = build(paths, save(tmp_path / "m.nii", read_nifti(mask)[0], affine), tmp_path / "store")
    delta = np.zeros(store.mask.shape, np.float32)
    delta[1, 5, 2] = 7.5
    store.save_map(tmp_path / "map.nii.gz", delta)
    peer, source = nibabel.load(tmp_path / "map.nii.gz"), nibabel.load(paths[0])
    assert np.argwhere(peer.get_fdata()).tolist() == [[1 + 2, 5 + 3, 2 + 4]]
    assert peer.get_fdata()[3, 8, 6] == 7.5
    np.testing.assert_array_equal(peer.affine, source.affine)
    np.testing.assert_allclose(
        store.positions([1, 5, 2]), nibabel.affines.apply_affine(source.affine, [3, 8, 6]), rtol=0, atol=1e-12
    )
    assert int(peer.header["sform_code"]) == 4
    flipped = np.argwhere(store.to_full(delta[::-1]))  # a map turned round in x must not pass as the same
    assert flipped.tolist() != [[3, 8, 6]]


def test_the_mask_of_the_mean_is_where_the_mean_exceeds_its_share(paths, volumes, tmp_path):
    store = build(paths, None, tmp_path / "store", threshold=0.3)
    mean = np.mean([v.astype(np.float16).astype(np.float64) for v in volumes], axis=0)
    expected = mean > 0.3 * np.percentile(mean[mean > 0], 99)
    assert store.box == tight_box(expected)
    np.testing.assert_array_equal(store.mask, expected[store.box])
    np.testing.assert_array_equal(store.volumes([2])[0], volumes[2][store.box].astype(np.float16).astype(np.float32))
    assert not list(tmp_path.glob(".*.part"))
    assert sorted(file.name for file in (tmp_path / "store").iterdir()) == ["mask.npy", "store.json", "values.npy"]


def test_subjects_kept_aside_have_no_part_in_the_mask(paths, volumes, tmp_path):
    inside = build(paths, None, tmp_path / "one", mask_subjects=["s0", "s1"])
    volumes[5][:] = 1 - volumes[5]
    save(paths[5], volumes[5])
    again = build(paths, None, tmp_path / "two", mask_subjects=["s0", "s1"])
    np.testing.assert_array_equal(inside.mask, again.mask)
    assert build(paths, None, tmp_path / "three").mask.shape != inside.mask.shape
    with pytest.raises(InputError, match="mask_subjects names s9"):
        build(paths, None, tmp_path / "four", mask_subjects=["s9"])


def test_new_subjects_take_over_grid_and_mask_of_a_store(paths, mask, tmp_path):
    first = build(paths[:3], mask, tmp_path / "first")
    second = VolumeStore.build(paths[3:], first, tmp_path / "second", subjects=["a", "b", "c"])
    np.testing.assert_array_equal(second.mask, first.mask)
    assert second.box == first.box
    other = save(tmp_path / "other.nii", brain(np.random.default_rng(5), (14, 15, 13)))
    with pytest.raises(InputError, match="Another shape than the reference: 1 of 1 volumes"):
        VolumeStore.build([other], first, tmp_path / "third", subjects=["d"])


def test_threads_change_nothing(paths, mask, tmp_path):
    build(paths, mask, tmp_path / "one")
    build(paths, mask, tmp_path / "two", workers=3)
    for name in ("store.json", "values.npy", "mask.npy"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("given", [True, False], ids=["mask given", "mask of the mean"])
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(given, paths, mask, tmp_path, monkeypatch):
    whole = build(paths, mask if given else None, tmp_path / "whole")
    killed = tmp_path / "killed"
    note, noted = VolumeRows.note, []

    def stop_after_three(rows, row):
        if len(noted) == 3:
            raise KeyboardInterrupt
        noted.append(row.name)
        note(rows, row)

    with monkeypatch.context() as patch:
        patch.setattr(VolumeRows, "note", stop_after_three)
        with pytest.raises(KeyboardInterrupt):
            build(paths, mask if given else None, killed)
    assert not killed.exists()
    (journal,) = (tmp_path / ".killed.part").glob("*.jsonl")
    with journal.open("a") as file:
        file.write('\n{"number": 3, "na')  # as a kill in the middle of a line leaves it
    read = []
    take = volume_build.VolumeReader.read

    def counted(reader, number, path):
        read.append(number)
        return take(reader, number, path)

    with monkeypatch.context() as patch:
        patch.setattr(volume_build.VolumeReader, "read", counted)
        store = build(paths, mask if given else None, killed)
    assert read == [3, 4, 5]
    for name in ("store.json", "values.npy", "mask.npy"):
        assert (killed / name).read_bytes() == (whole.folder / name).read_bytes()
    assert store.subjects == whole.subjects


def test_a_process_killed_by_the_system_leaves_nothing_that_opens(paths, mask, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from kotowari.studies.brain.model.volume_rows import VolumeRows\n"
        "from kotowari.studies.brain.model.volume_store import VolumeStore\n"
        "note = VolumeRows.note\n"
        "def stop(rows, row):\n note(rows, row); row.number == 2 and os._exit(9)\n"
        "VolumeRows.note = stop\n"
        f"paths = [Path(p) for p in {[str(p) for p in paths]!r}]\n"
        f"VolumeStore.build(paths, Path({str(mask)!r}), Path({str(tmp_path / 'store')!r}), subjects={names(paths)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with pytest.raises(InputError, match="holds no whole store"):
        VolumeStore.open(tmp_path / "store")
    counts = []
    build(paths, mask, tmp_path / "store", advance=lambda units=1: counts.append(units))
    assert counts == [3, 1, 1, 1]


def test_a_file_changed_after_the_kill_is_read_again(paths, mask, volumes, tmp_path):
    save(paths[5], np.zeros(SHAPE, np.float32))
    with pytest.raises(InputError, match="One value in every voxel"):
        build(paths, mask, tmp_path / "store")
    save(paths[0], volumes[0] * 2)
    save(paths[5], volumes[5])
    store = build(paths, mask, tmp_path / "store")
    np.testing.assert_array_equal(store.volumes([0])[0], (volumes[0] * 2)[store.box].astype(np.float16))


def test_a_build_killed_while_it_crops_forgets_the_old_box(paths, volumes, tmp_path, monkeypatch):
    def stop(_rows, number, _values):
        if number == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        write = VolumeRows.write
        patch.setattr(
            VolumeRows,
            "write",
            lambda rows, number, values: (stop if rows.path.name == "values.npy" else write)(rows, number, values),
        )
        with pytest.raises(KeyboardInterrupt):
            build(paths, None, tmp_path / "store")
    save(paths[5], 40 * volumes[5][::-1])
    again = build(paths, None, tmp_path / "store")
    fresh = build(paths, None, tmp_path / "fresh")
    assert again.mask.shape == fresh.mask.shape
    np.testing.assert_array_equal(again.values, fresh.values)


def test_a_store_that_stands_is_opened_and_another_is_never_overwritten(paths, mask, volumes, tmp_path):
    build(paths, mask, tmp_path / "store")
    stamp = (tmp_path / "store" / "values.npy").stat().st_mtime_ns
    build(paths, mask, tmp_path / "store")
    assert (tmp_path / "store" / "values.npy").stat().st_mtime_ns == stamp
    with pytest.raises(RunFolderError, match="holds a store of other subjects, files or options"):
        build(paths[:5], mask, tmp_path / "store")
    save(paths[2], volumes[2] * 0.5)
    with pytest.raises(RunFolderError, match="holds a store of other subjects, files or options"):
        build(paths, mask, tmp_path / "store")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is no store of volumes"):
        build(paths, mask, tmp_path / "full")


def test_the_record_ties_each_row_to_its_file(paths, mask, tmp_path):
    store = build(paths, mask, tmp_path / "store")
    record = json.loads((tmp_path / "store" / "store.json").read_text())
    assert [entry["sha256"] for entry in record["inputs"]] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    ]
    assert store.inputs[3]["name"] == "mwc1s3.nii.gz"
    assert "C order" in record["values"]


def changed(place, value):
    def change(values, _affine):
        values[place] = value

    return change


def scaled(values, _affine):
    values *= 1e-6


def moved(*millimetres):
    def change(_values, affine):
        affine[:3, 3] += millimetres

    return change


def flipped(_values, affine):
    affine[0] *= -1


IN_MASK = (slice(2, 9), slice(3, 12), slice(4, 11))
SPOIL = {
    "nan": changed((0, 0, 0), np.nan),
    "infinite": changed((0, 0, 0), np.inf),
    "zero": changed(..., 0),
    "empty in the mask": changed(IN_MASK, 0),
    "large": changed((5, 5, 5), 65505),
    "tiny": scaled,
    "moved": moved(0, 4, 0),
    "flipped": flipped,
    "far": moved(500, 500, 500),
}


def save_with_two_forms(path, values):
    image = nibabel.Nifti1Image(values, MNI)
    image.set_sform(MNI, 4)
    image.set_qform(AFFINES["neurological"], 1)
    nibabel.save(image, path)


def cut(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def faulty(paths, volumes, fault):
    """Spoil volume 2 in one way."""
    values, affine = volumes[2].copy(), MNI.copy()
    if fault in SPOIL:
        SPOIL[fault](values, affine)
        save(paths[2], values, affine)
    elif fault == "copy":  # packed otherwise, so that the files differ
        paths[2].write_bytes(gzip.compress(gzip.decompress(paths[4].read_bytes()), compresslevel=1))
    elif fault == "forms":
        save_with_two_forms(paths[2], values)
    elif fault == "cut":
        cut(paths[2])
    else:
        save(paths[2], {"4-D": np.stack([values] * 2, axis=-1), "shape": values[:-1]}[fault])


FAULTS = {
    "nan": "NaN or infinite values: 1 of 6 volumes.*1 of 2340 voxels",
    "infinite": "NaN or infinite values: 1 of 6 volumes",
    "zero": "One value in every voxel that is read: 1 of 6 volumes.*0 everywhere",
    "empty in the mask": "One value in every voxel that is read: 1 of 6.*0 in the mask",
    "large": "Values above 65504, the largest that float16 keeps: 1 of 6 volumes.*up to 65505",
    "tiny": "No value as large as 2",
    "4-D": r"Not three axes: 1 of 6 volumes.*shape \(12, 15, 13, 2\)",
    "shape": r"Another shape than the reference: 1 of 6 volumes.*\(11, 15, 13\)",
    "moved": "Another place than the reference, though its shape: 1 of 6 volumes.*up to 4 mm off",
    "flipped": "Left and right stored the other way round than in the reference",
    "far": "boxes overlap by less than half",
    "forms": "Sform and qform place the voxels differently.*up to 88 mm apart",
    "cut": "Not readable: 1 of 6 volumes.*cut short",
    "copy": r"The very values of another volume: 1 of 6 volumes.*s4  mwc1s4.nii.gz: the same as s2, mwc1s2.nii.gz",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_culprit_and_then_nothing_stands(fault, paths, mask, volumes, tmp_path):
    faulty(paths, volumes, fault)
    with pytest.raises(InputError, match=f"(?s){FAULTS[fault]}") as refusal:
        build(paths, mask, tmp_path / "store")
    assert "mwc1s2.nii.gz: " in str(refusal.value) or fault == "copy"
    assert "mwc1s1.nii.gz" not in str(refusal.value)
    assert not (tmp_path / "store").exists()


def test_all_culprits_of_all_faults_are_told_at_once_up_to_ten_a_fault(volumes, tmp_path):
    paths = [save(tmp_path / f"v{i:02d}.nii", volumes[0] + i) for i in range(30)]
    for path in paths[:12]:
        save(path, np.full(SHAPE, np.nan, np.float32))
    save(paths[12], np.zeros(SHAPE, np.float32))
    with pytest.raises(InputError) as refusal:
        build(paths, None, tmp_path / "store")
    told = str(refusal.value)
    assert "12 of 30 volumes" in told
    assert "  and 2 more" in told
    assert "v12.nii: 0 everywhere" in told
    assert told.count("v0") == 10


def test_float16_takes_65504_and_one_bright_voxel_makes_no_mask(volumes, paths, tmp_path):
    volumes[0][5, 5, 5] = 65504
    save(paths[0], volumes[0])
    store = build(paths, None, tmp_path / "store")
    assert store.volumes([0]).max() == 65504
    assert store.n_voxels > 100


@pytest.mark.parametrize("change", ["flipped", "shape", "moved"])
def test_a_deviating_grid_is_laid_over_the_reference_when_asked(change, paths, mask, volumes, tmp_path):
    reference = build(paths, mask, tmp_path / "reference")
    if change == "flipped":  # the same brain stored from left to right: nothing may be lost
        affine = MNI @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        save(paths[2], volumes[2][::-1].copy(), affine)
    elif change == "shape":
        affine = MNI.copy()
        affine[:3, 3] = MNI[:3] @ [-2, 0, -1, 1]
        save(paths[2], np.pad(volumes[2], ((2, 0), (0, 0), (1, 3))), affine)
    else:
        affine = MNI.copy()
        affine[0, 3] += 4  # half a voxel
        save(paths[2], volumes[2], affine)
    store = build(paths, mask, tmp_path / "store", resample=True)
    assert any("1 of 6 volumes lay on another grid" in note for note in store.notes)
    expected = volumes[2]
    if change == "moved":
        # a voxel of the reference, at 44 - 8 i mm, has the index i + 1/2 in the moved volume
        expected = (volumes[2] + np.roll(volumes[2], -1, axis=0)) / 2
        to_the_other_side = (volumes[2] + np.roll(volumes[2], 1, axis=0)) / 2
        assert np.abs(store.volumes([2])[0] - to_the_other_side[store.box]).max() > 0.05
    np.testing.assert_allclose(store.volumes([2])[0], expected[store.box], atol=2e-3)
    np.testing.assert_array_equal(store.volumes([0, 5]), reference.volumes([0, 5]))
    if change != "moved":
        np.testing.assert_array_equal(store.volumes([2]), reference.volumes([2]))


def test_what_lies_far_off_is_not_resampled(paths, mask, volumes, tmp_path):
    faulty(paths, volumes, "far")
    with pytest.raises(InputError, match="boxes overlap by less than half"):
        build(paths, mask, tmp_path / "store", resample=True)


def test_most_volumes_settle_the_grid_whichever_comes_first(paths, mask, volumes, tmp_path):
    affine = MNI.copy()
    affine[1, 3] += 4
    save(paths[0], volumes[0], affine)
    with pytest.raises(InputError, match=r"1 of 6 volumes.*\n  s0  mwc1s0"):
        build(paths, mask, tmp_path / "store")


def test_whole_numbers_with_a_scale_are_restored(paths, mask, volumes, tmp_path):
    image = nibabel.Nifti1Image(volumes[1], MNI)
    image.set_data_dtype(np.int16)  # nibabel finds a slope that fills the type
    nibabel.save(image, paths[1])
    assert nibabel.load(paths[1]).dataobj.slope != 1
    store = build(paths, mask, tmp_path / "store")
    np.testing.assert_allclose(store.volumes([1])[0], volumes[1][store.box], atol=1e-3)
    assert any("1 of 6 volumes are stored as scaled numbers" in note for note in store.notes)


def test_a_mask_must_be_one_and_lie_on_the_volumes(paths, mask, volumes, tmp_path):
    soft = save(tmp_path / "soft.nii", volumes[0])
    with pytest.raises(InputError, match=r"soft\.nii: is no mask"):
        build(paths, soft, tmp_path / "store")
    with pytest.raises(InputError, match=r"full\.nii: is no mask"):
        build(paths, save(tmp_path / "full.nii", np.ones(SHAPE, np.uint8)), tmp_path / "store")
    values = read_nifti(mask)[0]
    flipped = save(tmp_path / "flipped.nii", values[::-1].copy(), AFFINES["neurological"])
    with pytest.raises(InputError, match="stores left and right the other way round"):
        build(paths, flipped, tmp_path / "store")
    far = MNI.copy()
    far[:3, 3] += 300
    with pytest.raises(InputError, match="the mask lies in another space"):
        build(paths, save(tmp_path / "far.nii", values, far), tmp_path / "store", resample=True)
    fine = Grid((36, 45, 39), MNI @ np.array([[1, 0, 0, -1], [0, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, 3]]) / 3)
    laid = resample(values.astype(np.uint8), Grid(SHAPE, MNI), fine, method="nearest")
    store = build(paths, save(tmp_path / "fine.nii", laid, fine.affine), tmp_path / "fine", resample=True)
    np.testing.assert_array_equal(store.to_full(store.mask), values > 0)
    assert "by the nearest voxel" in store.notes[-1]


def test_a_store_cut_short_or_of_another_version_does_not_open(paths, mask, tmp_path):
    store = build(paths, mask, tmp_path / "store")
    file = store.folder / "values.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"values\.npy: is missing, cut short or damaged"):
        VolumeStore.open(store.folder)
    file.write_bytes(whole)
    record = json.loads((store.folder / "store.json").read_text())
    (store.folder / "store.json").write_text(json.dumps(record | {"subjects": record["subjects"][:-1]}))
    with pytest.raises(InputError, match="is not that of store"):
        VolumeStore.open(store.folder)
    (store.folder / "store.json").write_text(json.dumps(record | {"schema": 99}))
    with pytest.raises(InputError, match="built by another version"):
        VolumeStore.open(store.folder)


def test_rows_are_chosen_as_in_an_array_and_wrong_ones_refused(paths, mask, tmp_path):
    store = build(paths, mask, tmp_path / "store")
    truth = np.array([True, False, False, True, False, False])
    np.testing.assert_array_equal(store.volumes(truth), store.volumes([0, 3]))
    np.testing.assert_array_equal(store.volumes([-1]), store.volumes([5]))
    assert store.volumes([]).shape == (0, *store.mask.shape)
    for rows in ([6], truth[:-1], [0.5]):
        with pytest.raises(InputError, match="Rows run from 0 to 5"):
            store.volumes(rows)
    with pytest.raises(ShapeError, match="array of the box must have shape"):
        store.to_full(np.zeros(SHAPE))
    with pytest.raises(ShapeError, match="vectors must have shape"):
        store.to_box(np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        store.affine[0, 0] = 1


def test_a_pickled_store_opens_where_it_arrives(paths, mask, tmp_path):
    store = build(paths, mask, tmp_path / "store")
    content = pickle.dumps(store)
    assert len(content) < 1000
    np.testing.assert_array_equal(pickle.loads(content).vectors([2]), store.vectors([2]))  # noqa: S301


def test_volumes_in_memory_make_the_same_store_as_files(paths, mask, volumes, tmp_path):
    from_files = build(paths, mask, tmp_path / "files")
    inside = read_nifti(mask)[0] > 0
    store = VolumeStore.from_arrays(volumes, inside, MNI, tmp_path / "arrays", subjects=names(paths))
    np.testing.assert_array_equal(store.values, from_files.values)
    np.testing.assert_array_equal(store.mask, from_files.mask)
    volumes[1][0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or infinite values: 1 of 6"):
        VolumeStore.from_arrays(volumes, inside, MNI, tmp_path / "again", subjects=names(paths))
    with pytest.raises(ShapeError, match="mask must have shape"):
        VolumeStore.from_arrays(volumes, inside[1:], MNI, tmp_path / "again", subjects=names(paths))
    with pytest.raises(RunFolderError, match="is no store of volumes"):
        VolumeStore.from_arrays(volumes, inside, MNI, tmp_path / "in", subjects=names(paths))
    with pytest.raises(InputError, match="One subject a volume is needed"):
        VolumeStore.from_arrays(volumes, inside, MNI, tmp_path / "again", subjects=["s0"])


def test_two_processes_do_not_build_one_store(paths, mask, tmp_path):
    with (
        volume_build._made_beside(tmp_path / "store"),
        pytest.raises(RunFolderError, match="another process builds this store"),
    ):
        build(paths, mask, tmp_path / "store")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"subjects": ["a"]}, "6 files and 1 subjects"),
        ({"subjects": ["a", "b", "c", "d", "e", "a"]}, r"1 subjects stand more than once \(a\)"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"threshold": 1.0}, "threshold must lie above 0 and below 1"),
        ({"mask_subjects": ["s0"]}, "mask_subjects needs a name at least, and no mask"),
    ],
)
def test_options_that_cannot_be_are_refused(options, sentence, paths, mask, tmp_path):
    with pytest.raises(InputError, match=sentence):
        build(paths, mask, tmp_path / "store", **options)
    with pytest.raises(InputError, match="1 files stand more than once"):
        build([*paths, paths[0]], mask, tmp_path / "store")
    with pytest.raises(InputError, match="0 files and 0 subjects"):
        build([], mask, tmp_path / "store")


def test_resampling_is_exact_for_a_linear_field(rng):
    source = Grid((9, 11, 8), AFFINES["oblique"])
    target = Grid(
        (3, 3, 2), AFFINES["oblique"] @ np.array([[1.7, 0.2, 0, 1], [0, 1.6, 0.3, 2], [0, 0, 1.5, 3], [0, 0, 0, 1]])
    )
    slope = rng.standard_normal(3)

    def field(grid):
        return grid.positions(np.moveaxis(np.indices(grid.shape), 0, -1)) @ slope

    np.testing.assert_allclose(resample(field(source), source, target, method="linear"), field(target), atol=1e-10)
    wrong = Grid(source.shape, source.affine + np.eye(4)[:, :1] * np.eye(4)[3])  # 1 mm off
    gap = resample(field(source), wrong, target, method="linear") - field(target)
    np.testing.assert_allclose(gap, -slope[0], atol=1e-10)


def test_a_grid_knows_its_place(rng):
    grid = Grid((5, 6, 7), AFFINES["radiological"])
    assert (grid.handedness, Grid((5, 6, 7), AFFINES["neurological"]).handedness) == (-1, 1)
    np.testing.assert_array_equal(grid.bounds(), [[44 - 36, -64, -52], [48, -60 + 44, -48 + 52]])
    box = (slice(1, 3), slice(2, 6), slice(0, 7))
    assert grid.cropped(box).shape == (2, 4, 7)
    index = rng.integers(0, 2, 3)
    np.testing.assert_allclose(grid.cropped(box).positions(index), grid.positions(index + np.array([1, 2, 0])))
    np.testing.assert_array_equal(grid.cropped(box).bounds(), grid.bounds(box))


def test_a_store_opens_at_once_and_without_nibabel(tmp_path, rng):
    shape, n = (121, 145, 121), 1
    values = rng.random((n, *shape), dtype=np.float32)
    store = VolumeStore.from_arrays(values, np.ones(shape, bool), MNI, tmp_path / "store", subjects=["a"])
    record = json.loads((store.folder / "store.json").read_text())
    assert store.mask.shape == shape
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        VolumeStore.open(tmp_path / "store")
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.05
    assert len(record["subjects"]) == n
    code = (
        "import sys; from pathlib import Path; from kotowari.studies.brain.model.volume_store import VolumeStore; "
        f"VolumeStore.open(Path({str(tmp_path / 'store')!r})).volumes([0]); print('nibabel' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_pass_over_a_store_holds_one_batch_in_memory(tmp_path):
    code = """
import sys
from pathlib import Path
import numpy as np
from kotowari.studies.brain.model.volume_store import VolumeStore
rng = np.random.default_rng(0)
class Made:
    def __len__(self): return 40
    def __iter__(self): return iter([])
    def __getitem__(self, i): return rng.random((70, 80, 70), dtype=np.float32)
def peak():  # ru_maxrss would begin at the size of the process that started this one
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
rng.random((70, 80, 70)) > 0.5
before = peak()
mask = np.ones((70, 80, 70), bool)
store = VolumeStore.from_arrays(Made(), mask, np.eye(4), Path(sys.argv[1]), subjects=[f"s{i}" for i in range(40)])
for i in range(0, 40, 2):
    store.volumes([i, i + 1])
lean = peak() - before
store.values.astype(np.float32).sum()
print(lean, peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store")], capture_output=True, text=True, check=True
    )
    lean, greedy = (float(word) for word in done.stdout.split())
    size = 40 * 70 * 80 * 70 * 2 / 2**20
    assert lean < size / 2
    assert greedy > size  # what reading the whole map at once costs: the measurement can tell


@pytest.mark.field_data
def test_real_heads_in_native_space_are_refused_and_resampled_when_asked(field_data, tmp_path):
    paths = sorted((field_data / "brain" / "ixi" / "t1_2mm").glob("*_T1.nii.gz"))
    with pytest.raises(InputError, match="Another place than the reference, though its shape: 5 of 6"):
        build(paths, None, tmp_path / "store")
    store = build(paths, None, tmp_path / "store", resample=True, threshold=0.2)
    assert store.shape == (120, 120, 90)
    own, header = read_nifti(paths[0])
    np.testing.assert_allclose(store.affine, header.affine)
    np.testing.assert_array_equal(store.volumes([0])[0], own[store.box].astype(np.float16).astype(np.float32))
    peer = nibabel.load(paths[3])
    expected = resample_from_to(peer, (store.shape, store.affine), order=1).get_fdata()[store.box]
    assert np.median(np.abs(store.volumes([3])[0] - expected)) < 0.1
    shutil.rmtree(store.folder)
