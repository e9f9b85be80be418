"""The whole study on tiny runs: what it leaves behind, whom it names, and that stopping it changes nothing."""

import json
import signal

import numpy as np
import pandas as pd
import pydicom
import pytest
from small_angiography import N_RUNS, quick_runs, tiny_run, write_dicom, write_files

from kotowari.core.errors import InputError
from kotowari.core.evidence import Evidence
from kotowari.formats.video import read_frames
from kotowari.studies import angiography
from kotowari.studies.angiography.arms import NETWORK, OF_PRIOR, RUN_LAYER, TOP_HAT, UNTRAINED
from typed_words import killed_after, typed

STAGES = ["read", "split", "separate", "fit", "compare", "null", "reasons", "trust", "report"]
NAMES = (b"Yamada", b"Hanako", b"19560229")
# as soon as the first network is kept, the process dies as if the system had killed it
FEW_TRIALS = "from kotowari.studies.angiography.model import enhancer\nenhancer._N_TRIALS = 4"
KILLED = killed_after("ours-fold-0.npz", FEW_TRIALS)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:LowRankSparseLoss"),  # two steps teach nothing, as it rightly says
]


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_runs(patch)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken run on files with masks."""
    files = write_files(tmp_path_factory.mktemp("study") / "in")
    return angiography.run(files, tmp_path_factory.mktemp("whole") / "run", shown=False)


def test_every_stage_is_done_and_every_promised_file_is_there(whole):
    assert [stage["name"] for stage in whole.record["stages"]] == STAGES
    assert all(stage["state"] == "done" for stage in whole.record["stages"])
    for number in range(1, N_RUNS + 1):
        name = f"run-{number:03d}"
        for ending in (
            "-vessels.dcm",
            "-background.npz",
            "-arrival.npz",
            ".mp4",
            "-maximum.png",
            "-mask.png",
            "-centrelines.png",
        ):
            assert (whole.path / "maps" / f"{name}{ending}").is_file()
        assert (whole.path / "tables" / f"{name}-branches.csv").is_file()
    assert len(pd.read_csv(whole.path / "tables" / "recordings.csv")) == N_RUNS
    assert (whole.path / "report.html").is_file()


def test_no_word_of_a_patient_is_in_any_output(whole):
    told = [path for path in whole.path.rglob("*") if path.is_file()]
    assert len(told) > 30
    for path in told:
        content = path.read_bytes()
        assert not any(name in content for name in NAMES), path
        assert not any(name.decode() in path.name for name in NAMES), path


def test_all_methods_stand_beside_ours_on_masks_and_on_implants(whole):
    rows = whole.metrics("compare")
    for target in ("vessels of the masks", "vessels put into your frames"):
        models = {row.model for row in rows if row.target == target}
        assert {NETWORK, OF_PRIOR, RUN_LAYER, UNTRAINED, TOP_HAT, "robust PCA", "Frangi"} <= models
    (chance,) = [row for row in whole.metrics("null") if row.target == "vessels of the masks"]
    assert chance.n_null == 999
    (ours,) = [r for r in rows if (r.model, r.metric, r.target) == (NETWORK, "average precision", chance.target)]
    assert 0 < ours.p <= 1


def test_the_evidence_holds_the_tests_with_a_sentence_each(whole):
    checks = {check.name: check for check in Evidence.load(whole.path / "evidence", "vessels").checks}
    assert {"completeness", "optimum of the separation", "stability", "order of time", "detection limit"} <= set(checks)
    assert all(check.sentence.endswith(".") for check in checks.values())


def test_the_vessel_layer_is_a_dicom_file_of_all_frames_and_the_video_plays(whole):
    written = pydicom.dcmread(whole.path / "maps" / "run-001-vessels.dcm")
    run = tiny_run(0)
    assert written.pixel_array.shape == run.intensity.shape
    frames, _ = read_frames(whole.path / "maps" / "run-001.mp4")
    assert len(frames) == len(run.intensity)


def test_a_finished_network_works_on_new_files_and_refuses_its_own(whole, tmp_path):
    new = tiny_run(99)
    write_dicom(tmp_path / "new" / "Yamada_Hanako_new.dcm", new.intensity)
    np.savez(tmp_path / "new" / "single.npz", frames=new.intensity[10:11])
    table = pd.read_csv(angiography.apply(whole, tmp_path / "new", tmp_path / "out"))
    assert table["frames"].tolist() == [len(new.intensity), 1]
    assert (tmp_path / "out" / "maps" / "run-001-vessels.dcm").is_file()
    assert not any(NAMES[0] in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    own = tiny_run(0)
    write_dicom(tmp_path / "own.dcm", own.intensity)
    with pytest.raises(InputError, match="among the recordings of the run"):
        angiography.apply(whole, tmp_path / "own.dcm", tmp_path / "again")


def test_without_masks_nothing_is_scored_but_implants(tmp_path):
    files = write_files(tmp_path / "in", masks=False)
    folder = angiography.run(files, tmp_path / "run", until="compare", shown=False)
    assert {row.target for row in folder.metrics("compare")} == {"vessels put into your frames"}
    assert not pd.read_csv(folder.path / "tables" / "recordings.csv")["masks"].any()


def test_a_killed_run_resumes_to_the_same_bytes(whole, tmp_path, monkeypatch, ready):
    files = write_files(tmp_path / "in")
    done = ready.run(KILLED, "run", files, "--out", tmp_path / "run", warned="default")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert typed(monkeypatch, "resume", tmp_path / "run") == 0
    same = [path for path in (tmp_path / "run").rglob("*") if path.suffix in {".csv", ".safetensors", ".dcm", ".png"}]
    assert len(same) > 20
    for path in same:
        if path.parent.name == "figures":
            continue
        assert path.read_bytes() == (whole.path / path.relative_to(tmp_path / "run")).read_bytes(), path
    ours, theirs = (json.loads((p / "metrics.json").read_text()) for p in (tmp_path / "run", whole.path))
    assert ours == theirs
