"""Whatever is wrong with what comes in is told in one sentence, that says what, where, and what to do."""

import gzip
import shutil

import nibabel
import numpy as np
import pytest
import torch
from small_brains import (
    NO_GRID,
    NO_TRUST,
    ONE_QUESTION,
    change_table,
    quick_fits,
    save_volume,
    volume_path,
    write_files,
)

from kotowari.core.files import read_json
from kotowari.core.runfolder import RunFolder
from kotowari.studies.brain import VolumeStore, open_job
from typed_words import KOTOWARI, typed

QUICK = {"targets": ONE_QUESTION, "features": NO_GRID, "trust": NO_TRUST}


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        yield


@pytest.fixture
def home(tmp_path):
    """Where the files of the user lie."""
    return tmp_path / "in"


@pytest.fixture
def files(home):
    """Write a user's files, the table changed, and return the YAML."""

    def write(table=None, **sections):
        return write_files(home, table, **sections)

    return write


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def refused_volumes(monkeypatch, capsys):
    """Type words that are refused for some volumes; returns the sentence and the list of culprits below it."""

    def refuse(*words):
        assert typed(monkeypatch, *words) == 1
        told = capsys.readouterr().err
        assert "Traceback" not in told
        start = told.index("kotowari: ") + len("kotowari: ")
        sentence, *culprits = told[start:].splitlines()
        assert sentence.endswith(".")
        assert all(line.startswith("  ") for line in culprits)
        return sentence, culprits

    return refuse


def with_cell(row, column, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return change


def goes_on(yaml, out, monkeypatch, until="read"):
    """A refused start leaves nothing behind that hinders the next one in the same folder."""
    return typed(monkeypatch, "run", yaml, "--out", out, "--until", until) == 0


def test_sound_files_are_not_refused(files, out, monkeypatch, capsys):
    assert goes_on(files(), out, monkeypatch, until="split")
    told = capsys.readouterr().err
    assert "Read 32 volumes of 16 x 19 x 16 voxels" in told
    assert "23 subjects to learn from, 9 at sites kept aside; 4 targets, 8 regions." in told


# volumes


def changed(path, change):
    image = nibabel.load(path)
    values, affine = change(np.asarray(image.dataobj, np.float32).copy(), image.affine.copy())
    save_volume(path, values, affine)


def cut(values, affine):
    return values[:, :-1], affine


def shifted(values, affine):
    affine[0, 3] += 5
    return values, affine


def flipped(values, affine):
    affine[0] *= -1
    return values, affine


def with_nan(values, affine):
    values[5, 5, 5] = np.nan
    return values, affine


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut, ["Another shape than the reference", "shape (16, 18, 16)"]),
        (shifted, ["Another place than the reference", "5 mm off"]),
        (flipped, ["Left and right stored the other way round"]),
        (lambda values, affine: (np.stack([values, values], -1), affine), ["Not three axes", "(16, 19, 16, 2)"]),
        (lambda values, affine: (values * 0, affine), ["One value in every voxel", "failed segmentation"]),
        (with_nan, ["NaN or infinite values", "1 of 4864 voxels"]),
    ],
    ids=["shape", "affine", "left and right", "4-D", "all zero", "NaN"],
)
def test_volumes_that_do_not_fit_are_refused_by_name(change, words, files, home, out, refused_volumes, monkeypatch):
    yaml = files(**QUICK)
    sound = {number: volume_path(home, number).read_bytes() for number in (3, 7)}
    for number in sound:
        changed(volume_path(home, number), change)
    sentence, culprits = refused_volumes("run", yaml, "--out", out)
    told = "\n".join([sentence, *culprits])
    assert [word for word in words if word not in told] == []
    assert "2 of 32 volumes" in sentence
    assert [line.split()[:2] for line in culprits] == [
        [f"{number:04d}", f"{volume_path(home, number).name}:"] for number in sound
    ]
    assert not (out / "run.json").exists()
    for number, content in sound.items():
        volume_path(home, number).write_bytes(content)
    assert goes_on(yaml, out, monkeypatch)


