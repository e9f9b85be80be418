"""Options of the study: presets lie under what a user sets, paths lie beside the file, choices that clash are told."""

import pytest
import yaml
from pydantic import ValidationError
from small_brains import write_files

from kotowari.core.errors import InputError
from kotowari.core.options import commented_yaml, read_yaml, validated
from kotowari.studies.brain.config import Config

PRESETS = ("quick", "standard", "full")


def sizes(config):
    """How much a configuration asks for, in every respect."""
    trust = config.trust
    return (
        config.features.max_epochs,
        len(config.features.grid_blocks),
        len(config.features.grid_channels),
        config.maps.n_explained,
        config.maps.max_points,
        config.validation.n_repeats,
        trust.n_permutations,
        trust.n_map_shuffles,
        trust.n_glm_permutations,
        trust.implant_repeats,
    )


def test_every_preset_asks_for_more_than_the_one_before():
    quick, standard, full = (sizes(Config.demo(preset)) for preset in PRESETS)
    assert all(a <= b <= c for a, b, c in zip(quick, standard, full, strict=True))
    assert quick != standard != full


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_keeps_what_the_user_set(preset):
    own = {"trust": {"n_permutations": 5}, "features": {"max_epochs": 3}, "validation": {"n_repeats": 7}}
    config = Config.model_validate({"preset": preset, **own})
    assert (config.trust.n_permutations, config.features.max_epochs, config.validation.n_repeats) == (5, 3, 7)
    assert config.trust.n_glm_permutations == Config.demo(preset).trust.n_glm_permutations
    assert config.features.grid_channels == Config.demo(preset).features.grid_channels


@pytest.mark.parametrize("preset", PRESETS)
def test_a_section_of_comments_alone_follows_the_preset(preset):
    sections = dict.fromkeys(["data", "phantom", "cohort", "targets", "features", "maps", "validation", "trust"])
    assert Config.model_validate({"preset": preset, **sections}) == Config.demo(preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_run_records_is_read_back_unchanged(preset):
    given = {
        "preset": preset,
        "data": {"volumes": "v"},
        "features": {"n_blocks": 3},
        "trust": {"implant_losses": [0.5]},
    }
    config = Config.model_validate(given)
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_what_init_prints_is_the_demo():
    text = commented_yaml(Config.demo(), set_by_preset=Config.set_by_preset())
    assert Config.model_validate(yaml.safe_load(text)) == Config.demo()
    assert sum(line.lstrip().startswith("# ") for line in text.splitlines()) == len(Config.set_by_preset())


def test_paths_lie_beside_the_file_and_names_of_packaged_things_stay(tmp_path):
    path = write_files(tmp_path / "in", data={"mask": "mask.nii.gz"})
    config = validated(Config, read_yaml(path), where="study.yaml", base=path.parent)
    assert config.data.volumes == tmp_path / "in" / "brains"
    assert config.data.atlas == tmp_path / "in" / "atlas.nii.gz"
    assert config.data.mask == tmp_path / "in" / "mask.nii.gz"
    assert config.data.participants is None
    demo = Config.demo()
    assert (demo.data.volumes, demo.data.atlas) == ("phantom", "parcels")


NOTHING = {"everyone": [], "patients": [], "logarithm": [], "together": []}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"targets": NOTHING}, "targets: nothing is to be predicted"),
        (
            {"targets": {"logarithm": ["weight"]}},
            r"targets\.logarithm: weight stands neither in",
        ),
        ({"targets": {"survival": ["months"]}}, r"targets\.survival: 'months' should name two columns, as time:event"),
        ({"targets": {"together": ["dose"]}}, r"targets\.together: names one column"),
        ({"cohort": {"diagnosis": None}}, r"cohort\.diagnosis: name the column that tells patients"),
        ({"cohort": {"site": None}}, r"cohort\.site: name the column, or set external_sites to \[\]"),
        ({"cohort": {"harmonise": "combat"}}, r"cohort\.n_adapt: combat knows no site that it never saw"),
    ],
)
def test_choices_that_clash_are_refused(sections, words):
    with pytest.raises(ValidationError, match=words):
        Config.model_validate(sections)


@pytest.mark.parametrize(
    "sections",
    [
        {"cohort": {"harmonise": "combat", "n_adapt": 10}},
        {"cohort": {"harmonise": "combat", "unseen": "reference"}},
        {"cohort": {"harmonise": "combat", "external_sites": []}},
        {"cohort": {"site": None, "external_sites": []}},
        {"cohort": {"diagnosis": None}, "targets": NOTHING | {"everyone": ["age"]}},
    ],
)
def test_choices_that_go_together_are_taken(sections):
    taken = Config.model_validate(sections).model_dump(mode="json")
    for section, values in sections.items():
        assert {name: taken[section][name] for name in values} == values


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"data": {"volume": "x"}}, "data.volume: there is no such key"),
        ({"data": {"layout": "dicom"}}, "data.layout: "),
        ({"data": {"mask_threshold": 1}}, "data.mask_threshold: "),
        ({"phantom": {"n_subjects": 3}}, "phantom.n_subjects: "),
        ({"phantom": {"voxel_mm": 20}}, "phantom.voxel_mm: "),
        ({"cohort": {"harmonise": "neurocombat"}}, "cohort.harmonise: "),
        ({"targets": {"method": "lasso"}}, "targets.method: "),
        ({"features": {"n_blocks": 0}}, "features.n_blocks"),
        ({"features": {"mask_ratio": 1}}, "features.mask_ratio: "),
        ({"maps": {"methods": ["guided"]}}, "maps.methods"),
        ({"validation": {"n_splits": 1}}, "validation.n_splits: "),
        ({"trust": {"n_permutations": -1}}, "trust.n_permutations: "),
        ({"preset": "huge"}, "preset: "),
        ({"device": "tpu"}, "device: "),
        ({"workers": 0}, "workers: "),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(sections, words):
    with pytest.raises(InputError, match=rf"^study\.yaml: {words}") as caught:
        validated(Config, sections, where="study.yaml")
    assert "\n" not in str(caught.value)
