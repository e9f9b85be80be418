"""Options of the study: presets lie under what a user sets, paths lie beside the file, choices that clash are told."""

import pytest
import yaml
from pydantic import ValidationError

from kotowari.core.errors import InputError
from kotowari.core.options import commented_yaml, validated
from kotowari.studies.cytology.config import Config

PRESETS = ("quick", "standard", "full")


def sizes(config):
    """How much a configuration asks for, in every respect."""
    trust, validation = config.trust, config.validation
    return (
        config.detector.max_epochs,
        validation.n_splits,
        len(validation.curve_sizes),
        validation.curve_seeds,
        trust.n_seeds,
        trust.n_blank,
        trust.n_removed,
        len(trust.implant_contrasts),
        trust.implant_repeats,
        trust.n_planted,
        len(trust.sensitivity),
    )


def test_every_preset_asks_for_more_than_the_one_before():
    quick, standard, full = (sizes(Config.demo(preset)) for preset in PRESETS)
    assert all(a <= b <= c for a, b, c in zip(quick, standard, full, strict=True))
    assert quick != standard != full


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_keeps_what_the_user_set(preset):
    own = {"trust": {"n_blank": 7}, "detector": {"max_epochs": 3}, "validation": {"n_splits": 4}}
    config = Config.model_validate({"preset": preset, **own})
    assert (config.trust.n_blank, config.detector.max_epochs, config.validation.n_splits) == (7, 3, 4)
    assert config.trust.n_removed == Config.demo(preset).trust.n_removed


@pytest.mark.parametrize("preset", PRESETS)
def test_a_section_of_comments_alone_follows_the_preset(preset):
    sections = dict.fromkeys(["data", "phantom", "detector", "instances", "validation", "trust"])
    assert Config.model_validate({"preset": preset, **sections}) == Config.demo(preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_run_records_is_read_back_unchanged(preset):
    given = {"preset": preset, "data": {"images": "i", "masks": "m", "slide": "(.)"}, "trust": {"n_seeds": 4}}
    config = Config.model_validate(given)
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_what_init_prints_is_the_demo():
    text = commented_yaml(Config.demo(), set_by_preset=Config.set_by_preset())
    assert Config.model_validate(yaml.safe_load(text)) == Config.demo()


def test_paths_lie_beside_the_file_and_the_phantom_stays_a_word(tmp_path):
    given = {"data": {"images": "images", "masks": "labels"}}
    config = validated(Config, given, where="study.yaml", base=tmp_path)
    assert (config.data.images, config.data.masks) == (tmp_path / "images", tmp_path / "labels")
    assert Config.demo().data.images == "phantom"


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"slide": "smear"}}, "has no group in parentheses"),
        ({"data": {"slide": "(smear"}}, "is no regular expression"),
        ({"data": {"masks": "m"}}, r"data\.masks: simulated images bring their own truth"),
        (
            {"validation": {"curve_sizes": [10, 5]}},
            r"validation\.curve_sizes: \[10, 5\] should be numbers above 0 that",
        ),
        ({"validation": {"curve_sizes": [1, 5]}}, r"validation\.curve_sizes: begin with 2 or more"),
        ({"validation": {"n_labelled": [0]}}, r"validation\.n_labelled: \[0\] should be numbers above 0"),
        ({"trust": {"implant_contrasts": [0.5, 0.5]}}, r"trust\.implant_contrasts"),
        ({"trust": {"sensitivity": [0.5, 2]}}, r"trust\.sensitivity: leave 1 among the factors"),
        ({"trust": {"n_planted": 4}}, r"trust\.n_planted: 4 simulated images"),
    ],
)
def test_choices_that_clash_are_refused(sections, words):
    with pytest.raises(ValidationError, match=words):
        Config.model_validate(sections)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"image": "x"}}, "data.image: there is no such key"),
        ({"data": {"stain": "brightfield"}}, "data.stain: "),
        ({"data": {"polarity": "negative"}}, "data.polarity: "),
        ({"data": {"um_per_pixel": 0}}, "data.um_per_pixel: "),
        ({"phantom": {"n_images": 1}}, "phantom.n_images: "),
        ({"detector": {"max_epochs": 0}}, "detector.max_epochs: "),
        ({"instances": {"min_size": 3}}, "instances.min_size: there is no such key"),
        ({"instances": {"area_low": 100}}, "instances: area_low"),
        ({"validation": {"n_splits": 1}}, "validation.n_splits: "),
        ({"trust": {"n_seeds": 1}}, "trust.n_seeds: "),
        ({"preset": "huge"}, "preset: "),
        ({"device": "tpu"}, "device: "),
        ({"workers": 0}, "workers: "),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(sections, words):
    with pytest.raises(InputError, match=rf"^study\.yaml: {words}") as caught:
        validated(Config, sections, where="study.yaml")
    assert "\n" not in str(caught.value)