@pytest.mark.parametrize("change", [cut, shifted])
def test_volumes_on_another_grid_are_interpolated_where_asked_for(change, files, home, out, monkeypatch, capsys):
    yaml = files(data={"resample": True}, **QUICK)
    changed(volume_path(home, 3), change)
    assert goes_on(yaml, out, monkeypatch)
    assert "1 of 32 volumes lay on another grid and were interpolated trilinearly" in capsys.readouterr().err


def test_a_volume_cut_short_is_refused(files, home, out, refused_volumes):
    yaml, path = files(), volume_path(home, 4)
    path.write_bytes(path.read_bytes()[:-100])
    sentence, culprits = refused_volumes("run", yaml, "--out", out)
    assert sentence == "Not readable: 1 of 32 volumes. Fetch or write them again."
    assert "0004" in culprits[0]
    assert "is cut short or damaged" in culprits[0]


def test_the_same_volume_under_two_names_is_refused(files, home, out, refused_volumes):
    """Two subjects of one volume would stand in training and test part at once."""
    yaml = files()
    values = gzip.decompress(volume_path(home, 2).read_bytes())
    volume_path(home, 9).write_bytes(gzip.compress(values, 1))
    sentence, culprits = refused_volumes("run", yaml, "--out", out)
    assert sentence.startswith("The very values of another volume: 1 of 32 volumes.")
    assert "0009" in culprits[0]
    assert "the same as 0002" in culprits[0]


def test_a_volume_that_cannot_be_found_or_belongs_to_nobody_is_refused(files, home, out, refused):
    yaml = files()
    shutil.move(volume_path(home, 5).parents[1], home / "elsewhere")
    assert "1 of 32 rows of participants.tsv have no volume: 0005" in refused("run", yaml, "--out", out)
    shutil.move(home / "elsewhere", volume_path(home, 5).parents[1])
    change_table(home, lambda table: table.drop(index=6))
    sentence = refused("run", yaml, "--out", out)
    assert "1 volumes belong to no row of participants.tsv" in sentence
    assert "(sub-0007)" in sentence
    assert not out.exists()


def test_an_atlas_in_another_space_is_refused_and_the_store_is_no_hindrance(files, home, out, refused, monkeypatch):
    yaml, atlas = files(**QUICK), home / "atlas.nii.gz"
    sound, image = atlas.read_bytes(), nibabel.load(atlas)
    affine = image.affine.copy()
    affine[:3, 3] += 90
    save_volume(atlas, np.asarray(image.dataobj), affine)
    sentence = refused("run", yaml, "--out", out, after_progress=True)
    assert "atlas.nii.gz" in sentence
    assert "space" in sentence
    assert not (out / "run.json").exists()
    atlas.write_bytes(sound)
    change_table(home, lambda table: table[table["participant_id"] != "sub-0002"])
    again = write_config(yaml, data={"unmatched": "drop"})
    assert goes_on(again, out, monkeypatch), "the store of 32 volumes gives way to one of 31"
    assert len(open_job(RunFolder(out)).store) == 31


def write_config(yaml, **changes):
    import yaml as words

    config = words.safe_load(yaml.read_text())
    for section, values in changes.items():
        config[section] = config.get(section, {}) | values
    yaml.write_text(words.safe_dump(config))
    return yaml


def test_a_mask_of_the_user_is_taken_and_what_is_none_is_refused(files, home, out, refused, monkeypatch):
    yaml = files(data={"mask": "mask.nii.gz"}, **QUICK)
    image = nibabel.load(volume_path(home, 1))
    assert "mask.nii.gz: cannot be read" in refused("run", yaml, "--out", out)
    values = np.asarray(image.dataobj)
    save_volume(home / "mask.nii.gz", values, image.affine)
    assert "is no mask" in refused("run", yaml, "--out", out, after_progress=True)
    save_volume(home / "mask.nii.gz", (values > 0.3).astype(np.uint8), image.affine)
    assert goes_on(yaml, out, monkeypatch)
    assert open_job(RunFolder(out)).store.n_voxels == (values > 0.3).sum()


# participants


