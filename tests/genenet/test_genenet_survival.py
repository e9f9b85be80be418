"""Survival as the response: read with care, learned by Cox's models, judged by pairs, told as relative hazards."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.optimize import minimize
from small_genenet import NO_REFITS, make_annotations, make_table, quick_fits, write_files

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.core.files import read_json
from kotowari.core.options import read_yaml, validated
from kotowari.report.plots.gallery import draw_gallery
from kotowari.studies import genenet
from kotowari.studies.genenet import TensorReconstructionCox, judge_prediction
from kotowari.studies.genenet.baselines.cox_ridge import CoxRidge, survival_strata
from kotowari.studies.genenet.baselines.deviance_components import DevianceComponents, deviance_residuals
from kotowari.studies.genenet.baselines.predictors import edge_comparators
from kotowari.studies.genenet.config import Config
from kotowari.studies.genenet.data import read_samples
from kotowari.studies.genenet.figures.arrays import read_pictures
from kotowari.studies.genenet.figures.contributions import sample_order
from kotowari.studies.genenet.figures.gallery import PICTURES
from kotowari.studies.genenet.figures.survival import kaplan_meier, survival_picture
from kotowari.studies.genenet.figures.verdict import verdict_picture
from kotowari.trust.comparators import cross_validate
from kotowari.trust.folds import grouped_folds
from kotowari.trust.scores import concordance
from typed_words import typed

ASKED = {"response": None, "survival": "months:vital"}


def survival_by(hazard, seed=0, *, censoring=2.0):
    """Time and event of samples with these log hazards."""
    rng = np.random.default_rng(seed)
    time, end = rng.exponential(np.exp(-hazard)), rng.exponential(censoring, len(hazard))
    return np.column_stack([np.minimum(time, end), time <= end])


def annotated(seed=0, **columns):
    """The small table, and its annotations with the survival that one regulator makes."""
    table = make_table()
    survival = survival_by(2.5 * (table["TF0"] - 8).to_numpy(), seed)
    told = {"months": (20 * survival[:, 0] + 0.01).round(2), "vital": np.where(survival[:, 1] > 0, "Dead", "Alive")}
    return make_annotations(table).assign(**told).assign(**columns)


# what is asked for


def test_survival_stands_in_place_of_a_response():
    config = Config.model_validate({"prediction": {"survival": "months:vital"}})
    assert config.prediction.survival_columns == ("months", "vital")
    assert (config.prediction.response, config.prediction.outcome) == (None, "survival (months)")
    assert Config.model_validate(config.model_dump(mode="json")) == config
    assert Config().prediction.outcome == "msi_status"
    assert Config.model_validate({"prediction": {"response": None}}).prediction.outcome is None


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        ({"survival": "months"}, "should name two columns, as time:event"),
        ({"survival": "months:"}, "should name two columns"),
        ({"survival": "months:vital:dead"}, "should name two columns"),
        ({"survival": "months:months"}, "should name two columns"),
        ({"survival": "months:vital", "response": "status"}, "survival months:vital stands beside response status"),
        ({"survival": "months:vital", "task": "regression"}, "Leave it at auto"),
    ],
)
def test_what_is_no_survival_or_one_outcome_too_many_is_refused(prediction, words):
    with pytest.raises(ValidationError, match=words):
        Config.model_validate({"prediction": prediction})


def test_survival_needs_a_table_that_holds_it():
    with pytest.raises(ValidationError, match="name the table that holds months"):
        Config.model_validate({"data": {"table": "t.csv"}, "prediction": ASKED})


# what is read


@pytest.fixture
def samples_of(tmp_path):
    """Read a run's samples with these annotations."""

    def read(labels, **sections):
        sections = {"prediction": ASKED, **sections}
        path = write_files(tmp_path / "in", {"annotations.csv": labels}, **sections)
        return read_samples(validated(Config, read_yaml(path), where="study.yaml", base=path.parent))

    return read


