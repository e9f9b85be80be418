"""Raw heads made into grey matter: amounts are kept, faults cost one head, and what is finished is not done again."""

import dataclasses
import gzip
import json
import os
import re
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from kotowari.core.errors import ConvergenceError, InputError, MissingExtraError, ShapeError
from kotowari.formats.nifti import read_nifti
from kotowari.formats.png import read_png, write_png
from kotowari.studies.brain.model.grid import Grid
from kotowari.studies.brain.raw import __main__ as command
from kotowari.studies.brain.raw import ants_tools, pipeline
from kotowari.studies.brain.raw.chain import prepare_head
from kotowari.studies.brain.raw.heads import find_heads, read_head
from kotowari.studies.brain.raw.modulation import jacobian_determinant, pull
from kotowari.studies.brain.raw.pipeline import prepare_heads
from kotowari.studies.brain.raw.qc_sheet import SheetRow, write_sheet
from kotowari.studies.brain.raw.quality import FLAGS, Quality
from kotowari.studies.brain.raw.template import mni_template
from kotowari.studies.brain.raw.tools import Deformation
from kotowari.studies.brain.volume_files import find_volumes

MM = 4.0
STRETCH = np.array([1.09, 0.92, 1.05])  # the head is that much larger than the template
GOOD = Quality(650.0, 500.0, 300.0, 1450.0, 2.0, 0.9, 0.6, 1.5, 0.0, 1.0, 650.0, 1.0, 1.0)


def head_of(stretch=STRETCH, shift=(3.0, -4.0, 5.0), mm=MM):
    """A head whose way from the template is known: the template's tissues, stretched and shifted, in a skull."""
    template = mni_template(MM)
    shape = tuple(int(200 / mm) + int(60 / mm) for _ in range(3))
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = [-130.0, -145.0, -100.0]
    grid = Grid(shape, affine)
    at = grid.positions(np.moveaxis(np.indices(shape), 0, -1))
    back = ((at - shift) / stretch - at).astype(np.float32)
    grey, white, brain = (
        pull(tissue, template.grid, back, grid) for tissue in (template.grey, template.white, template.brain)
    )
    brain = brain > 0.1
    ring = (gaussian_filter(brain.astype(np.float32), 12 / mm) > 0.15) & ~brain
    return np.where(brain, 100 + 150 * grey + 300 * white, 60.0 * ring).astype(np.float32), grid


class KnownWay:
    """Stands in for deepbet and ANTs: thresholds, and the way that the head was made by."""

    version = "1"

    def __init__(self, stretch=STRETCH, shift=(3.0, -4.0, 5.0)):
        self.stretch, self.shift = np.asarray(stretch), np.asarray(shift)
        self.calls = []

    def versions(self):
        return {"known way": self.version}

    def brain_mask(self, head, _grid):
        self.calls.append("mask")
        return head > 90

    def without_bias(self, head, _grid, _mask):
        return head

    def register(self, _brain, grid, _template, target):
        there = target.positions(np.moveaxis(np.indices(target.shape), 0, -1))
        here = grid.positions(np.moveaxis(np.indices(grid.shape), 0, -1))
        forth, back = there * self.stretch + self.shift - there, (here - self.shift) / self.stretch - here
        return Deformation(forth.astype(np.float32), back.astype(np.float32))

    def tissues(self, _head, _grid, mask, priors):
        return (priors * mask).astype(np.float32)


class NoModulation(KnownWay):
    """A wrong way: says that the head lies on the template as it is."""

    def register(self, brain, grid, template, target):
        right = super().register(brain, grid, template, target)
        return Deformation(np.zeros_like(right.to_head), right.to_template)