@pytest.mark.parametrize(
    ("change", "sections", "words"),
    [
        (lambda table: table.drop(columns="age"), {}, ["participants.tsv", "no column 'age'", "There are: sex"]),
        (lambda table: table.drop(columns="site"), {}, ["participants.tsv", "no column 'site'"]),
        (with_cell(2, "age", "old"), {}, ["'0003'", "column 'age'", "'old' is not a number", "or n/a"]),
        (with_cell(2, "sex", "n/a"), {}, ["covariate sex is missing for 0003", "Fill it in"]),
        (with_cell(2, "site", "n/a"), {}, ["site is missing for 0003"]),
        (with_cell(2, "diagnosis", "n/a"), {}, ["diagnosis is missing for 0003"]),
        (lambda table: table.assign(age="30"), {}, ["age: is the same for all subjects"]),
        (lambda table: table.assign(dose="7"), {}, ["dose: is the same for all subjects"]),
        (lambda table: table.assign(positive="n/a"), {}, ["positive is known of 0 internal patients", "10 are needed"]),
        (lambda table: table.assign(diagnosis="control"), {}, ["'patient' in diagnosis", "there are control"]),
        (lambda table: table.replace({"site": {"B": "C"}}), {}, ["external_sites names B", "there are A, C"]),
        (lambda table: table.assign(site="B"), {}, ["all sites are kept aside"]),
        (lambda table: table, {"cohort": {"group": "family"}}, ["no column 'family'"]),
        (with_cell(0, "dose", "0"), {}, ["dose is 0 or below for 0001", "no logarithm"]),
        (lambda table: table, {"validation": {"n_splits": 30}}, ["fold"]),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_before_a_volume_is_read(change, sections, words, files, out, refused):
    sentence = refused("run", files(change, **sections), "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def with_many_numbers(table):
    rng = np.random.default_rng(0)
    return table.assign(**{f"score{k}": rng.normal(size=len(table)).round(3).astype(str) for k in range(12)})


def test_more_covariates_than_subjects_are_refused_before_a_volume_is_read(files, out, refused):
    cohort = {"covariates": [f"score{k}" for k in range(12)]}
    sentence = refused("run", files(with_many_numbers, cohort=cohort), "--out", out)
    assert "age: nuisance: 11 subjects are too few for" in sentence
    assert "independent covariate terms (score0, " in sentence
    assert sentence.endswith("Remove covariates, or bring more subjects.")
    assert not out.exists()


def test_a_category_that_a_fold_did_not_learn_is_refused_before_a_volume_is_read(files, out, refused):
    sentence = refused("run", files(with_cell(0, "sex", "X"), **QUICK), "--out", out)
    assert "age: sex: subject 0001" in sentence
    assert "has 'X', which no training subject has" in sentence
    assert not out.exists()


def test_a_site_with_one_subject_cannot_be_harmonised(files, out, refused):
    cohort = {"harmonise": "combat", "external_sites": []}
    change = with_cell(0, "site", "lonely")
    sentence = refused("run", files(change, cohort=cohort, **QUICK), "--out", out)
    assert "lonely" in sentence
    assert not out.exists()


def test_an_external_site_that_combat_never_saw_is_refused_by_the_key_that_mends_it(
    files, home, out, refused, monkeypatch
):
    sentence = refused("run", files(cohort={"harmonise": "combat"}, **QUICK), "--out", out)
    assert "cohort.n_adapt: combat knows no site that it never saw." in sentence
    sentence = refused("run", rewritten(files, home, cohort={"harmonise": "combat", "n_adapt": 30}), "--out", out)
    assert "age: " in sentence
    assert not out.exists()
    yaml = rewritten(files, home, cohort={"harmonise": "combat", "unseen": "reference"})
    assert goes_on(yaml, out, monkeypatch, until="split")


def rewritten(files, home, **sections):
    shutil.rmtree(home)
    return files(**sections, **QUICK)


# the machine, and the way back


def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(files, out, refused):
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    sentence = refused("run", files(), "--out", out, "--device", "cuda")
    assert "cuda" in sentence
    assert not out.exists()


@pytest.mark.parametrize("name", ["brains/participants.tsv", "atlas.nii.gz", "atlas.tsv"])
def test_an_input_changed_between_run_and_resume_is_refused(name, files, home, out, monkeypatch, refused, capsys):
    assert goes_on(files(**QUICK), out, monkeypatch)
    capsys.readouterr()
    changed_file = home / name
    before = changed_file.read_bytes()
    changed_file.write_bytes(before + b"\n" if name.endswith("tsv") else gzip.compress(gzip.decompress(before), 1))
    assert refused("resume", out) == (
        f"{changed_file.name}: is not the file that this run began with (its content has changed). Put the old file "
        "back, or start a new run."
    )
    changed_file.write_bytes(before)
    assert typed(monkeypatch, "resume", out, "--until", "split") == 0


def test_volumes_are_read_once_and_a_run_goes_on_without_them(files, home, out, monkeypatch):
    """The store holds what was read, so a change of the files behind it can change no result."""
    assert goes_on(files(**QUICK), out, monkeypatch)
    volume_path(home, 4).write_bytes(b"no volume any more")
    assert typed(monkeypatch, "resume", out, "--until", "split") == 0


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("store.json", lambda path: path.unlink()),
        ("mask.npy", lambda path: path.unlink()),
        ("values.npy", lambda path: path.write_bytes(path.read_bytes()[:-1000])),
        ("values.npy", lambda path: path.write_bytes(b"")),
    ],
    ids=["no record", "no mask", "cut short", "empty"],
)
def test_a_damaged_store_is_told_on_resume(file, damage, files, out, monkeypatch, refused, capsys):
    assert goes_on(files(**QUICK), out, monkeypatch, until="split")
    capsys.readouterr()
    damage(out / "work" / "volumes" / file)
    sentence = refused("resume", out, after_progress=True)
    assert str(out / "work" / "volumes") in sentence
    assert "uild" in sentence, "what to do is told"


@pytest.mark.slow
def test_a_build_that_was_killed_goes_on(files, out, monkeypatch, ready):
    """Killed while volumes are read: what was begun is taken up by `resume`, and the store opens."""
    yaml = files(**QUICK)
    code = (
        "import os\n"
        "from kotowari.studies.brain.model.volume_rows import VolumeRows\n"
        "note = VolumeRows.note\n"
        "def stop(rows, row):\n note(rows, row); row.number == 2 and os._exit(9)\n"
        "VolumeRows.note = stop\n"
    )
    assert ready.run(code + KOTOWARI, "run", yaml, "--out", out, warned="default").returncode == 9
    assert RunFolder(out).stage_state("read") == "running"
    assert not (out / "work" / "volumes").exists()
    assert typed(monkeypatch, "resume", out, "--until", "read") == 0
    assert len(VolumeStore.open(out / "work" / "volumes")) == 32
    assert read_json(out / "run.json")["stages"][0]["state"] == "done"


def test_a_second_run_in_the_same_folder_is_refused(files, out, monkeypatch, refused, capsys):
    yaml = files(**QUICK)
    assert goes_on(yaml, out, monkeypatch)
    capsys.readouterr()
    assert f"{out}: holds a run already. Go on with it by `kotowari resume {out}`" in refused("run", yaml, "--out", out)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"volumes": "nowhere"}, ["nowhere", "is not there"]),
        ({"volumes": "empty"}, ["empty", "holds no volume named"]),
        ({"participants": "none.tsv"}, ["none.tsv"]),
        ({"atlas": "none.nii.gz"}, ["none.nii.gz"]),
        ({"pattern": "*CSF*"}, ["holds no volume named *CSF*"]),
        ({"session": "2"}, ["no volume of session '2'"]),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(data, words, files, home, out, refused):
    yaml = files(data=data)
    (home / "empty").mkdir()
    sentence = refused("run", yaml, "--out", out)
    assert [word for word in words if word not in sentence] == []
    assert not out.exists()


def test_an_unknown_stage_is_refused_and_leaves_nothing_behind(files, out, refused):
    sentence = refused("run", files(), "--out", out, "--until", "dream")
    assert "--until dream: there is no such stage. Choose one of read, split, features, fit" in sentence
    assert not out.exists()