@pytest.mark.parametrize(
    ("seen", "not_seen"),
    [(1, 0), (True, False), ("Dead", "Alive"), ("1:DECEASED", "0:LIVING"), (" yes", "no "), ("1:Progressed", "0:free")],
)
def test_events_are_numbers_truths_or_words(seen, not_seen, samples_of):
    labels = annotated()
    wanted = labels["vital"] == "Dead"
    samples = samples_of(labels.assign(vital=[seen if event else not_seen for event in wanted]))
    np.testing.assert_array_equal(samples.y, np.column_stack([labels["months"], wanted]))
    assert (samples.task, samples.response, samples.classes) == ("survival", "survival (months)", ())


def test_samples_without_time_or_event_are_left_out_and_counted(samples_of):
    labels = annotated()
    labels.loc["sample3", "months"] = np.nan
    labels.loc[["sample4", "sample5"], "vital"] = None
    samples = samples_of(labels)
    assert not {"sample3", "sample4", "sample5"} & set(samples.X.index)
    assert len(samples.y) == 37
    assert "1 of 40 samples have no months and were left out." in samples.notes
    assert "2 of 40 samples have no vital and were left out." in samples.notes


@pytest.mark.parametrize(
    ("columns", "kind", "words"),
    [
        ({"months": 0}, InputError, "'sample0' has the months 0; times lie above 0"),
        ({"months": "long"}, InputError, "'sample0' has the time months 'long', which is not a number"),
        ({"vital": "2"}, InputError, "'sample0' has the vital '2'. An event that was seen is called true"),
    ],
)
def test_a_time_or_event_that_cannot_be_read_is_refused_with_its_place(columns, kind, words, samples_of):
    labels = annotated().astype(dict.fromkeys(columns, object))
    for name, value in columns.items():
        labels.loc["sample0", name] = value
    with pytest.raises(kind, match=words) as told:
        samples_of(labels)
    assert str(told.value).startswith("annotations.csv: ")


def test_too_few_events_or_no_time_that_differs_are_refused(samples_of):
    with pytest.raises(DesignError, match="vital tells of 9 events in 40 samples; survival is predicted from 10"):
        samples_of(annotated(vital=["Dead"] * 9 + ["Alive"] * 31))
    with pytest.raises(DesignError, match="months has one value in all samples"):
        samples_of(annotated(months=5.0))
    with pytest.raises(InputError, match=r"prediction.survival: annotations.csv has no column 'vital'"):
        samples_of(annotated().drop(columns="vital"))


def test_survival_is_not_regressed_out_and_a_modulator_that_is_it_is_noticed(samples_of):
    with pytest.raises(InputError, match=r"data\.adjust: months is the response"):
        samples_of(annotated(), data={"adjust": ["months"]})
    assert not samples_of(annotated(), modulator={"column": "dose"}).circular
    samples = samples_of(annotated().assign(dose=lambda table: -table["months"]), modulator={"column": "dose"})
    assert samples.circular
    assert any("survival (months) is the modulator dose in another form" in note for note in samples.notes)
    grades = annotated()["vital"].map({"Dead": 3.0, "Alive": 1.0}) + np.linspace(0, 0.5, 40)
    assert samples_of(annotated(dose=grades), modulator={"column": "dose"}).circular


# what learns from it


def test_the_ridge_is_the_minimum_of_its_objective_on_a_wide_table(rng):
    axis = rng.normal(size=24)
    X = 3 + np.outer(axis, rng.normal(size=40)) + rng.normal(size=(24, 40))
    y = survival_by(2 * axis)
    y[:, 0] = np.ceil(4 * y[:, 0])  # ties
    model = CoxRidge().fit(X, y)
    scaled = (X - X.mean(0)) / X.std(0)
    weight = model.weight_ * (scaled**2).sum() / len(X)

    def objective(beta):
        f = scaled @ beta
        terms = [np.log(np.exp(f[y[:, 0] >= time]).sum()) - f[i] for i, (time, seen) in enumerate(y) if seen]
        return sum(terms) + weight / 2 * beta @ beta

    best = minimize(objective, np.zeros(40), tol=1e-10).x
    assert 1e-3 < model.weight_ < 1e4
    np.testing.assert_allclose(model.predict(X), scaled @ best, atol=1e-3 * np.abs(scaled @ best).max())
    assert objective(model.coef_) <= objective(0.95 * model.coef_)