def save_head(path, values, grid, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, grid.affine if affine is None else affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


@pytest.fixture(scope="module")
def head():
    return head_of()


@pytest.fixture
def tree(head, tmp_path):
    """A BIDS tree of two heads."""
    for name in ("01", "02"):
        save_head(tmp_path / "raw" / f"sub-{name}" / "anat" / f"sub-{name}_T1w.nii.gz", *head)
    return tmp_path / "raw"


def prepare(tree, tools=None, **options):
    defaults = {"template_mm": MM, "registration_mm": MM, "apart": False, "shown": False}
    return prepare_heads(tree, tree.parent / "out", tools=tools or KnownWay(), **(defaults | options))


# the numerics


def test_the_jacobian_of_an_affine_way_is_its_determinant(rng):
    grid = Grid((6, 7, 5), np.array([[0, -2.0, 0, 4], [1.5, 0, 0, -3], [0, 0, 3.0, 1], [0, 0, 0, 1]]))
    matrix = np.eye(3) + 0.2 * rng.standard_normal((3, 3))
    at = grid.positions(np.moveaxis(np.indices(grid.shape), 0, -1))
    displacement = (at @ matrix.T + [5, 6, 7] - at).astype(np.float32)
    found = jacobian_determinant(displacement, grid)
    np.testing.assert_allclose(found, np.linalg.det(matrix), rtol=2e-5)
    as_voxels = jacobian_determinant(displacement, Grid(grid.shape, np.eye(4)))  # forgets the size of voxels
    assert np.abs(as_voxels / np.linalg.det(matrix) - 1).max() > 0.1


def test_a_mirrored_way_has_a_negative_jacobian():
    grid = Grid((4, 4, 4), np.eye(4))
    at = grid.positions(np.moveaxis(np.indices(grid.shape), 0, -1))
    np.testing.assert_allclose(jacobian_determinant((at * [-1, 1, 1] - at).astype(np.float32), grid), -1, rtol=1e-5)


def test_a_linear_picture_is_read_exactly_through_a_way(rng):
    source = Grid((20, 22, 24), np.array([[-2.0, 0, 0, 20], [0, 2, 0, -21], [0, 0, 2, -22], [0, 0, 0, 1]]))
    target = Grid((9, 8, 7), np.array([[3.0, 0, 0, -12], [0, 3, 0, -11], [0, 0, 3, -8], [0, 0, 0, 1]]))
    plane = np.array([0.3, -0.2, 0.5])
    values = (source.positions(np.moveaxis(np.indices(source.shape), 0, -1)) @ plane + 4).astype(np.float32)
    way = rng.uniform(-2, 2, (*target.shape, 3)).astype(np.float32)
    expected = (target.positions(np.moveaxis(np.indices(target.shape), 0, -1)) + way) @ plane + 4
    np.testing.assert_allclose(pull(values, source, way, target), expected, atol=2e-5)
    with pytest.raises(ShapeError, match="displacement"):
        pull(values, source, way[1:], target)


def test_the_frame_of_itk_counts_to_the_left_and_back():
    grid = Grid((3, 3, 3), np.array([[2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]]))
    origin, spacing, direction = ants_tools.itk_frame(grid)
    assert origin == [-10, -20, 30]
    assert spacing == [2, 3, 4]
    np.testing.assert_array_equal(direction, np.diag([-1, -1, 1]))


# one head


@pytest.mark.parametrize("stretch", [(1, 1, 1), STRETCH, (0.85, 0.9, 0.88)])
def test_modulated_grey_matter_keeps_the_volume_of_the_head(stretch):
    values, grid = head_of(stretch)
    quality = prepare_head(values, grid, KnownWay(stretch), template_mm=MM, registration_mm=MM).quality
    assert quality.kept_ratio == pytest.approx(1, abs=0.01)
    # the known head holds the template's grey matter times its stretch
    template = mni_template(MM)
    expected = template.grey[template.brain > 0.1].sum() * MM**3 / 1000 * np.prod(stretch)
    assert quality.gm_ml == pytest.approx(expected, rel=0.03)


def test_a_way_without_its_jacobian_is_flagged(head):
    quality = prepare_head(*head, NoModulation(), template_mm=MM, registration_mm=MM).quality
    assert abs(quality.kept_ratio - 1) > 0.05 or quality.covered_share < 0.97
    assert {"similarity", "amount", "coverage"} & set(quality.flags())


def test_a_head_with_a_known_way_has_the_figures_that_belong_to_it(head):
    prepared = prepare_head(*head, KnownWay(), template_mm=MM, registration_mm=MM)
    quality = prepared.quality
    assert quality.jacobian_low == pytest.approx(np.prod(STRETCH), rel=1e-3)
    assert quality.jacobian_high == pytest.approx(np.prod(STRETCH), rel=1e-3)
    assert quality.folded_share == 0
    assert quality.covered_share > 0.98
    assert quality.similarity > 0.8
    assert quality.gm_ml + quality.wm_ml + quality.csf_ml == pytest.approx(quality.tiv_ml, rel=1e-4)
    assert quality.largest_voxel_mm == MM
    assert quality.flags() == ("voxels",)
    assert prepared.modulated.shape == mni_template(MM).grid.shape


def test_the_mask_that_lacks_a_piece_of_the_brain_is_flagged(head):
    class Cut(KnownWay):
        def brain_mask(self, values, grid):
            mask = super().brain_mask(values, grid)
            mask[: mask.shape[0] // 2 - 3] = False
            return mask

    assert "coverage" in prepare_head(*head, Cut(), template_mm=MM, registration_mm=MM).quality.flags()


def test_a_scan_without_a_brain_is_refused(head):
    values, grid = head
    with pytest.raises(InputError, match="No brain was found"):
        prepare_head(np.minimum(values, 80), grid, KnownWay(), template_mm=MM, registration_mm=MM)


def test_a_tool_that_returns_another_shape_is_refused(head):
    class Short(KnownWay):
        def tissues(self, values, grid, mask, priors):
            return super().tissues(values, grid, mask, priors)[:2]

    with pytest.raises(ShapeError, match="tissues"):
        prepare_head(*head, Short(), template_mm=MM, registration_mm=MM)


@pytest.mark.parametrize(
    ("changed", "flag"),
    [
        ({"tiv_ml": 2300.0, "gm_ml": 1000.0}, "tiv"),
        ({"gm_ml": 1200.0}, "grey_share"),
        ({"contrast_to_noise": np.nan}, "contrast"),
        ({"similarity": 0.3}, "similarity"),
        ({"covered_share": 0.9}, "coverage"),
        ({"folded_share": 0.01}, "folded"),
        ({"kept_ratio": 1.05}, "amount"),
        ({"largest_voxel_mm": 3.0}, "voxels"),
    ],
)
def test_each_limit_has_its_flag(changed, flag):
    assert GOOD.flags() == ()
    assert dataclasses.replace(GOOD, **changed).flags() == (flag,)
    assert flag in FLAGS


# reading


@pytest.mark.parametrize("code", ["RAS", "LPI", "PSR", "LSA"])
def test_a_head_is_turned_to_right_front_and_top_without_moving(rng, tmp_path, code):
    values = rng.uniform(1, 9, (40, 42, 44)).astype(np.float32)
    affine = np.diag([3.0, 4.0, 3.5, 1.0])
    affine[:3, 3] = [-60, -80, -70]
    wanted = nibabel.orientations.axcodes2ornt(code)
    turn = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), wanted)
    stored = nibabel.orientations.apply_orientation(values, turn)
    stored_affine = affine @ nibabel.orientations.inv_ornt_aff(turn, values.shape)
    path = save_head(tmp_path / "head.nii", stored, None, stored_affine)
    assert "".join(nibabel.aff2axcodes(nibabel.load(path).affine)) == code
    read, grid = read_head(path)
    np.testing.assert_array_equal(read, values)
    np.testing.assert_allclose(grid.affine, affine, atol=1e-5)


