"""Volumes are matched with the table of participants, or the file and the row that do not match are named."""

import time

import numpy as np
import pytest

from kotowari.core.errors import InputError
from kotowari.formats.bids import index_bids, read_participants
from kotowari.studies.brain.participants import read_cohort
from kotowari.studies.brain.volume_files import find_volumes

GREY = "space-MNI152NLin2009cAsym_res-2_label-GM_probseg.nii.gz"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def table(root, *rows, name="participants.tsv", header="participant_id\tage\tsex\tsite"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    return root / name


@pytest.fixture
def bids(tmp_path):
    """Two participants of one session each, in a folder of derivatives below the table."""
    root = tmp_path / "data" / "derivatives" / "smriprep"
    touch(root, f"sub-01/anat/sub-01_{GREY}", f"sub-02/anat/sub-02_{GREY}")
    touch(root, f"sub-01/anat/sub-01_{GREY.replace('GM', 'WM')}", f"sub-02/func/sub-02_{GREY}", "sub-03.html")
    table(tmp_path / "data", "sub-02\t31.5\tF\t01", "sub-01\tn/a\tM\t02")
    return root


def test_a_bids_tree_is_matched_in_the_order_of_its_table(bids):
    cohort = read_cohort(bids)
    assert cohort.subjects == ("02", "01")
    assert [path.name for path in cohort.paths] == [f"sub-02_{GREY}", f"sub-01_{GREY}"]
    assert all(path.parent.name == "anat" for path in cohort.paths)
    np.testing.assert_array_equal(cohort.numbers("age"), [31.5, np.nan])
    assert cohort.labels("site").tolist() == ["01", "02"]  # leading zeros are no number
    assert cohort.notes == ()


def test_the_pattern_chooses_the_tissue(bids):
    (white,) = index_bids(bids, "*_label-WM_*")
    assert (white.participant, white.session, white.path.name) == ("01", "", f"sub-01_{GREY.replace('GM', 'WM')}")
    with pytest.raises(InputError, match=r"holds no volume named \*CSF\*"):
        find_volumes(bids, pattern="*CSF*")
    with pytest.raises(InputError, match=r"'01' has sub-01_space.*GM.* Narrow the pattern"):
        read_cohort(bids, pattern="*probseg*")


def test_sessions_are_chosen_and_never_mixed(tmp_path):
    touch(tmp_path, *(f"sub-01/ses-{s}/anat/sub-01_ses-{s}_{GREY}" for s in ("pre", "post")))
    table(tmp_path, "sub-01\t30\tF\tA")
    with pytest.raises(InputError, match=r"1 participants have several .* Choose a session \(post, pre\)"):
        read_cohort(tmp_path)
    for session in ("post", "ses-post"):
        assert "ses-post" in read_cohort(tmp_path, session=session).paths[0].name
    with pytest.raises(InputError, match=r"no volume of session 'two'. There are: post, pre"):
        read_cohort(tmp_path, session="two")


def test_a_file_in_the_folder_of_another_is_refused(tmp_path):
    touch(tmp_path, f"sub-01/anat/sub-02_{GREY}")
    with pytest.raises(InputError, match="its name tells sub-02, its folder sub-01"):
        index_bids(tmp_path, "*probseg*")
    touch(tmp_path / "b", f"sub-01/ses-a/anat/sub-01_{GREY}")
    with pytest.raises(InputError, match=r"its name tells ses-\(none\), its folder ses-a"):
        index_bids(tmp_path / "b", "*probseg*")


def test_what_has_no_partner_is_named_with_file_and_row(bids, tmp_path):
    touch(bids, f"sub-04/anat/sub-04_{GREY}")
    table(tmp_path / "data", "sub-02\t31\tF\tA", "sub-01\t30\tM\tB", "sub-07\t52\tM\tB")
    with pytest.raises(InputError) as refusal:
        read_cohort(bids)
    assert f"1 volumes belong to no row of participants.tsv: sub-04/anat/sub-04_{GREY} (sub-04)" in str(refusal.value)
    assert "1 of 3 rows of participants.tsv have no volume: 07 (line 4)" in str(refusal.value)
    cohort = read_cohort(bids, unmatched="drop")
    assert cohort.subjects == ("02", "01")
    assert [note.endswith("; left out.") for note in cohort.notes] == [True, True]


SPM = {
    "flat": ["mwc1S1.nii", "mwc1S1-2.nii", "mwc1S10_T1w.nii.gz"],
    "CAT12": ["mri/mwp1S1.nii", "mri/mwp1S1-2.nii", "mri/mwp1S10_T1w.nii", "report/catreport_S1.pdf", "mri/p0S1.nii"],
    "a folder each": ["S1/mwc1T1.nii", "S1-2/anat/mwc1T1.nii", "S10/mwc1T1.nii"],
}


@pytest.mark.parametrize("names", SPM.values(), ids=SPM)
def test_outputs_of_spm_and_cat_are_matched_by_the_longest_name(names, tmp_path):
    touch(tmp_path, *names)
    table(tmp_path, "S10\t1\tF\tA", "S1\t2\tF\tA", "S1-2\t3\tF\tA")
    cohort = read_cohort(tmp_path)
    assert cohort.subjects == ("S10", "S1", "S1-2")
    told = [path.relative_to(tmp_path).as_posix() for path in cohort.paths]
    assert told == [names[2], names[0], names[1]]


def test_sub_entities_in_names_of_spm_decide(tmp_path):
    touch(tmp_path, "mwc1sub-01_ses-2_T1w.nii", "sub-02/anat/mwc1T1.nii", "smwc1sub-01_T1w.nii")
    table(tmp_path, "sub-01\t1\tF\tA", "02\t2\tF\tA")
    cohort = read_cohort(tmp_path)
    assert cohort.subjects == ("01", "02")
    assert [path.name for path in cohort.paths] == ["mwc1sub-01_ses-2_T1w.nii", "mwc1T1.nii"]
    assert read_cohort(tmp_path, session="2", unmatched="drop").subjects == ("01",)


def test_spm_and_cat_are_not_mixed(tmp_path):
    touch(tmp_path, "mwc1S1.nii", "mri/mwp1S1.nii")
    table(tmp_path, "S1\t1\tF\tA")
    with pytest.raises(InputError, match=r"outputs of SPM12 \(mwc1\) and of CAT12 \(mwp1\)"):
        read_cohort(tmp_path)
    assert read_cohort(tmp_path, pattern="mwp1*.nii").paths[0].parent.name == "mri"


def test_a_table_of_paths_may_be_the_table_of_participants_too(tmp_path):
    touch(tmp_path, "a/one.nii", "b/two.nii.gz")
    path = table(
        tmp_path, "S2\tb/two.nii.gz\t200", "S1\ta/one.nii\t0", name="list.tsv", header="participant_id\tpath\tdose"
    )
    cohort = read_cohort(path)
    assert cohort.subjects == ("S2", "S1")
    assert [file.name for file in cohort.paths] == ["two.nii.gz", "one.nii"]
    assert list(cohort.table.columns) == ["dose"]
    other = read_cohort(path, table(tmp_path, "S1\t44\tF\tA", "S2\t55\tM\tA"))
    assert other.subjects == ("S1", "S2")
    assert other.paths[0].name == "one.nii"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("S1\tnone.nii", r"list\.tsv: line 3: .*none\.nii is not there"),
        ("S1\t", "line 3 has no participant_id or no path"),
        ("S2\ttwo.nii", "participant 'S2' stands in line 2 and in line 3"),
    ],
)
def test_a_faulty_line_of_a_table_of_paths_is_named(row, sentence, tmp_path):
    touch(tmp_path, "two.nii")
    path = table(tmp_path, "S2\ttwo.nii", row, name="list.tsv", header="participant_id\tpath")
    with pytest.raises(InputError, match=sentence):
        read_cohort(path)
    bare = table(tmp_path, "S2\ttwo.nii", name="bare.tsv", header="who\tpath")
    with pytest.raises(InputError, match="has no column participant_id"):
        read_cohort(bare)


