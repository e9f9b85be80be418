"""The vessel enhancer: what it learns without masks, and the promises of an estimator."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from kotowari.core.errors import DesignError, InputError, ShapeError
from kotowari.studies.angiography.attenuation import XrayRun
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.model.enhancer_trees import TreeLaw
from kotowari.studies.angiography.phantom import simulate_run
from kotowari.studies.angiography.phantom_settings import RunSettings

TINY = {"n_rounds": 1, "widths": (8, 12, 16), "batch_size": 4, "law": TreeLaw(radii=(3.0, 14.0), least_drawn=3.0)}
SETTINGS = RunSettings(shape=(96, 96), n_frames=16, photons=5000)


@pytest.fixture(scope="module")
def phantom():
    return simulate_run(SETTINGS, 1)


@pytest.fixture(scope="module")
def unseen():
    return simulate_run(SETTINGS, 2)


@pytest.fixture(scope="module")
def learned(phantom):
    return VesselEnhancer(n_steps=100, learning_rate=1e-2, **TINY).fit([phantom.frames], [phantom.field])


def auc(enhancer, run):
    inside = np.broadcast_to(run.field, run.mask.shape)
    return roc_auc_score(run.mask[inside], enhancer.enhance(run.frames, run.field)[inside])


def test_vessels_of_another_patient_and_another_tree_law_are_found(learned, phantom, unseen):
    idle = VesselEnhancer(n_steps=1, learning_rate=1e-9, **TINY).fit([phantom.frames], [phantom.field])
    assert auc(learned, unseen) > max(0.75, auc(idle, unseen) + 0.1)


def test_maps_are_shares_within_the_field(learned, phantom):
    field = phantom.field.copy()
    field[:20, :20] = False
    dark = np.where(field, phantom.frames, 5.5).astype(np.float32)
    maps = learned.enhance(dark, field)
    assert maps.dtype == np.float32
    assert maps.shape == phantom.frames.shape
    assert 0 <= maps.min() < maps.max() <= 1
    assert not maps[:, ~field].any()
    np.testing.assert_array_equal(learned.enhance_frame(dark[3], field), maps[3])


def test_gain_and_offset_of_the_display_hardly_matter(learned, phantom):
    before, after = learned.enhance(phantom.frames), learned.enhance(4 * phantom.frames + 1)
    assert np.abs(before - after).max() < 1e-2


def test_segments_are_what_exceeds_the_threshold_and_hold_no_specks(learned, phantom):
    maps = learned.enhance(phantom.frames, phantom.field)
    assert np.array_equal(learned.segment(maps), maps > learned.threshold_)
    learned.least_area = 300 * 300
    try:
        assert not learned.segment(learned.enhance(phantom.frames, phantom.field)).any()
    finally:
        learned.least_area = 100.0


def test_a_saved_enhancer_enhances_to_the_same_bytes(learned, phantom, tmp_path):
    learned.save(tmp_path)
    again = VesselEnhancer.load(tmp_path)
    assert again.enhance(phantom.frames).tobytes() == learned.enhance(phantom.frames).tobytes()
    assert again.threshold_ == learned.threshold_
    assert again.history_ == learned.history_
    assert again.get_params()["law"] == TINY["law"]


def test_a_saved_enhancer_that_was_tampered_with_is_refused(learned, tmp_path):
    learned.save(tmp_path)
    path = tmp_path / "enhancer.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"threshold": 0.01}))
    with pytest.raises(InputError, match="changed after it was saved"):
        VesselEnhancer.load(tmp_path)
    learned.save(tmp_path)
    (tmp_path / "network.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match="does not belong"):
        VesselEnhancer.load(tmp_path)


def test_equal_seeds_give_equal_bytes_also_after_a_killed_fit(phantom, tmp_path, monkeypatch):
    options = TINY | {"n_steps": 2, "n_rounds": 2, "batch_size": 2}

    def maps(enhancer):
        return enhancer.fit([phantom.frames], [phantom.field]).enhance(phantom.frames[:2]).tobytes()

    whole = maps(VesselEnhancer(**options))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VesselEnhancer, "_freed", killed)
        with pytest.raises(KeyboardInterrupt):
            maps(VesselEnhancer(**options, checkpoint=tmp_path))
    assert len(list(tmp_path.iterdir())) == 1
    assert maps(VesselEnhancer(**options, checkpoint=tmp_path)) == whole
    assert not list(tmp_path.iterdir())
    assert maps(VesselEnhancer(**options, random_state=1)) != whole


def test_a_stream_gives_the_maps_of_the_run(phantom):
    enhancer = VesselEnhancer(n_steps=1, n_frames=3, **TINY).fit([phantom.frames], [phantom.field])
    stream = enhancer.stream((96, 96), phantom.field)
    streamed = np.stack([stream.push(frame) for frame in phantom.frames])
    np.testing.assert_array_equal(streamed, enhancer.enhance(phantom.frames, phantom.field))
    alone = enhancer.enhance_frame(phantom.frames[9], phantom.field)
    assert not np.array_equal(streamed[9], alone)


def test_more_views_average_turns_of_the_frame(learned, phantom):
    frames = phantom.frames[8:9]
    learned.n_views = 8
    try:
        one, turned = learned.enhance(frames), learned.enhance(np.rot90(frames, 1, (1, 2)).copy())
    finally:
        learned.n_views = 1
    np.testing.assert_allclose(np.rot90(one, 1, (1, 2)), turned, atol=1e-4)
    assert not np.allclose(np.rot90(learned.enhance(frames), 1, (1, 2)), turned, atol=1e-4)


def test_single_frames_and_runs_teach_together(phantom, unseen):
    run = XrayRun("one", phantom.frames, phantom.field)
    enhancer = VesselEnhancer("both", n_steps=1, **TINY).fit([run, unseen.frames[9]], groups=["a", "b"])
    assert enhancer.enhance(run.frames[:1]).shape == (1, 96, 96)


def test_the_prior_alone_lowers_its_loss_on_a_run(phantom, tmp_path):
    enhancer = VesselEnhancer("prior", n_steps=50).fit([phantom.frames], [phantom.field])
    (history,) = enhancer.history_
    assert history.train_loss[-1] < history.train_loss[0]
    assert set(history.parts) == {"nuclear", "sparse", "tv"}
    maps = enhancer.enhance(phantom.frames[:2])
    assert 0 < maps.max() <= 1
    enhancer.save(tmp_path)
    assert VesselEnhancer.load(tmp_path).enhance(phantom.frames[:2]).tobytes() == maps.tobytes()


def test_the_prior_refuses_frames_without_a_run(phantom):
    with pytest.raises(DesignError, match="8 frames or more"):
        VesselEnhancer("prior").fit([phantom.frames[0], phantom.frames[1]])


@pytest.mark.parametrize("wrong", [{"lesson": "masks"}, {"n_steps": 0}, {"n_views": 9}, {"n_frames": 0}])
def test_options_out_of_range_are_refused_by_name(wrong, phantom):
    with pytest.raises(InputError, match=next(iter(wrong))):
        VesselEnhancer(**wrong).fit([phantom.frames])


def test_nothing_to_learn_from_is_refused(learned, phantom):
    with pytest.raises(DesignError, match="no run"):
        VesselEnhancer().fit([])
    with pytest.raises(ShapeError, match="enhance_frame"):
        learned.enhance_frame(phantom.frames)