def test_a_penalty_is_chosen_without_the_owners_twin_and_without_components_that_saw_all(rng):
    noise, y = rng.normal(size=(60, 80)), survival_by(np.zeros(60))
    twice, owners = np.repeat(noise, 2, axis=0), np.repeat(np.arange(60), 2)
    both = np.repeat(y, 2, axis=0)
    apart = CoxRidge().fit(twice, both, groups=owners).weight_
    assert apart > 10 * CoxRidge().fit(twice, both).weight_, "a twin among the training rows was not noticed"
    inside = CoxRidge(DevianceComponents(4)).fit(noise, y).weight_
    seen = DevianceComponents(4).fit_transform(noise, y)
    assert inside > 10 * CoxRidge().fit(seen, y).weight_, "components that saw all rows were not noticed"


def test_every_comparator_finds_a_planted_hazard_and_none_in_noise(rng):
    X = rng.normal(size=(90, 10))
    for hazard, low, high in ((1.5 * X[:, 0], 0.65, 1.0), (0 * X[:, 0], 0.3, 0.65)):
        y = survival_by(hazard, 3)
        strata, continuous = survival_strata(y)
        folds = grouped_folds(strata, n_splits=2, continuous=continuous, random_state=0)
        models = edge_comparators("survival", random_state=0)
        for name, said in cross_validate(models, X, y, folds).items():
            assert low < concordance(y[said.rows], said.prediction, said.fold) < high, name


def test_residuals_are_those_of_the_textbook():
    early, late = deviance_residuals(np.array([[1.0, 1], [2.0, 1]]))
    assert early == pytest.approx(np.sqrt(2 * (np.log(2) - 0.5)))
    assert late == pytest.approx(-np.sqrt(2 * (0.5 - np.log(1.5))))
    assert (deviance_residuals(np.array([[1.0, 1], [2.0, 0], [3.0, 0]]))[1:] < 0).all()


def test_the_ridge_refuses_what_is_no_survival(rng):
    X = rng.normal(size=(20, 3))
    with pytest.raises(ShapeError, match="y must have shape"):
        CoxRidge().fit(X, np.ones(20))
    lonely = np.column_stack([np.arange(1.0, 21), np.eye(20)[0]])
    with pytest.raises(DesignError, match="one owner alone has the event"):
        CoxRidge().fit(X, lonely)
    assert CoxRidge().fit(np.ones((20, 2)), survival_by(np.zeros(20))).predict(np.ones((1, 2))) == 0


# the guard


def test_the_guard_refuses_networks_that_follow_the_modulator_and_allows_what_is_more(rng):
    m = rng.normal(size=120)
    genes = np.outer(m, rng.normal(size=10)) + 2 * rng.normal(size=(120, 10))
    networks = np.sin(np.outer(m, rng.uniform(0.5, 3, 12)) + rng.uniform(0, 6, 12))
    more = rng.normal(size=120)
    y = survival_by(np.sin(2 * m) + 1.5 * more, censoring=4)
    strata, continuous = survival_strata(y)
    folds = grouped_folds(strata, n_splits=2, continuous=continuous, random_state=0)
    inputs = {"networks": networks, "networks and more": np.column_stack([networks, more])}
    said = {name: cross_validate({name: CoxRidge()}, X, y, folds)[name] for name, X in inputs.items()}
    verdict = judge_prediction(y, m, said, X=genes, folds=folds, target="survival", n_draws=100, random_state=0)
    assert verdict.metric == "C-index"
    assert verdict.predicts == {"networks": False, "networks and more": True}
    assert verdict.beyond["networks"] < 0.01 < verdict.beyond["networks and more"]
    assert {row.metric for row in verdict.rows} == {"C-index"}


