"""Simulated brains as the files of a user are found, and are the brains that were simulated, in every layout."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from small_brains import brains

from kotowari.core.errors import InputError, RunFolderError
from kotowari.studies.brain import VolumeStore, read_cohort
from kotowari.studies.brain.phantom_files import write_brains

FIRST = {
    "bids": "sub-0001/anat/sub-0001_space-MNI152_label-GM_desc-modulated_probseg.nii.gz",
    "spm": "mwc1sub-0001.nii",
    "table": "volumes/sub-0001.nii.gz",
}


@pytest.fixture(scope="module")
def few():
    whole = brains()
    return replace(whole, volumes=whole.volumes[:4], participants=whole.participants[:4], hidden=whole.hidden[:4])


@pytest.mark.parametrize("layout", FIRST)
def test_every_layout_is_found_with_its_values_place_and_table(layout, few, tmp_path):
    source = write_brains(few, tmp_path / "in", layout=layout)
    assert source == (tmp_path / "in" / "participants.tsv" if layout == "table" else tmp_path / "in")
    cohort = read_cohort(source)
    assert cohort.subjects == ("0001", "0002", "0003", "0004")
    assert cohort.paths[0] == tmp_path / "in" / FIRST[layout]
    assert cohort.notes == ()
    assert list(cohort.table.columns) == [name for name in few.participants.columns if name != "participant_id"]
    for name in ("age", "dose", "positive", "tiv", "image_quality"):
        np.testing.assert_array_equal(cohort.numbers(name), few.participants[name])
    assert cohort.labels("diagnosis").tolist() == few.participants["diagnosis"].tolist()
    for path, volume in zip(cohort.paths, few.volumes, strict=True):
        image = nibabel.load(path)
        np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), volume)
        np.testing.assert_allclose(image.affine, few.affine, rtol=1e-6)
        assert int(image.header["sform_code"]) == 4
    store = VolumeStore.build(cohort.paths, None, tmp_path / "store", subjects=cohort.subjects)
    assert store.shape == few.mask.shape


def test_what_is_not_known_of_a_subject_is_written_as_bids_has_it(few, tmp_path):
    write_brains(few, tmp_path)
    lines = (tmp_path / "participants.tsv").read_text().splitlines()
    assert lines[0] == "\t".join(few.participants.columns)
    controls = np.flatnonzero(few.participants["diagnosis"] == "control")
    assert controls.size
    assert all("\tn/a\t" in lines[1 + row] for row in controls)
    assert sum("n/a" in line for line in lines) == len(controls)


def test_the_same_brains_give_the_same_bytes_and_the_truth_is_not_among_them(few, tmp_path):
    for name in ("one", "two"):
        write_brains(few, tmp_path / name)
    files = sorted(file for file in (tmp_path / "one").rglob("*") if file.is_file())
    assert len(files) == 5
    for file in files:
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
    assert "symptom" not in (tmp_path / "one" / "participants.tsv").read_text()


def test_a_folder_that_holds_a_cohort_and_an_unknown_layout_are_refused(few, tmp_path):
    write_brains(few, tmp_path)
    with pytest.raises(RunFolderError, match=r"holds a participants\.tsv already. Choose another folder\."):
        write_brains(few, tmp_path)
    with pytest.raises(InputError, match="layout must be one of bids, spm, table, got 'fsl'"):
        write_brains(few, tmp_path / "b", layout="fsl")