BAD_HEADS = {
    "NaN or infinite": (lambda values: np.where(values == values.max(), np.nan, values), None),
    "one value only": (lambda values: np.zeros_like(values), None),
    "covers 30 mm": (lambda values: values[25:35], np.diag([3.0, 3, 3, 1])),
    "voxels of 5 mm": (lambda values: values, np.diag([5.0, 5, 5, 1])),
    "right angles": (lambda values: values, np.array([[3.0, 0.5, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])),
}


@pytest.mark.parametrize("sentence", BAD_HEADS)
def test_an_unfit_head_is_refused_in_one_sentence(head, tmp_path, sentence):
    change, affine = BAD_HEADS[sentence]
    path = save_head(tmp_path / "a_T1w.nii", change(head[0]).astype(np.float32), head[1], affine)
    with pytest.raises(InputError, match=sentence):
        read_head(path)


def test_two_forms_that_disagree_are_refused(head, tmp_path):
    path = save_head(tmp_path / "a_T1w.nii", *head)
    image = nibabel.load(path)
    image.set_sform(head[1].affine, 1)
    image.set_qform(np.diag([MM, MM, MM, 1.0]), 1)
    nibabel.save(image, tmp_path / "b_T1w.nii")
    with pytest.raises(InputError, match="mm apart"):
        read_head(tmp_path / "b_T1w.nii")


def test_heads_outside_of_bids_are_named_by_their_files(tmp_path):
    for name in ("IXI012-HH-1211_T1w.nii.gz", "p_7_T1w.nii"):
        (tmp_path / name).write_bytes(b"")
    assert [head.name for head in find_heads(tmp_path)] == ["sub-IXI012HH1211", "sub-p7"]


def test_two_scans_of_one_session_are_refused(tree):
    folder = tree / "sub-01" / "anat"
    shutil.copy(folder / "sub-01_T1w.nii.gz", folder / "sub-01_run-2_T1w.nii.gz")
    with pytest.raises(InputError, match=r"both be sub-01"):
        find_heads(tree)
    assert len(find_heads(tree, pattern="sub-??_T1w.nii.gz")) == 2


# the whole folder


def test_a_study_finds_the_prepared_heads(tree):
    done = prepare(tree)
    assert not done.failed
    found = find_volumes(done.folder)
    assert [file.participant for file in found] == ["01", "02"]
    assert found[0].path.name == "sub-01_space-MNI152_label-GM_desc-modulated_probseg.nii.gz"
    values, header = read_nifti(found[0].path)
    assert header.space_code == 4
    np.testing.assert_allclose(header.affine, mni_template(MM).grid.affine, atol=1e-6)
    assert values.sum() * MM**3 / 1000 == pytest.approx(done.quality["sub-01"].modulated_ml, rel=1e-4)


def test_the_table_holds_a_row_of_figures_for_every_head(tree):
    done = prepare(tree)
    table = pd.read_csv(done.folder / "quality.tsv", sep="\t")
    assert table.participant_id.tolist() == ["sub-01", "sub-02"]
    assert table.state.tolist() == ["prepared"] * 2
    assert table.gm_ml[0] == pytest.approx(done.quality["sub-01"].gm_ml, rel=1e-5)
    assert table["flags"].tolist() == ["voxels"] * 2


def test_the_record_ties_a_volume_to_its_scan_by_fingerprint_only(tree):
    done = prepare(tree)
    record = json.loads(next(done.folder.glob("sub-01/anat/*.json")).read_text())
    assert record["Source"].keys() == {"name", "sha256", "bytes"}
    assert str(tree) not in json.dumps(record)
    assert record["Recipe"]["programs"] == {"known way": "1"}
    assert "not equal" in record["Description"]


def test_finished_heads_are_not_prepared_again(tree):
    first = prepare(tree)
    before = {path: path.read_bytes() for path in first.folder.rglob("*") if path.is_file()}
    tools = KnownWay()
    second = prepare(tree, tools)
    assert tools.calls == []
    assert second.skipped == ("sub-01", "sub-02")
    assert second.quality == first.quality
    assert {path: path.read_bytes() for path in second.folder.rglob("*") if path.is_file()} == before


def change_scan(tree, _out):
    path = tree / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))


