"""The whole study on a small table: what it leaves behind, that stopping it changes nothing, and its other ways."""

import json
import shutil
import signal
from html import escape

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from small_genenet import (
    DOWN,
    NETWORKS_ONLY,
    NO_REFITS,
    REGULATORS,
    STEADY,
    SWITCHED,
    TARGETS,
    UP,
    make_annotations,
    make_table,
    quick_fits,
    with_one_steady_regulator,
    write_files,
)

from kotowari.core.files import read_json, write_json
from kotowari.core.jobs import load_arrays
from kotowari.core.runfolder import RunFolder
from kotowari.studies import genenet
from kotowari.studies.genenet import NetworkStack, open_job
from kotowari.studies.genenet.chance import _response
from typed_words import killed_after, typed

ROLES = {"ours", "comparator", "trivial null", "chance", "untrained"}
STAGES = ["read", "split", "networks", "fit", "compare", "null", "reasons", "trust", "report"]
EDGE_CHECKS = [
    "one network for all",
    "stability",
    "false selections",
    "edges against chance",
    "coefficients that change",
    "detection limit",
]
PREDICTION_CHECKS = ["circularity", "chance", "untrained directions", "completeness", "knock-out"]
# as soon as the networks of the first fold are written, the process dies as if the system had killed it
KILLED = killed_after("fold-0.npz")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("study") / "in")


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """An unbroken run."""
    return genenet.run(files, tmp_path_factory.mktemp("whole") / "run", shown=False)


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Run a changed configuration without pictures, which the unbroken run draws; returns its folder."""

    def run(files=None, *, until=None, pictures=False, **changes):
        if not pictures:
            monkeypatch.setattr("kotowari.studies.genenet.story.draw", lambda _: [])
        return genenet.run(write_files(tmp_path / "in", files, **changes), tmp_path / "run", until=until, shown=False)

    return run


def results(path):
    """Every figure of a run, as bytes by file."""
    found = [path / "metrics.json"]
    for folder, pattern in {
        "tables": "*",
        "evidence": "*",
        "work": "*.npz",
        "networks": "**/*",
        "model": "**/*",
    }.items():
        found += [file for file in sorted((path / folder).glob(pattern)) if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in found}


def assert_same_results(path, other):
    ours, theirs = results(path), results(other)
    assert ours.keys() == theirs.keys()
    assert [name for name, content in ours.items() if content != theirs[name]] == []


def checks_of(run, name):
    return {check["name"]: check for check in read_json(run.path / "evidence" / f"{name}.json")["checks"]}


def table_of(run, name):
    return pd.read_csv(run.path / "tables" / f"{name}.csv")


def set_workers(run, n_workers):
    record = read_json(run.path / "run.json")
    record["config"]["workers"] = n_workers
    write_json(run.path / "run.json", record)


# what an unbroken run leaves behind


def test_every_stage_is_done_and_the_inputs_are_known_by_their_sums(whole, files):
    record = read_json(whole.path / "run.json")
    assert [(stage["name"], stage["state"]) for stage in record["stages"]] == [(name, "done") for name in STAGES]
    names = ["table.csv", "annotations.csv", "regulators.txt", "targets.txt", "signature.csv"]
    assert [entry["name"] for entry in record["inputs"]] == names
    assert record["inputs"][0]["bytes"] == (files.parent / "table.csv").stat().st_size


def test_every_role_is_scored_and_every_row_stands_once(whole):
    rows = whole.metrics()
    assert {row.role for row in rows} == ROLES
    on_targets = [row for row in rows if row.target == "expression of the targets"]
    assert [row.role for row in on_targets] == ["ours", "comparator", "trivial null"]
    assert {row.role for row in rows if row.target == "status"} == ROLES
    keys = [(row.target, row.metric, row.model) for row in rows]
    assert len(set(keys)) == len(keys)
    assert all(row.n_null == 2 for row in rows if row.role == "ours" and row.target == "status")


def test_the_class_that_a_regulator_makes_is_told_and_permuted_ones_are_not(whole):
    auc = {row.model: row.value for row in whole.metrics() if row.metric == "AUC"}
    assert auc["TRIP on regulatory effects (kotowari)"] > 0.9
    assert auc["permuted responses"] < 0.75
    assert auc["spline of the modulator"] < 0.75


def test_the_evidence_holds_every_test_with_its_verdict(whole):
    for name, wanted in {"edges": EDGE_CHECKS, "contributions": PREDICTION_CHECKS}.items():
        checks = checks_of(whole, name)
        assert list(checks) == wanted
        assert all(check["sentence"].endswith(".") for check in checks.values())
    assert checks_of(whole, "contributions")["completeness"]["verdict"] == "pass"
    assert "2 refits" in checks_of(whole, "edges")["edges against chance"]["sentence"]


def test_the_planted_edges_lead_the_tables(whole):
    edges = table_of(whole, "edges")
    assert set(edges["regulator"]) <= set(REGULATORS)
    assert set(edges["target"]) <= set(TARGETS)
    pairs = list(zip(edges["regulator"], edges["target"], strict=True))
    assert {STEADY, SWITCHED} <= set(pairs[:4])
    switched = edges.iloc[pairs.index(SWITCHED)]
    assert abs(switched["change"]) > 0.5
    assert switched["frequency"] == 1
    assert edges["p"].between(1 / 3, 1).all(), "two refits reach no smaller p"
    assert edges["pooled_p"].between(0, 1, inclusive="right").all()
    parts = table_of(whole, "contributions")
    assert "TF0" in set(parts["regulator"][:3])
    assert parts["importance"].is_monotonic_decreasing


def test_the_tables_speak_of_the_same_networks(whole):
    stack = NetworkStack.load(whole.path / "networks" / "stack")
    edges, hubs, courses = (table_of(whole, name) for name in ("edges", "hubs", "courses"))
    direct = edges[edges["mean coefficient"] != 0]
    assert len(direct) == stack.n_edges
    assert set(hubs["gene"]) <= {*REGULATORS, *TARGETS}
    first = set(zip(edges["regulator"][:6], edges["target"][:6], strict=True))
    assert set(zip(courses["regulator"], courses["target"], strict=True)) <= first
    modulator = table_of(whole, "modulator")
    assert list(modulator["sample"]) == list(stack.samples)
    np.testing.assert_allclose(modulator["modulator"], stack.modulator)
    assert modulator["effective samples"].between(1, len(stack.samples)).all()
    said = table_of(whole, "predictions")
    assert sorted(said["sample"]) == sorted(stack.samples)
    np.testing.assert_allclose(said[["p(case)", "p(control)"]].sum(axis=1), 1, atol=1e-6)


def test_the_networks_open_in_the_tools_of_the_field(whole):
    folder = whole.path / "networks"
    stack = NetworkStack.load(folder / "stack")
    assert stack.samples == tuple(make_table().index)
    graph = nx.read_graphml(folder / "all.graphml")
    assert graph.is_directed()
    assert graph.number_of_edges() == stack.n_edges
    assert set(graph.nodes) <= {*REGULATORS, *TARGETS}
    tested, edges = nx.read_graphml(folder / "tested.graphml"), table_of(whole, "edges")
    first = edges.iloc[0]
    assert tested.number_of_edges() == len(edges)
    told = tested.edges[first["regulator"], first["target"]]
    assert told["weight"] == told["change"] == pytest.approx(first["change"])
    assert told["p"] == first["p"]
    assert told["p of coefficient change"] == first["p of coefficient change"]
    rank = pd.Series(stack.modulator, index=stack.samples).rank()
    for name, low, high in (("low", 1, 4), ("middle", 18, 23), ("high", 37, 40)):
        graph = nx.read_graphml(folder / f"{name}.graphml")
        (sample,) = [
            sample
            for sample in stack.samples
            if _same_edges(graph, stack.to_frame(sample)) and low <= rank[sample] <= high
        ][:1]
        view = json.loads((folder / f"{name}.cyjs").read_text())
        assert len(view["elements"]["edges"]) == len(stack.to_frame(sample))


def _same_edges(graph, frame):
    return set(graph.edges) == set(zip(frame["regulator"], frame["target"], strict=True))


def test_the_report_shows_the_edges_and_the_verdict_and_asks_for_nothing_outside(whole):
    page = (whole.path / "report.html").read_text()
    verdict = checks_of(whole, "contributions")["circularity"]["sentence"]
    for words in ("TF1 -&gt; T1", escape(verdict), "spline of the modulator", "Preset quick"):
        assert words in page
    assert "Too few of the regulators stand in a pathway of Reactome" in page
    assert 'src="http' not in page


def test_no_file_of_a_run_is_a_pickle_and_every_json_is_strict(whole):
    for file in [*whole.path.rglob("*.json"), *whole.path.rglob("*.cyjs")]:
        json.loads(file.read_text(), parse_constant=lambda word: pytest.fail(f"holds {word}"))
    for file in whole.path.rglob("*.npz"):
        assert load_arrays(file)  # reads every array, and refuses pickled ones


# going on


@pytest.fixture(scope="module")
def killed(files, tmp_path_factory, ready):
    """A run that the system killed between the networks of the first fold and those of the second."""
    run = genenet.run(files, tmp_path_factory.mktemp("killed") / "run", until="split", shown=False)
    assert ready.run(KILLED, "resume", run.path, warned="default").returncode == -signal.SIGKILL
    return run


@pytest.fixture
def two_processes(killed, tmp_path):
    shutil.copytree(killed.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    set_workers(run, 2)
    return run


def test_a_killed_run_stopped_after_every_stage_and_spread_over_processes_ends_in_the_bytes_of_an_unbroken_one(
    two_processes, whole, monkeypatch
):
    run = two_processes
    assert RunFolder(run.path).stage_state("networks") == "running"
    assert [file.name for file in (run.path / "work" / "networks").glob("*.npz")] == ["fold-0.npz"]
    for name in STAGES[2:]:
        assert typed(monkeypatch, "resume", run.path, "--until", name) == 0
        states = [stage["state"] for stage in read_json(run.path / "run.json")["stages"]]
        assert states == ["done"] * (STAGES.index(name) + 1) + ["waiting"] * (len(STAGES) - STAGES.index(name) - 1)
    assert_same_results(run.path, whole.path)


def test_stages_that_are_done_again_give_the_same_bytes(whole, tmp_path, monkeypatch):
    """As after a kill at the very end of each of them: what they left stands, and is not counted twice."""
    shutil.copytree(whole.path, tmp_path / "run")
    record = read_json(tmp_path / "run" / "run.json")
    for stage in record["stages"][2:]:
        stage["state"] = "waiting"
    write_json(tmp_path / "run" / "run.json", record)
    monkeypatch.setattr("kotowari.studies.genenet.story.draw", lambda _: [])
    assert typed(monkeypatch, "resume", tmp_path / "run") == 0
    assert_same_results(tmp_path / "run", whole.path)


def test_refits_keep_the_share_of_one_network_that_the_whole_table_chose(ran):
    job = open_job(ran(network={"pooling": "cv"}, until="networks", **NETWORKS_ONLY))
    assert 0 < job.profiler.pooling_ <= 1
    assert job.fresh_profiler().pooling == job.profiler.pooling_
    assert job.fresh_profiler().get_params()["kernel"] == job.config.network.kernel


def test_another_seed_draws_otherwise_so_that_equal_bytes_mean_something(whole, ran):
    other = ran(seed=1, until="networks")
    assert (other.path / "splits.json").read_bytes() != (whole.path / "splits.json").read_bytes()
    ours, theirs = (open_job(run) for run in (whole, other))
    assert ours.seed("edge permutations") != theirs.seed("edge permutations")
    same = ("networks/stack/networks.npz", "model/networks/block-00000.npz")
    assert [name for name in same if results(whole.path)[name] != results(other.path)[name]] == [], "nothing is drawn"


# a finished run on new samples


def test_new_samples_get_networks_predictions_and_reasons(whole, tmp_path, monkeypatch, capsys):
    table = make_table(20, seed=9)
    used = [gene for gene in table.columns[::-1] if gene in {*REGULATORS, *TARGETS, *UP, *DOWN}]
    assert len(used) < table.shape[1], "what nothing is made of may be absent"
    table[used].assign(EXTRA=1.0).to_csv(tmp_path / "new.csv")
    assert typed(monkeypatch, "apply", whole.path, tmp_path / "new.csv", "--out", tmp_path / "said") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'said' / 'predictions.csv'}\n"
    said = pd.read_csv(tmp_path / "said" / "predictions.csv", index_col="sample")
    assert list(said.index) == list(table.index)
    truth = np.where(table["TF0"] > make_table()["TF0"].median(), "case", "control")
    assert (said["prediction"] == truth).mean() > 0.8
    assert (said["completeness gap"] < 0.01).all()
    assert np.corrcoef(said["modulator"], table[UP].mean(axis=1) - table[DOWN].mean(axis=1))[0, 1] > 0.9
    stack = NetworkStack.load(tmp_path / "said" / "networks" / "stack")
    assert stack.samples == tuple(table.index)
    assert nx.read_graphml(tmp_path / "said" / "networks" / "all.graphml").number_of_edges() == stack.n_edges
    assert len(pd.read_parquet(tmp_path / "said" / "networks" / "edges.parquet")) == stack.n_entries
    parts = pd.read_csv(tmp_path / "said" / "contributions.csv")
    assert set(parts["sample"]) == set(table.index)
    assert parts.groupby("regulator")["contribution"].agg(lambda own: own.abs().sum()).idxmax() == "TF0"


def test_the_samples_of_the_run_get_the_networks_of_the_run(whole, files, tmp_path, monkeypatch):
    assert typed(monkeypatch, "apply", whole.path, files.parent / "table.csv", "--out", tmp_path / "said") == 0
    homes = whole.path / "networks", tmp_path / "said" / "networks"
    ours, theirs = (NetworkStack.load(home / "stack") for home in homes)
    np.testing.assert_allclose(theirs.to_dense(), ours.to_dense(), atol=1e-5)


def test_the_report_can_be_written_again(whole, tmp_path, monkeypatch, capsys):
    shutil.copytree(whole.path, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    assert typed(monkeypatch, "report", tmp_path / "run") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'report.html'}\n"
    assert "TF1 -&gt; T1" in (tmp_path / "run" / "report.html").read_text()


# other ways


def test_without_a_response_there_are_networks_and_a_report_on_them(ran):
    run = ran(pictures=True, **NETWORKS_ONLY)
    assert {row.target for row in run.metrics()} == {"expression of the targets"}
    assert list(checks_of(run, "edges")) == [
        "one network for all",
        "stability",
        "edges against chance",
        "coefficients that change",
    ]
    assert not (run.path / "evidence" / "contributions.json").exists()
    assert not (run.path / "tables" / "predictions.csv").exists()
    page = (run.path / "report.html").read_text()
    assert "No networks of permuted genes were asked for" in page
    assert "No half samples were asked for" in page


def test_values_are_predicted_along_a_column_at_nodes_and_over_two_repeats(ran):
    run = ran(
        modulator={"column": "purity"},
        prediction={"response": "dose"},
        network={"n_nodes": 5, "kernel": "gaussian", "n_lambdas": 8},
        validation={"n_repeats": 2},
        trust=NO_REFITS | {"n_permutations": 1},
    )
    rows = [row for row in run.metrics() if row.target == "dose"]
    assert {row.metric for row in rows if row.role == "ours"} >= {"R2", "Spearman"}
    assert {row.role for row in rows} == ROLES
    said = table_of(run, "predictions")
    assert (said["sample"].value_counts() == 2).all()
    assert np.corrcoef(said["truth"], said["prediction"])[0, 1] > 0.5
    facts = dict(read_json(run.path / "page.json")["data"])
    assert facts["Modulator"] == "purity"
    assert facts["Nodes"].startswith("5; coefficients differ from the full solution by")


def test_the_modulator_itself_is_never_said_to_be_predicted(ran):
    run = ran(
        {"regulators.txt": "\n".join([*REGULATORS, *UP])},
        data={"targets": "variable", "n_targets": 8},
        prediction={"response": "modulator"},
        trust=NO_REFITS | {"implant_repeats": 0},
    )
    job, signature = open_job(run), {*UP, *DOWN}
    assert not signature & {*job.whole.regulators, *job.whole.targets}
    edges = table_of(run, "edges")
    assert not signature & {*edges["regulator"], *edges["target"]}
    guard = checks_of(run, "contributions")["circularity"]
    assert guard["verdict"] == "fail"
    assert "is not shown to say more of score of signature than" in guard["sentence"]
    r2 = {row.role: row.value for row in run.metrics() if row.metric == "R2" and row.target == "score of signature"}
    assert r2["trivial null"] > 0.9 > r2["ours"]
    page = read_json(run.path / "page.json")
    assert any("The response is the modulator itself." in limit for limit in page["limits"])
    assert not any(" predicts " in answer for answer in page["answers"])


def test_two_modulators_span_the_axis(ran):
    run = ran(until="trust", **{**NETWORKS_ONLY, "modulator": {"second": "purity"}})
    job = open_job(run)
    assert job.axis.shape == (40, 2)
    assert job.modulator_name == "score of signature, purity"
    assert NetworkStack.load(run.path / "networks" / "stack").modulator.shape == (40, 2)


def test_owners_with_two_samples_are_adjusted_and_not_permuted_gene_by_gene(ran):
    annotations = make_annotations(make_table())
    annotations["patient"] = [f"owner{number // 2}" for number in range(40)]
    trust = NO_REFITS | {"n_edge_permutations": 2, "n_permutations": 1, "implant_repeats": 0}
    run = ran({"annotations.csv": annotations}, data={"adjust": ["cancer"]}, trust=trust)
    check = checks_of(run, "edges")["edges against chance"]
    assert check["verdict"] == "not applicable"
    assert "Owners have several samples" in check["sentence"]
    job = open_job(run)
    means = job.X.groupby(annotations["cancer"]).mean()
    np.testing.assert_allclose(means.loc["lung"], means.loc["liver"], atol=1e-9)
    for fold in job.folds:
        assert not set(job.samples.groups[fold.train]) & set(job.samples.groups[fold.test])
    assert dict(read_json(run.path / "page.json")["data"])["Adjusted for"] == "cancer"


def test_one_regulator_is_a_network_too(ran):
    run = ran({"regulators.txt": "TF0\n"}, until="reasons", prediction={"core": 1}, trust=NO_REFITS)
    assert set(table_of(run, "edges")["regulator"]) == {"TF0"}
    assert {row.role for row in run.metrics()} == ROLES - {"chance"}


def test_one_edge_has_no_other_to_be_taken_away_in_its_place(ran):
    only = {"regulators.txt": "TF0\n", "targets.txt": "T0\n"}
    run = ran(only, until="trust", prediction={"core": 1}, trust=NO_REFITS)
    assert len(table_of(run, "edges")) == 1
    assert checks_of(run, "contributions")["knock-out"]["verdict"] == "not applicable"
    assert checks_of(run, "edges")["detection limit"]["verdict"] == "not applicable"


@pytest.mark.parametrize(
    "files",
    [
        {"targets.txt": "\n".join([*UP, *DOWN])},
        {"table.csv": with_one_steady_regulator(make_table()), "regulators.txt": "TF0\n"},
    ],
    ids=["the modulator is made of all targets", "the regulator goes along with all targets"],
)
def test_where_no_edge_can_be_planted_the_detection_limit_is_not_told(files, ran):
    run = ran(files, until="trust", prediction={"response": None}, trust=NO_REFITS)
    assert checks_of(run, "edges")["detection limit"]["verdict"] == "not applicable"


def test_a_small_class_stays_in_every_training_part_of_a_permuted_response(ran):
    annotations = make_annotations(make_table())
    annotations["status"] = ["case" if number % 4 == 0 else "control" for number in range(40)]
    job = open_job(ran({"annotations.csv": annotations}, until="split"))
    for number in range(20):
        y = _response(job, number)
        assert (y != job.y).any()
        for fold in job.first_folds:
            assert (y[fold.train] == "case").sum() == (job.y[fold.train] == "case").sum()


def test_three_classes_are_told_apart_and_their_edges_named(ran):
    annotations = make_annotations(make_table())
    order = make_table()["TF0"].rank(method="first").to_numpy()
    annotations["status"] = np.array(["low", "middle", "high"])[((order - 1) // (40 / 3)).astype(int)]
    run = ran({"annotations.csv": annotations}, until="trust", trust=NO_REFITS | {"implant_repeats": 0})
    parts = open_job(run).fit_parts()
    assert all(part["scores"].shape[1] == 3 for part in parts.values())
    gap = np.concatenate([part["contributions"].sum(1) - part["change"] for part in parts.values()])
    assert np.abs(gap).max() < 1e-3
    assert table_of(run, "contributions")["regulator"].iloc[0] == "TF0"
