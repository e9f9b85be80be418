"""Vessels put into a recording keep the grey levels that its detector has."""

import numpy as np
import pytest

from kotowari.studies.angiography.attenuation import xray_run
from kotowari.studies.angiography.beds import contrast_free, implanted_bed
from kotowari.studies.angiography.config import Config

SIDE, N_FRAMES = 64, 12
CONFIG = Config.model_validate({"data": {"contrast_free": 8, "min_run_frames": 8}})


def recording(full_scale, n_frames=N_FRAMES):
    """A grey wedge with noise, written with so many levels."""
    rng = np.random.default_rng(0)
    light = np.linspace(0.3, 0.7, SIDE)[None, None] + 0.02 * rng.normal(size=(n_frames, SIDE, SIDE))
    grey = np.round(full_scale * light).astype(np.uint16)
    return xray_run("run-001", grey, full_scale, is_log=False)


def off_the_grid(attenuation, levels):
    """Largest distance of grey values from whole ones, in levels."""
    grey = (levels + 1) * np.exp(-attenuation.astype(np.float64)) - 1
    return float(np.abs(grey - grey.round()).max())


@pytest.mark.parametrize("full_scale", [255, 4095])
@pytest.mark.parametrize("n_frames", [N_FRAMES, 1])
def test_planted_pixels_lie_on_the_levels_of_the_recording(full_scale, n_frames):
    run = recording(full_scale, n_frames)
    bed = implanted_bed(run, CONFIG, 0.4, seed=1)
    touched = bed.vessel > 0.05
    assert touched.any()
    assert off_the_grid(bed.frames[touched], full_scale) < 0.02
    other = 255 if full_scale == 4095 else 1000
    assert off_the_grid(bed.frames[touched], other) > 0.2  # so the law is one


def test_a_run_without_frames_before_contrast_has_no_bed_and_a_single_frame_none_such():
    run = recording(255)
    assert contrast_free(run, CONFIG).sum() == 8
    assert (
        implanted_bed(
            run, CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"contrast_free": 2})}), 0.4, 1
        )
        is None
    )
    assert not contrast_free(recording(255, 1), CONFIG).any()