def cut_volume(_tree, out):
    path = next(out.glob("sub-01/anat/*.nii.gz"))
    path.write_bytes(path.read_bytes()[:-9])


def break_record(_tree, out):
    next(out.glob("sub-01/anat/*.json")).write_text("{")


def drop_key(_tree, out):
    path = next(out.glob("sub-01/anat/*.json"))
    path.write_text(json.dumps({"Volume": 1}))


def lose_picture(_tree, out):
    next(out.glob("sub-01/figures/*.png")).unlink()


@pytest.mark.parametrize("harm", [change_scan, cut_volume, break_record, drop_key, lose_picture])
def test_only_the_head_that_changed_is_prepared_again(tree, harm):
    out = prepare(tree).folder
    harm(tree, out)
    tools = KnownWay()
    done = prepare(tree, tools)
    assert tools.calls == ["mask"]
    assert done.skipped == ("sub-02",)
    assert len(find_volumes(out)) == 2


def test_another_recipe_or_program_prepares_all_again(tree):
    prepare(tree)
    newer = KnownWay()
    newer.version = "2"
    assert prepare(tree, newer).skipped == ()
    assert prepare(tree, newer, registration_mm=5.0).skipped == ()


def test_a_damaged_head_costs_only_itself_and_is_told(tree, capsys):
    scan = tree / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:900])
    done = prepare(tree, shown=True)
    assert list(done.quality) == ["sub-02"]
    assert "cut short or damaged" in done.failed["sub-01"]
    assert "sub-01 failed" in capsys.readouterr().err
    table = pd.read_csv(done.folder / "quality.tsv", sep="\t")
    assert table.state.tolist() == ["failed", "prepared"]
    assert "cut short" in table.reason[0]
    assert "cut short" in (done.folder / "qc_sheet.html").read_text()


