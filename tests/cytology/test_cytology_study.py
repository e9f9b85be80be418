"""The whole study on tiny smears: what it leaves behind, that stopping it changes nothing, and its other ways."""

import json

import numpy as np
import pandas as pd
import pytest
from small_cytology import (
    N_IMAGES,
    NO_CURVES,
    NO_TRUST,
    image_name,
    quick_runs,
    smears,
    write_files,
    write_images,
    write_yaml,
)

from kotowari.core.errors import InputError
from kotowari.core.evidence import Evidence
from kotowari.core.files import read_json, write_json
from kotowari.core.progress import Progress
from kotowari.core.runfolder import RunFolder
from kotowari.core.study import resume_study
from kotowari.formats.coco import read_coco
from kotowari.formats.label_image import read_labels
from kotowari.studies import cytology
from kotowari.studies.cytology.comparison import OTSU, PUBLISHED, UNTRAINED
from kotowari.studies.cytology.job import OURS, open_job
from kotowari.studies.cytology.scoring import AGREEMENT, F1

STAGES = ["read", "split", "fit", "compare", "curves", "null", "reasons", "trust", "report"]
KIND = "bright-field, dark cells"
QUICK = {"validation": NO_CURVES, "trust": NO_TRUST, "detector": {"published_epochs": 0}}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_runs(patch)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken run with masks."""
    home = tmp_path_factory.mktemp("cytology")
    return cytology.run(write_files(home / "in"), home / "run", shown=False)


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Run a changed configuration without pictures; returns its folder."""

    def run(*, until=None, **options):
        monkeypatch.setattr("kotowari.studies.cytology.story.draw", lambda _: [])
        return cytology.run(
            write_files(tmp_path / "in", **(QUICK | options)), tmp_path / "run", until=until, shown=False
        )

    return run


def table_of(run, name):
    return pd.read_csv(run.path / "tables" / f"{name}.csv", keep_default_na=False)


def test_every_stage_is_done_and_the_inputs_are_known_by_their_sums(whole):
    record = read_json(whole.path / "run.json")
    assert [(stage["name"], stage["state"]) for stage in record["stages"]] == [(name, "done") for name in STAGES]
    assert [entry["name"] for entry in record["inputs"]] == [f"{N_IMAGES} images", f"{N_IMAGES} masks"]


def test_the_record_of_a_run_names_no_image(whole):
    text = (whole.path / "run.json").read_text() + (whole.path / "events.jsonl").read_text()
    assert "smear-" not in text


def test_every_role_is_scored_on_the_same_images(whole):
    rows = [row for row in whole.metrics() if row.target == KIND]
    assert {row.role for row in rows} == {"ours", "comparator", "trivial null", "untrained", "chance"}
    f1 = {row.model: row for row in rows if row.metric == F1}
    assert {OURS, OTSU, UNTRAINED, PUBLISHED, "local threshold", "large median", "robust PCA"} <= set(f1)
    assert {row.n for row in f1.values()} == {N_IMAGES}
    assert f1[OTSU].role == "trivial null"
    assert 0 < f1[OURS].p <= 1
    keys = [(row.target, row.metric, row.model) for row in whole.metrics()]
    assert len(set(keys)) == len(keys)


def test_no_slide_stands_on_both_sides_of_a_fold_and_every_image_is_judged_once(whole):
    job = open_job(whole)
    slides = job.table["slide"].to_numpy()
    judged = np.concatenate([fold.test for fold in job.folds])
    assert sorted(judged.tolist()) == list(range(N_IMAGES))
    assert all(not set(slides[fold.train]) & set(slides[fold.test]) for fold in job.folds)


def test_masks_tables_and_coco_tell_the_same_cells(whole):
    counts, cells = table_of(whole, "counts"), table_of(whole, "cells")
    coco = read_coco(whole.path / "coco.json")
    assert counts["image"].tolist() == [image_name(k) for k in range(N_IMAGES)]
    for name, n_cells in zip(counts["image"], counts["cells"].astype(int), strict=True):
        own = cells[cells["image"] == name]
        tiff, png = (read_labels(whole.path / "maps" / f"{name}-cells.{ending}") for ending in ("tif", "png"))
        np.testing.assert_array_equal(tiff, png)
        assert own["label"].astype(int).tolist() == list(range(1, n_cells + 1))
        np.testing.assert_allclose(own["area_px"].astype(float), np.bincount(tiff.ravel())[1:])
        assert (coco.labels[coco.images.index(name)] > 0).sum() == (tiff > 0).sum()


def test_each_cell_is_told_why_it_was_taken(whole):
    cells = table_of(whole, "cells")
    assert len(cells)
    assert cells["why"].str.match(r"foreground [\d.e-]+ against a cut of 0\.5, (clearly|just) above it").all()
    np.testing.assert_allclose(
        cells["contrast_over_cut"].astype(float), cells["contrast"].astype(float) / 0.5, rtol=1e-6
    )


