"""A preset fills in sizes, and never writes over what a user has set."""

import pytest
from pydantic import ValidationError

from kotowari.core.options import commented_yaml
from kotowari.studies.omics.config import Config

PRESETS = ("quick", "standard", "full")
USER = {"table": "t.csv", "labels": "l.csv"}


def sizes(config):
    """How much a configuration asks for, in every respect."""
    trust = config.trust
    return (
        config.layout.n_maps * config.network.n_members,
        config.network.n_pairs,
        config.validation.n_repeats,
        trust.n_permutations,
        trust.n_bootstraps,
        trust.n_layouts,
        trust.implant_repeats,
        trust.n_gsea,
    )


def test_every_preset_asks_for_more_than_the_one_before():
    quick, standard, full = (sizes(Config.demo(preset)) for preset in PRESETS)
    assert all(a <= b <= c for a, b, c in zip(quick, standard, full, strict=True))
    assert quick != standard != full


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_keeps_what_the_user_set(preset):
    own = {"trust": {"n_permutations": 5}, "network": {"n_members": 4}, "validation": {"n_splits": 3}}
    config = Config.model_validate({"preset": preset, **own})
    assert (config.trust.n_permutations, config.network.n_members, config.validation.n_splits) == (5, 4, 3)
    assert config.trust.n_bootstraps == Config.demo(preset).trust.n_bootstraps
    assert config.network.n_pairs == Config.demo(preset).network.n_pairs


def test_a_value_equal_to_the_default_counts_as_set():
    config = Config.model_validate({"preset": "standard", "trust": {"n_permutations": 20}})
    assert config.trust.n_permutations == 20


@pytest.mark.parametrize("preset", PRESETS)
def test_a_section_of_comments_alone_follows_the_preset(preset):
    given = {"preset": preset, "layout": None, "network": None, "validation": None, "trust": None, "data": None}
    assert Config.model_validate(given) == Config.demo(preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_run_records_is_read_back_unchanged(preset):
    config = Config.model_validate({"preset": preset, "data": USER, "trust": {"implant_shifts": [2]}})
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_sections_given_as_options_keep_what_was_set_in_them():
    trust = Config.demo().trust.model_copy(update={"n_permutations": 3})
    assert Config(preset="standard", trust=trust).trust.n_permutations == 3


def test_the_options_of_presets_exist_and_are_the_ones_commented_out():
    for name in Config.set_by_preset():
        section, key = name.split(".")
        assert hasattr(getattr(Config.demo(), section), key)
    text = commented_yaml(Config.demo(), set_by_preset=Config.set_by_preset())
    assert sum(line.lstrip().startswith("# ") for line in text.splitlines()) == len(Config.set_by_preset())


def test_labels_are_asked_for_unless_the_table_holds_its_own():
    Config.model_validate({"data": {"table": "t.h5ad"}})
    Config.model_validate({"data": USER})
    with pytest.raises(ValidationError, match=r"data\.labels: name the table of annotations"):
        Config.model_validate({"data": {"table": "t.csv"}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "huge"},
        {"preset": ["quick"]},
        {"preset": "standard", "trust": [1]},
        {"preset": "full", "network": 3},
        {"trust": {"n_bootstraps": -1}},
        {"network": {"learning_rate": 0}},
        {"layout": {"method": "hand"}},
        {"workers": 0},
        [],
    ],
)
def test_what_does_not_fit_is_refused_as_a_fault_of_the_user(wrong):
    with pytest.raises(ValidationError):
        Config.model_validate(wrong)