def test_a_head_that_fails_later_leaves_no_old_volume_for_a_study(tree):
    out = prepare(tree).folder
    scan = tree / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:900])
    prepare(tree)
    assert [file.participant for file in find_volumes(out)] == ["02"]


def test_a_killed_process_takes_no_other_head_with_it(tree):
    class Dies:  # defined here, so that it travels by value
        def __init__(self, sound):
            self.sound = sound

        def versions(self):
            return {"dies": "1"}

        def brain_mask(self, head, _grid):
            if head.max() > 1000:
                os._exit(9)
            raise ConvergenceError("Brain extraction failed: as asked.")

    path = tree / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    image = nibabel.load(path)
    save_head(path, np.asarray(image.dataobj) * 10, None, image.affine)
    done = prepare(tree, Dies(None), apart=True)
    assert "ended from outside" in done.failed["sub-01"]
    assert done.failed["sub-02"] == "Brain extraction failed: as asked."


def test_the_folder_of_the_scans_or_of_others_is_not_written_into(tree):
    with pytest.raises(InputError, match="not prepared here"):
        prepare_heads(tree, tree, tools=KnownWay(), template_mm=MM, registration_mm=MM, shown=False)
    (tree / "dataset_description.json").write_text('{"Name": "scans"}')
    with pytest.raises(InputError, match="another data set"):
        prepare_heads(tree, tree, tools=KnownWay(), template_mm=MM, registration_mm=MM, shown=False)
    with pytest.raises(InputError, match="is a file"):
        prepare_heads(tree, tree / "dataset_description.json", tools=KnownWay(), template_mm=MM, shown=False)
    assert json.loads((tree / "dataset_description.json").read_text()) == {"Name": "scans"}


@pytest.mark.parametrize(("option", "sentence"), [({"workers": 0}, "workers"), ({"template_mm": 0.5}, "1 to 12 mm")])
def test_an_option_out_of_range_is_refused_before_anything_is_written(tree, option, sentence):
    with pytest.raises(InputError, match=sentence):
        prepare(tree, **option)
    assert not (tree.parent / "out").exists()


# the sheet


def test_the_sheet_shows_every_head_with_flagged_ones_first(rng, tmp_path):
    rows = []
    for i in range(23):
        picture = tmp_path / "sheet" / f"sub-{i:02d}" / "figures" / "qc.png"
        picture.parent.mkdir(parents=True)
        write_png(picture, rng.integers(0, 255, (30, 200, 3)).astype(np.uint8))
        quality = dataclasses.replace(GOOD, similarity=0.1) if i == 22 else GOOD
        rows.append(SheetRow(f"sub-{i:02d}", picture, quality))
    page, first, second = write_sheet(tmp_path / "sheet", rows, [("sub-<b>", "cut & short")])
    text = page.read_text()
    names = re.findall(r"<h2>(.*?)</h2>", text)
    assert names[0] == "sub-22"
    assert all(a < b for a, b in pairwise(names[1:]))
    assert "sub-&lt;b&gt;: cut &amp; short" in text
    assert "<b>" not in text
    assert not re.findall(r"https?://", text)
    for source in re.findall(r"src='(.*?)'", text):
        assert (page.parent / source).is_file()
    assert "pictures of the participants" in text
    assert read_png(first).shape == (20 * (30 + 22), 200, 3)
    assert read_png(second).shape == (3 * (30 + 22), 200, 3)
    write_sheet(tmp_path / "sheet", rows[:2])
    assert [path.name for path in sorted(page.parent.glob("*.png"))] == ["qc_sheet_01.png"]


