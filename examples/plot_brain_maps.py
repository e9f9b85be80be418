"""
A map of the brain beside its controls
======================================

Simulated brains in which it is known where age takes tissue away. An autoencoder learns features without any label, a
ridge foretells age from them, and occlusion says which regions the prediction hangs on. A map always looks like
something, so it is shown beside three maps that know nothing of age.
"""

import matplotlib.pyplot as plt
import numpy as np

from kotowari.studies.brain import ConvolutionalAutoencoder, LatentRegression, simulate_brains
from kotowari.studies.brain.baselines.average_pooling import AveragePooling
from kotowari.studies.brain.maps.brain_score import BrainScore
from kotowari.studies.brain.maps.control_fits import fitted_regression, shuffled_regressions
from kotowari.studies.brain.maps.controls import judge_map
from kotowari.studies.brain.maps.occlusion import occlude_regions
from kotowari.studies.brain.maps.planted_map import planted_map_scores
from kotowari.studies.brain.model.regression_targets import Target
from kotowari.studies.brain.model.subjects import Subjects
from kotowari.studies.brain.phantom import plant_truth

N_SUBJECTS, N_TRAIN, VOXEL_MM = 100, 60, 12.0
phantom = simulate_brains(N_SUBJECTS, seed=1, voxel_mm=VOXEL_MM)
volumes, mask = phantom.volumes, phantom.mask
known = phantom.participants[["sex", "site", "tiv"]]
age = phantom.participants["age"].to_numpy()
train, test = np.arange(N_TRAIN), np.arange(N_TRAIN, N_SUBJECTS)
print(phantom.description)

# %%
# Features without labels, then a ridge
# -------------------------------------
# The encoder sees volumes of the first 60 subjects and nothing else. Beside it stand the same network before training,
# and the mean over cubes of its reach, which learns nothing at all.

encoder = ConvolutionalAutoencoder(
    1,
    4,
    extraction="extremes",
    max_epochs=12,
    learning_rate=5e-3,
    validation_fraction=0.0,
    mask=mask,
    random_state=0,
)
encoder.fit(volumes[train])
ridge = LatentRegression(scale=False)


def held_out_r(features):
    """Return r of age in the subjects kept aside; sex, site and head size are taken out of the features."""
    model = ridge.fit(features[train], age[train], covariates=known.iloc[train])
    said = model.predict(features[test], covariates=known.iloc[test])
    return np.corrcoef(said, age[test])[0, 1]


features = {
    "label-free autoencoder": encoder.transform(volumes),
    "same network, untrained": encoder.untrained().transform(volumes),
    "average pooling by 2": AveragePooling(1, mask=mask).fit_transform(volumes),
}
print(f"error of the reconstruction over that of the mean brain: {encoder.mae_.mean() / encoder.mean_brain_mae_:.2f}")
for name, values in features.items():
    print(f"{name:<24} r {held_out_r(values):.2f} in {len(test)} subjects kept aside")

# %%
# Region by region
# ----------------
# Each region is made to look like the mean training brain, and the change of the prediction is noted. The same is done
# with four more encoders that began with other weights, with all five before training, and with regressions of 39
# shuffled ages.

target = Target.of("age", age, within=np.arange(N_SUBJECTS) < N_TRAIN)
subjects = Subjects.of(N_SUBJECTS, covariates=known)
explained = train[::6]


def map_of(network, *, n_shuffles=0):
    """Return the strength of every region for age, then for shuffled ages, laid onto the voxels."""
    coded = network.transform(volumes)
    models = [fitted_regression(ridge, coded, target, subjects)]
    if n_shuffles:
        models += shuffled_regressions(ridge, coded, target, subjects, n_draws=n_shuffles, random_state=0)
    effects = occlude_regions(BrainScore(network, models), volumes, phantom.labels, rows=explained)
    return effects.to_box(effects.ranking)


others = [ConvolutionalAutoencoder(**encoder.get_params() | {"random_state": seed}) for seed in range(1, 5)]
encoders = [encoder, *(other.fit(volumes[train]) for other in others)]
(shown, *shuffled), *again = [map_of(one, n_shuffles=0 if k else 39) for k, one in enumerate(encoders)]
trained = np.stack([shown, *(maps[0] for maps in again)])
untrained = np.stack([map_of(one.untrained())[0] for one in encoders])

# %%
# What the controls say
# ---------------------
# A test that fails does not make the map false. It says that the map alone is no evidence for a place.

controls = judge_map(trained, untrained, np.stack(shuffled), encoder.mean_brain_, mask, voxel_mm=VOXEL_MM)
for check in controls.checks:
    print(f"{check.verdict.value}: {check.sentence}")
print(controls.stamp or "No control draws the same map.")

# %%
# Here the truth is known. Average precision says how well a map ranks the voxels in which age acts.

truth = plant_truth(phantom, "age")
maps = {
    "trained network": shown,
    "untrained network": untrained[0],
    "shuffled age": shuffled[0],
    "mean grey matter": encoder.mean_brain_,
}
for name, values in maps.items():
    found = planted_map_scores(np.asarray(values, float), truth, mask, voxel_mm=VOXEL_MM)
    print(f"{name:<18} average precision {found['voxel_ap']:.2f} (chance {found['voxel_prevalence']:.2f})")

# %%
# In pictures
# -----------
# One axial plane of each, on a scale of its own; the line surrounds what was planted. Left is left.

plane = int(np.argmax((truth & mask).sum((0, 1))))
figure, axes = plt.subplots(1, 4, figsize=(12, 3.9), layout="constrained")
for axis, (name, values) in zip(axes, maps.items(), strict=True):
    slab = np.where(mask, values, np.nan)[:, :, plane].T
    axis.imshow(slab, origin="lower", cmap="cividis")
    axis.contour((truth & mask)[:, :, plane].T, levels=[0.5], colors="#d6604d", linewidths=1.5)
    axis.set(title=name, xticks=[], yticks=[])
figure.suptitle(f"where age is read from, z = {phantom.affine[2, 3] + plane * VOXEL_MM:.0f} mm")
plt.show()