# the whole study


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run that predicts the survival that one regulator makes, and its folder."""
    folder = tmp_path_factory.mktemp("survival")
    trust = NO_REFITS | {"n_permutations": 2, "implant_repeats": 0, "n_top": 2}
    config = write_files(folder / "in", {"annotations.csv": annotated()}, prediction=ASKED, trust=trust)
    with pytest.MonkeyPatch.context() as patch:
        quick_fits(patch)
        # the other pictures do not know survival, and take longer than the run
        own = tuple(entry for entry in PICTURES if entry[0] in {survival_picture, verdict_picture})
        patch.setattr("kotowari.studies.genenet.story.draw", partial(draw_gallery, pictures=own, read=read_pictures))
        return genenet.run(config, folder / "run", shown=False)


@pytest.mark.slow
def test_a_run_ranks_held_out_samples_by_hazard_and_says_against_what(ran):
    rows = {row.model: row for row in ran.metrics() if row.target == "survival (months)"}
    assert {row.metric for row in rows.values()} == {"C-index"}
    assert {row.role for row in rows.values()} == {"ours", "comparator", "trivial null", "chance", "untrained"}
    ours = rows["TRIP on regulatory effects (kotowari)"]
    assert ours.value > 0.65
    assert (ours.p, ours.n_null) == (pytest.approx(1 / 3), 2)
    assert rows["spline of the modulator"].value < 0.65
    assert {"ridge on raw genes", "Cox ridge on edges", "Cox, Gaussian kernel on edges", "PLS + Cox on edges"} <= set(
        rows
    )
    checks = {check["name"]: check for check in read_json(ran.path / "evidence" / "contributions.json")["checks"]}
    assert checks["completeness"]["verdict"] == "pass"
    assert "C-index" in checks["circularity"]["sentence"]
    table = pd.read_csv(ran.path / "tables" / "predictions.csv")
    truth, said = table[["time", "event"]].to_numpy(float), table["prediction"].to_numpy()
    assert concordance(truth, said, table["fold"].to_numpy()) == pytest.approx(ours.value)
    assert (ran.path / "figures" / "survival.png").is_file()
    page = (ran.path / "report.html").read_text()
    for words in ("survival (months)", "Cox&#39;s model takes hazards to be proportional", "log hazard"):
        assert words in page


@pytest.mark.slow
def test_new_samples_get_a_log_hazard_against_the_mean_network(ran, tmp_path, monkeypatch):
    table = ran.path.parent / "in" / "table.csv"
    assert typed(monkeypatch, "apply", ran.path, table, "--out", tmp_path / "said") == 0
    said = pd.read_csv(tmp_path / "said" / "predictions.csv")
    model = TensorReconstructionCox.load(ran.path / "model" / "final")
    job = genenet.open_job(ran)
    effects = job.whole_effects()
    wanted = model.predict(effects) - model.scores(model.frame_.mean_network())[0, 0]
    np.testing.assert_allclose(said["log relative hazard"], wanted, atol=1e-4)
    parts = pd.read_csv(tmp_path / "said" / "contributions.csv").groupby("sample", sort=False)["contribution"].sum()
    if len(effects.edges) <= 25:  # otherwise the table holds the strongest only
        np.testing.assert_allclose(parts, said["log relative hazard"], atol=1e-3)


def test_folds_without_enough_outcomes_are_refused_before_anything_is_fitted(tmp_path, monkeypatch, capsys):
    few = annotated(vital=["Alive"] * 4 + ["Dead"] * 36)
    config = write_files(tmp_path / "in", {"annotations.csv": few}, prediction=ASKED, trust=NO_REFITS)
    assert typed(monkeypatch, "run", config, "--out", tmp_path / "run") == 1
    assert "2 owners in the training part of a fold left before the event" in capsys.readouterr().err


# its picture


def test_the_curve_is_kaplans_and_meiers():
    places, share = kaplan_meier(np.array([1.0, 2, 2, 3, 4]), np.array([True, True, False, False, True]))
    assert places.tolist() == [1, 2, 4]
    np.testing.assert_allclose(share, [4 / 5, 4 / 5 * 3 / 4, 0])


def test_halves_are_drawn_where_hazards_differ_and_samples_stand_by_their_hazard(rng):
    y = survival_by(np.zeros(12))
    arrays = {"survival_time": y[:, 0], "survival_event": y[:, 1], "survival_score": np.linspace(-1, 1, 12)}
    sketch = survival_picture(arrays | {"target": np.array("survival (months)")})
    assert "12 samples" in sketch.caption
    titles = [sketch.canvas.axes[0].get_title(loc=side) for side in ("left", "center")]
    assert "Survival (months), samples kept aside" in titles
    assert survival_picture(arrays | {"survival_score": np.zeros(12)}) is None
    rows = rng.permutation(12)
    order = sample_order(arrays | {"row_samples": rows, "contribution_samples": rng.normal(size=(12, 3))})
    assert order.samples.tolist() == rows.tolist()
    assert order.truth is None
