import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2] / "benchmarks"

# what is promised to be measured
PROMISED = [
    "tsne_speedup",
    "tsne_kl_ratio",
    "layout20k_cpu_s",
    "layout20k_peak_gb",
    "layout_cost_ratio",
    "images_peak_gb",
    "tcga11_accuracy",
    "tcga11_macro_f1",
    "tcga11_best_comparator_accuracy",
    "tcga11_best_comparator_macro_f1",
    "tcga11_noninferior",
    "msi_auc",
    "msi_best_comparator_auc",
    "planted_gene_ap",
    "planted_gene_auroc",
    "xor_ap",
    "xor_best_comparator_ap",
    "gene_stability",
    "gene_stability_low",
    "gene_stability_pydeepinsight",
    "report_pathways_found",
    "import_s",
]

MATHEMATICS = [
    "tv_vs_skimage",
    "tv_vs_pyproximal",
    "tv_vs_deepinv",
    "svt_speedup",
    "svt_error",
    "rpca_speedup",
    "nuclear_grad_speedup",
    "svt_grad_speedup",
    "svt_grad_error",
    "tv_backward_speedup",
    "tv_backward_norm_ratio",
    "ista_memory_ratio",
    "ista_time_ratio",
    "import_extra_s",
]

NETWORKS = [
    "enet_vs_loop",
    "enet_vs_multitarget",
    "enet_max_gap",
    "path_vs_sklearn",
    "path_vs_glmnet",
    "weak_vs_loop",
    "job2011_minutes",
    "job2011_peak_gb",
    "genome_hours",
    "dask_speedup",
    "dask_kill_equal",
    "planted_edge_auroc",
    "regulator_early_precision",
    "regulator_early_precision_enet",
    "ecadherin_known_top25",
    "trip_r2",
    "trip_r2_kernel_ridge",
    "trip_edge_ap",
    "trip_edge_auroc",
    "contribution_gap",
    "null_ks_p",
]

BRAINS = [
    "step_speedup",
    "step_memory_ratio",
    "load100_cpu_s",
    "planted_dose_r",
    "planted_dose_r_site2",
    "planted_dose_r_untrained",
    "planted_dose_r_pooling",
    "planted_dose_r_smoothed_ridge",
    "label_free_minus_label_trained",
    "mae_over_mean_brain",
    "map_ap_atlas",
    "map_ap_cross",
    "map_ap_distributed",
    "map_ap_cross_glm",
    "map_ap_cross_untrained",
    "null_plants",
    "null_rejections",
    "abide_age_r",
    "ixi_age_mae",
    "resume_equal",
]

CELLS = [
    "foreground_ap",
    "foreground_ap_otsu",
    "f1_fluorescence",
    "f1_stained",
    "f1_fluorescence_otsu",
    "f1_stained_otsu",
    "f1_gain_20_images",
    "fit_minutes",
    "apply_1024_s",
]

VESSELS = [
    "auc",
    "dice",
    "best_filter_auc",
    "best_filter_dice",
    "implant_ap",
    "implant_best_comparator_ap",
    "clip_ls_s",
    "clip_ls_speedup",
    "frames_per_s",
    "phantom_dice",
    "phantom_dice_rpca",
    "run_peak_gb",
]