def test_the_picture_outlines_grey_matter_where_it_is(tree):
    out = prepare(tree).folder
    image = read_png(next(out.glob("sub-01/figures/*.png"))).astype(int)
    orange = (image == (255, 150, 40)).all(axis=2)
    blue = (image == (70, 160, 255)).all(axis=2)
    assert orange.sum() > 300
    assert blue.sum() > 200
    rows, columns = np.nonzero(blue)
    inner, outer = np.nonzero(orange), (rows, columns)
    for axis in (0, 1):  # grey matter lies within the template's brain
        assert outer[axis].min() - 6 <= inner[axis].min()
        assert inner[axis].max() <= outer[axis].max() + 6


# the door


def run_command(monkeypatch, *words):
    monkeypatch.setattr(command, "print_warnings_plainly", lambda: None)  # it would stay for the tests that follow
    monkeypatch.setattr(sys, "argv", ["raw", *map(str, words)])
    return command.main()


def test_the_command_prepares_and_tells_failures_by_its_exit_code(tree, monkeypatch, capsys):
    # the tools and processes of tests stand in for those of the extra
    monkeypatch.setattr(pipeline, "AntsTools", KnownWay)
    monkeypatch.setattr(pipeline, "run_apart", lambda _function, jobs, **_options: pipeline._here(jobs))
    words = (tree, tree.parent / "out", "--template-mm", MM, "--registration-mm", MM)
    assert run_command(monkeypatch, *words) == 0
    assert "2 heads prepared (0 of them before), 2 flagged, 0 failed" in capsys.readouterr().out
    (tree / "sub-02" / "anat" / "sub-02_T1w.nii.gz").write_bytes(b"no scan")
    assert run_command(monkeypatch, *words) == 1
    assert "1 heads prepared (1 of them before)" in capsys.readouterr().out
    assert run_command(monkeypatch, tree / "nowhere", tree.parent / "out") == 1
    assert capsys.readouterr().err.startswith("kotowari: ")


def test_a_missing_extra_is_told_with_its_install_line(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, "ants", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'kotowari[prep]'")):
        prepare_heads(tree, tree.parent / "out", shown=False)
    assert not (tree.parent / "out").exists()


def failing_step(folders):
    with ants_tools._step("Segmentation"), ants_tools._own_folder() as folder:
        folders.append(folder)
        (Path(tempfile.gettempdir()) / "picture.nii.gz").write_bytes(b"a head")
        assert (folder / "picture.nii.gz").is_file()
        raise RuntimeError("bad")


def test_temporary_files_of_a_step_are_gone_even_when_it_fails():
    usual = tempfile.tempdir
    with pytest.raises(ConvergenceError, match="Segmentation failed: bad"):
        failing_step(folders := [])
    assert not folders[0].exists()
    assert tempfile.tempdir == usual


# with the real programs


@pytest.mark.slow
@pytest.mark.field_data
def test_ants_and_deepbet_prepare_a_real_head_and_repeat_it(field_data):
    for library in ("ants", "deepbet"):
        pytest.importorskip(library, reason=f"{library} of the extra [prep] is not installed")
    scan = field_data / "brain" / "itk_t1" / "T1.nii.gz"
    tools = ants_tools.AntsTools()
    values, grid = read_head(scan)
    prepared = prepare_head(values, grid, tools, template_mm=4.0, registration_mm=4.0)
    assert prepared.quality.kept_ratio == pytest.approx(1, abs=0.02)
    assert prepared.quality.similarity > 0.6
    again = prepare_head(values, grid, tools, template_mm=4.0, registration_mm=4.0)
    np.testing.assert_array_equal(again.modulated, prepared.modulated)
