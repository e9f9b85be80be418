"""
Vessels of an X-ray run
=======================

A beating coronary tree fills with contrast over moving ribs, diaphragm and heart. In log attenuation what lies on a ray
adds up, so the run is the sum of a background of low rank, a vessel layer that is sparse, even and never negative, and
noise. No vessel was outlined; how faint a vessel may be is asked with vessels that are put into the run's own frames.
"""

import matplotlib.pyplot as plt
import numpy as np

from kotowari.studies.angiography import (
    RunSettings,
    VesselImplant,
    contrast_arrival,
    find_centrelines,
    score_map,
    separate,
    simulate_run,
)
from kotowari.studies.angiography.arrival import find_device, maximum_contrast
from kotowari.studies.angiography.config import Separation
from kotowari.studies.angiography.contrast_free import find_contrast_free
from kotowari.studies.angiography.filters import top_hat_filter
from kotowari.studies.angiography.scores import arrival_error
from kotowari.studies.angiography.subtraction import minus_first
from kotowari.studies.angiography.threshold import run_threshold

run = simulate_run(RunSettings(n_frames=60), seed=0)
field, frames = run.field, run.frames
print(run.description)

# %%
# Background, vessels, rest
# -------------------------
# One convex problem, solved to a duality gap; nothing is fitted to a truth. Frames before contrast are guessed, and set
# the threshold: mean and three standard deviations of the layer there.

layers = separate(frames, field, Separation())
before = find_contrast_free(frames, field)
threshold = run_threshold(layers.vessel, field, before)
rest = layers.rest / layers.noise
print(f"background of rank {layers.time.shape[1]}; what neither layer takes is {rest:.2f} times the noise of a frame")
print(f"no other split is better by more than {100 * layers.gap:.1g} % of the objective")
print(f"{before.sum()} frames are taken as free of contrast. {threshold.rule}")

# %%
# Beside what one would take otherwise
# ------------------------------------
# Average precision in the frame that shows most of the tree; chance is the share of the field that is vessel.

fullest = int(run.mask.sum((1, 2)).argmax())
maps = {
    "vessel layer": layers.vessel,
    "minus first frames": minus_first(int(before.sum())).enhance(frames, field),
    "top-hat": top_hat_filter().enhance(frames, field),
}
for name, values in maps.items():
    scores = score_map(values[fullest], run.mask[fullest], field, run_threshold(values, field, before).low)
    print(f"{name:<18} AP {scores.average_precision:.2f} (chance {scores.prevalence:.2f}), Dice {scores.dice:.2f}")

# %%
# The whole tree, its lines and its times
# ---------------------------------------
# The maximum over time shows vessels that are never filled at once. A catheter is a thin dark line as well; what stood
# there before contrast came is left out of the lines. Other thin edges that move, such as that of the diaphragm,
# come up in the layer as well.

maximum = maximum_contrast(layers.vessel, field)
found = threshold.mask(layers.vessel, field)
device = find_device(found, before)
lines = find_centrelines(found[fullest] & ~device, layers.vessel[fullest])
timed = contrast_arrival(layers.vessel, run.frame_s, field, before=before)
error = arrival_error(timed.arrival_s, run.arrival_s, run.mask.any(0))
print(f"{len(lines.branches)} branches of {lines.branches['length_px'].sum():.0f} px in frame {fullest}")
print(f"arrival off by {error['median_s']:.2f} s in the median, in {100 * error['timed']:.0f} % of the vessel pixels")

figure, axes = plt.subplots(2, 3, figsize=(10.5, 7), layout="constrained")
pictures = {
    "frame, as on a screen": -frames[fullest],
    "background": -layers.background_frame(fullest),
    "vessel layer": -layers.vessel[fullest],
    "maximum contrast": -maximum,
}
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
    low, high = np.percentile(picture[field], [0.5, 99.5])
    axis.imshow(np.where(field, picture, high), cmap="gray", vmin=low, vmax=high)
    axis.set_title(title)
axes[1, 1].imshow(np.where(field, -frames[fullest], np.nan), cmap="gray")
axes[1, 1].scatter(*np.nonzero(lines.lines)[::-1], s=2, color="#f5a700")
axes[1, 1].set_title("centrelines, catheter left out")
shown = axes[1, 2].imshow(np.where(found.any(0), timed.arrival_s, np.nan), cmap="viridis")
axes[1, 2].set_title("arrival of contrast")
figure.colorbar(shown, ax=axes[1, 2], label="s")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])

# %%
# How faint may a vessel be?
# --------------------------
# Trees of known attenuation are put into the contrast-free frames of this very run, by Beer and Lambert and with the
# noise that belongs to them: the true places are known, over the background that matters. Means over three trees:
# one simulated patient; the study asks the same of your own runs.

plant = VesselImplant(frames[before], field, n_frames=40)
grades, trees = (0.05, 0.1, 0.2, 0.4), range(3)
precision = {name: np.empty((len(grades), len(trees))) for name in maps}
for row, grade in enumerate(grades):
    for tree in trees:
        planted_frames, planted = plant(grade, np.random.default_rng(tree))
        most = int(planted.mask.sum((1, 2)).argmax())
        n_free = max(1, int(planted.mask.any((1, 2)).argmax()))
        seen = {
            "vessel layer": separate(planted_frames, field, Separation()).vessel,
            "minus first frames": minus_first(n_free).enhance(planted_frames, field),
            "top-hat": top_hat_filter().enhance(planted_frames, field),
        }
        for name, values in seen.items():
            scores = score_map(values[most], planted.mask[most], field, np.inf)
            precision[name][row, tree] = scores.average_precision
for name, values in precision.items():
    told = ", ".join(f"{value:.2f} at {grade:g}" for grade, value in zip(grades, values.mean(1), strict=True))
    print(f"{name:<18} {told}")

figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, values), line in zip(precision.items(), ("o-", "s--", "^:"), strict=True):
    axis.plot(grades, values.mean(1), line, label=name)
axis.axhline(planted.mask[most][field].mean(), color="grey", lw=1, label="chance")
axis.set(xlabel="attenuation of the thickest vessel", ylabel="average precision", xscale="log", ylim=(0, 1))
axis.set_xticks(grades, [f"{grade:g}" for grade in grades])
axis.minorticks_off()
axis.legend(frameon=False)
plt.show()