def documented():
    """Patterns of the keys that stand in the table of the README."""
    rows = [line for line in (HOME / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    keys = [key for row in rows for key in re.findall(r"`([^`]+)`", row.split("|")[1])]
    ends = "(_low|_high|_lowest|_highest|_name)?"
    return [re.compile(re.sub(r"<\w+>", r"[a-z0-9_]+", key) + ends) for key in keys]


def unknown(keys):
    patterns = documented()
    return [key for key in keys if not any(pattern.fullmatch(key) for pattern in patterns)]


def run(*arguments, script="omics.py"):
    command = [sys.executable, str(HOME / script), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_every_promised_figure_is_documented():
    assert unknown(PROMISED + MATHEMATICS + NETWORKS + BRAINS + CELLS + VESSELS) == []


def test_a_key_that_nobody_documents_is_noticed():
    assert unknown(["tcga11_accuracy_low", "made_up_figure"]) == ["made_up_figure"]


@pytest.fixture
def measure(monkeypatch):
    """Type words after a benchmark of two parts, one second and two; returns the exit code."""
    monkeypatch.syspath_prepend(HOME)
    harness = import_module("harness")
    assert all(os.environ[name] == "1" for name in harness._THREADS), "it would start this process anew"

    def run_toys(*words):
        parts = [
            harness.Part(f"part{seconds}", (f"wait_{seconds}_s",), lambda _, s=seconds: {f"wait_{s}_s": float(s)})
            for seconds in (1, 2)
        ]
        monkeypatch.setattr(sys, "argv", ["toys.py", *map(str, words)])
        return harness.run("toys", [harness.Figure("wait_1_s", "one second")], parts)

    return run_toys


def test_a_figure_that_does_not_exist_is_refused_by_name(measure, capsys):
    with pytest.raises(SystemExit, match="2"):
        measure("--only", "msi_auk")
    assert "msi_auk" in capsys.readouterr().err


def test_one_part_leaves_the_others_of_the_file_as_they_are(measure, tmp_path):
    path = tmp_path / "toys.json"
    path.write_text(json.dumps({"quick": True, "wait_1_s": 9.0, "wait_2_s": 9.0}), encoding="utf-8")
    assert measure("--quick", "--only", "wait_1_s", "--json", path) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["wait_1_s"], found["wait_2_s"]) == (1.0, 9.0)


def test_figures_of_another_size_are_not_mixed_in(measure, tmp_path):
    path = tmp_path / "toys.json"
    path.write_text(json.dumps({"quick": False, "wait_2_s": 9.0}), encoding="utf-8")
    assert measure("--quick", "--only", "part1", "--json", path) == 0
    assert "wait_2_s" not in json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.field_data
def test_a_quick_run_gives_the_promised_figures_of_its_parts_as_one_flat_object(tmp_path):
    """The parts that train for long are left to ``make bench``; what they gave is looked at below."""
    path = tmp_path / "omics.json"
    path.write_text(json.dumps({"quick": True, "msi_auc": 0.5, "import_s": 9.0}), encoding="utf-8")
    done = run("--quick", "--json", path, "--only", "import", "tsne", "layout20k", "layout_cost", "images")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert all(value is None or isinstance(value, bool | int | float | str) for value in found.values())
    of_parts = [key for key in PROMISED if key.startswith(("tsne", "layout", "images", "import"))]
    assert [key for key in of_parts if found.get(key) is None] == []
    assert len(of_parts) == 7
    assert unknown(found) == []
    assert found["quick"] is True
    assert found["msi_auc"] == 0.5, "a part that was not asked for"
    assert 0 < found["import_s"] < 9.0
    assert all(key in done.stdout for key in ("layout_cost_ratio", "images_peak_gb", "import_s"))


@pytest.mark.slow
def test_the_mathematics_is_measured_beside_what_is_installed(tmp_path):
    path = tmp_path / "priors.json"
    parts = ("import", "tv", "tv_backward", "svt", "nuclear", "svt_grad", "rpca", "ista")
    done = run("--quick", "--json", path, "--only", *parts, script="priors.py")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(path.read_text(encoding="utf-8"))
    # deepinv asks for a torchvision that does not fit, so it is measured only where somebody put it in
    absent = [key for key in MATHEMATICS if found.get(key) is None and key != "tv_vs_deepinv"]
    assert absent == []
    assert unknown(found) == []
    assert found["svt_grad_error"] < 1e-8
    assert found["tv_backward_norm_ratio"] <= 1


@pytest.mark.slow
def test_the_networks_are_measured_in_parts(tmp_path):
    path = tmp_path / "genenet.json"
    done = run("--quick", "--json", path, "--only", "solver", "planted", script="genenet.py")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert unknown(found) == []
    assert found["enet_max_gap"] <= 1e-6
    assert found["planted_edge_auroc"] > 0.5


@pytest.mark.slow
def test_brains_are_measured_in_parts_that_leave_the_others_as_they_are(tmp_path):
    path = tmp_path / "brain.json"
    path.write_text(json.dumps({"quick": True, "abide_age_r": 0.5}), encoding="utf-8")
    done = run("--quick", "--json", path, "--only", "step", "load", "planted", "null", script="brain.py")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert unknown(found) == []
    assert found["abide_age_r"] == 0.5
    assert found["load100_sum_gap"] < 1e-3
    assert 0 < found["load100_cpu_s"] < found["load100_nibabel_cpu_s"]
    assert found["step_loss_gap"] < 5e-4
    assert found["null_rejections"] <= found["null_plants"]


@pytest.mark.parametrize(
    ("study", "promised"),
    [("angiography", VESSELS), ("brain", BRAINS), ("cytology", CELLS), ("genenet", NETWORKS), ("priors", MATHEMATICS)],
)
def test_the_figures_that_are_kept_are_documented_and_whole(study, promised):
    found = json.loads((HOME / "results" / f"{study}.json").read_text())
    assert unknown(found) == []
    assert [key for key in promised if found.get(key) is None and key != "tv_vs_deepinv"] == []
