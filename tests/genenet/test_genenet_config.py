"""Options of the study: presets lie under what a user sets, paths lie beside the file, columns need a table."""

import pytest
import yaml
from pydantic import ValidationError
from small_genenet import write_files

from kotowari.core.errors import InputError
from kotowari.core.options import commented_yaml, read_yaml, validated
from kotowari.studies.genenet.config import Config

PRESETS = ("quick", "standard", "full")
USER = {"table": "t.csv", "annotations": "a.csv"}


def sizes(config):
    """How much a configuration asks for, in every respect."""
    trust = config.trust
    return (
        config.data.n_targets,
        len(config.network.ridges),
        config.prediction.n_members,
        len(config.prediction.starts),
        config.validation.n_repeats,
        trust.n_permutations,
        trust.n_edge_permutations,
        trust.n_subsamples,
        trust.n_bootstraps,
        trust.implant_repeats,
        len(trust.implant_strengths),
    )


def test_every_preset_asks_for_more_than_the_one_before():
    quick, standard, full = (sizes(Config.demo(preset)) for preset in PRESETS)
    assert all(a <= b <= c for a, b, c in zip(quick, standard, full, strict=True))
    assert quick != standard != full


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_keeps_what_the_user_set(preset):
    own = {"trust": {"n_permutations": 5}, "prediction": {"n_members": 4}, "data": {"n_targets": 7}}
    config = Config.model_validate({"preset": preset, **own})
    assert (config.trust.n_permutations, config.prediction.n_members, config.data.n_targets) == (5, 4, 7)
    assert config.trust.n_edge_permutations == Config.demo(preset).trust.n_edge_permutations
    assert config.prediction.starts == Config.demo(preset).prediction.starts


@pytest.mark.parametrize("preset", PRESETS)
def test_a_section_of_comments_alone_follows_the_preset(preset):
    sections = dict.fromkeys(["data", "modulator", "network", "prediction", "validation", "trust"])
    assert Config.model_validate({"preset": preset, **sections}) == Config.demo(preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_run_records_is_read_back_unchanged(preset):
    given = {"preset": preset, "data": USER, "network": {"bandwidth": 0.3}, "trust": {"implant_strengths": [2]}}
    config = Config.model_validate(given)
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_what_init_prints_is_the_demo():
    text = commented_yaml(Config.demo(), set_by_preset=Config.set_by_preset())
    assert Config.model_validate(yaml.safe_load(text)) == Config.demo()
    assert sum(line.lstrip().startswith("# ") for line in text.splitlines()) == len(Config.set_by_preset())


def test_paths_lie_beside_the_file_and_names_of_packaged_things_stay(tmp_path):
    path = write_files(tmp_path / "in", data={"regulators": "reactome"})
    config = validated(Config, read_yaml(path), where="study.yaml", base=path.parent)
    assert config.data.table == tmp_path / "in" / "table.csv"
    assert config.modulator.signature == tmp_path / "in" / "signature.csv"
    assert config.data.regulators == "reactome"
    assert Config.demo().data.table == "tcga_colorectal"


@pytest.mark.parametrize(
    ("sections", "column"),
    [
        ({"prediction": {"response": "status"}}, "status"),
        ({"prediction": {"response": "modulator"}, "modulator": {"column": "dose"}}, "dose"),
        ({"prediction": {"response": None}, "modulator": {"second": "purity"}}, "purity"),
        ({"prediction": {"response": None}, "data": {"adjust": ["cancer"]}}, "cancer"),
    ],
)
def test_columns_need_a_table_that_holds_them(sections, column):
    data = {"table": "t.csv", **sections.get("data", {})}
    with pytest.raises(ValidationError, match=rf"data\.annotations: name the table that holds {column}"):
        Config.model_validate(sections | {"data": data})
    Config.model_validate(sections | {"data": data | {"annotations": "a.csv"}})
    Config.model_validate(sections | {"data": data | {"table": "t.h5ad"}})


@pytest.mark.parametrize("response", [None, "modulator"])
def test_a_table_alone_is_enough_where_no_column_is_asked_for(response):
    Config.model_validate({"data": {"table": "t.csv"}, "prediction": {"response": response}})


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"tabel": "x.csv"}}, "data.tabel: there is no such key"),
        ({"data": {"n_targets": 1}}, "data.n_targets: "),
        ({"modulator": {"method": "median"}}, "modulator.method: "),
        ({"network": {"bandwidth": "wide"}}, "network.bandwidth: "),
        ({"network": {"kernel": "box"}}, "network.kernel: "),
        ({"network": {"criterion": "aic"}}, "network.criterion: "),
        ({"network": {"n_nodes": 1}}, "network.n_nodes: "),
        ({"network": {"path_length": 3}}, "network.path_length: "),
        ({"network": {"effective_samples": 0}}, "network.effective_samples: "),
        ({"prediction": {"starts": []}}, "prediction.starts: "),
        ({"prediction": {"core": 0}}, "prediction.core: "),
        ({"trust": {"n_top": 0}}, "trust.n_top: "),
        ({"validation": {"n_splits": 1}}, "validation.n_splits: "),
        ({"preset": "huge"}, "preset: "),
        ({"workers": 0}, "workers: "),
        ({"device": "cuda"}, "device: there is no such key"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(sections, words):
    with pytest.raises(InputError, match=rf"^study\.yaml: {words}") as caught:
        validated(Config, sections, where="study.yaml")
    assert "\n" not in str(caught.value)