def test_all_tests_of_the_evidence_have_their_verdict(whole):
    evidence = Evidence.load(whole.path / "evidence", "bright-field-dark")
    checks = {check.name: check for check in evidence.checks}
    assert set(checks) == {
        "chance",
        "blank fields",
        "beyond Otsu",
        "beyond the untrained network",
        "stability",
        "completeness",
        "model randomisation",
        "one cell taken out",
        "convex optimum",
        "planted cells",
        "planted counts",
        "planted debris",
        "detection limit",
    }
    assert checks["completeness"].value <= 1e-6
    assert evidence.map.shape == (64, 64)


def test_the_report_shows_failures_beside_successes_and_holds_every_picture(whole):
    page = read_json(whole.path / "page.json")
    files = {figure["file"] for figure in page["figures"]}
    assert {
        "overlays-1-worst.png",
        "counts-1.png",
        "curves-1.png",
        "training-1.png",
        "blank-1.png",
        "controls-1.png",
    } <= files
    html = (whole.path / "report.html").read_text()
    assert "What was found: the worst image" in html
    assert page["answers"][0].startswith("Bright-field, dark cells: ")
    assert "https://" not in html


def test_the_curve_has_a_point_for_every_number_of_images_and_seed(whole):
    curve = table_of(whole, "curves")
    ours = curve[curve["model"] == OURS]
    assert ours["images"].astype(int).tolist() == [2, 4]
    assert ours["seeds"].astype(int).tolist() == [2, 2]
    assert curve[curve["model"] == OTSU]["images"].astype(int).tolist() == [0]


def test_without_masks_nothing_is_called_accuracy(ran):
    run = ran(masks=False)
    assert {row.metric for row in run.metrics() if "blank" not in row.target} == {AGREEMENT}
    page = read_json(run.path / "page.json")
    assert any(
        answer.startswith("There are no masks, so this is agreement, not accuracy") for answer in page["answers"]
    )
    words = json.dumps(page["answers"])
    assert "Against the masks" not in words
    checks = {check.name for check in Evidence.load(run.path / "evidence", "bright-field-dark").checks}
    assert "accuracy" in checks
    assert "beyond Otsu" not in checks


def test_a_stopped_run_goes_on_to_the_same_bytes(ran, tmp_path):
    run = ran()
    stopped = RunFolder.create(
        tmp_path / "again",
        study="cytology",
        config=run.record["config"],
        seed=0,
        command=(),
        stages=STAGES,
    )
    for stage in STAGES:  # as if the process had been ended after each
        resume_study(cytology, RunFolder(stopped.path), until=stage, progress=Progress(shown=False))
    for name in ("metrics.json", "splits.json", "coco.json", "tables/cells.csv", "tables/counts.csv"):
        assert (run.path / name).read_bytes() == (stopped.path / name).read_bytes(), name


def test_two_stains_have_a_detector_each(tmp_path):
    write_images(tmp_path / "in")
    write_images(tmp_path / "in", smears(4, "fluorescence", seed=2), word="glow")
    run = cytology.run(write_yaml(tmp_path / "in", **QUICK), tmp_path / "run", until="fit", shown=False)
    job = open_job(run)
    assert [kind.word for kind in job.kinds] == ["bright-field-dark", "fluorescence-bright"]
    for kind in job.kinds:
        assert job.detector(kind).polarity == kind.polarity
        assert sorted(job.cells(kind)) == kind.rows.tolist()


def test_an_empty_result_is_a_result(ran, monkeypatch):
    monkeypatch.setattr("kotowari.studies.cytology.model.detector.CellDetector.foreground", _nothing)
    run = ran(trust=NO_TRUST | {"n_planted": 8})
    counts = table_of(run, "counts")
    assert (counts["cells"].astype(int) == 0).all()
    assert not len(table_of(run, "cells"))
    assert "area_px" in table_of(run, "cells").columns
    coco = read_coco(run.path / "coco.json")
    assert len(coco.images) == N_IMAGES
    assert not any(labels.any() for labels in coco.labels)
    page = read_json(run.path / "page.json")
    assert (
        page["answers"][0]
        == "Bright-field, dark cells: 0 cells in 8 images, 0.0 an image (0 to 0); 8 images hold none."
    )


def _nothing(_self, image):
    return np.zeros(image.shape[:2], np.float32)


def test_a_changed_image_is_refused_on_resume(tmp_path):
    path = write_files(tmp_path / "in", **QUICK)
    run = cytology.run(path, tmp_path / "run", until="read", shown=False)
    record = read_json(run.path / "run.json")
    for stage in record["stages"]:
        stage["state"] = "waiting"
    write_json(run.path / "run.json", record)
    write_images(tmp_path / "in", smears(seed=5))
    with pytest.raises(InputError, match="8 images: is not the file that this run began with"):
        resume_study(cytology, RunFolder(run.path), progress=Progress(shown=False))