def test_a_participant_twice_or_without_name_is_refused_with_its_lines(tmp_path):
    with pytest.raises(InputError, match="participant '01' stands in line 2 and in line 4"):
        read_participants(table(tmp_path, "sub-01\t1\tF\tA", "sub-02\t1\tF\tA", "01\t2\tF\tA"))
    with pytest.raises(InputError, match="line 3 has no participant_id"):
        read_participants(table(tmp_path, "sub-01\t1\tF\tA", "\t1\tF\tA"))


def test_numbers_and_labels_are_asked_for_by_name(bids, tmp_path):
    table(tmp_path / "data", "sub-02\t31,5\tF\t1", "sub-01\t30\t\t2")
    cohort = read_cohort(bids)
    with pytest.raises(InputError, match=r"participants\.tsv: participant '02', column 'age': '31,5' is not a number"):
        cohort.numbers("age")
    with pytest.raises(InputError, match=r"has no column 'dose'\. There are: age, sex, site"):
        cohort.numbers("dose")
    with pytest.raises(InputError, match="sex is missing for 01"):
        cohort.labels("sex")
    assert cohort.labels("site").tolist() == ["1", "2"]


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="none: is not there"):
        read_cohort(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no volume named \*_space-.* or mwc1\*\.nii\* or mwp1"):
        read_cohort(tmp_path)
    touch(tmp_path, "d/e/f/mwc1S1.nii")
    with pytest.raises(InputError, match=r"has no participants\.tsv, nor have the two folders above it"):
        read_cohort(tmp_path / "d" / "e" / "f")
    table(tmp_path, "S9\t1\tF\tA")
    with pytest.raises(InputError, match=r"no participant has a volume .*participants S9; files mwc1S1\.nii"):
        read_cohort(tmp_path, unmatched="drop")
    with pytest.raises(InputError, match="is a file, where the layout 'bids' asks for a folder"):
        find_volumes(tmp_path / "participants.tsv", layout="bids")


def test_a_tree_of_a_thousand_subjects_is_indexed_at_once(tmp_path):
    for i in range(1000):
        folder = tmp_path / f"sub-{i:04d}" / "anat"
        folder.mkdir(parents=True)
        (folder / f"sub-{i:04d}_{GREY}").touch()
    begin = time.process_time()
    files = index_bids(tmp_path, "*_space-*probseg.nii*")
    assert time.process_time() - begin < 1
    assert [file.participant for file in files] == [f"{i:04d}" for i in range(1000)]
