"""A whole set of plausible arrays for the pictures of the brain study."""

import numpy as np

ROLES = ("ours", "untrained", "trivial null", "comparator")
ARMS = (
    ("autoencoder, 3 blocks x 16 channels", "ours", 0.53),
    ("the same, untrained", "untrained", 0.44),
    ("the same, trained on the diagnosis", "comparator", 0.38),
    ("average pooling by 2", "trivial null", 0.5),
    ("average pooling by 4", "trivial null", 0.47),
    ("average pooling by 8", "trivial null", 0.31),
    ("voxels", "comparator", 0.36),
    ("voxels smoothed by 8 mm", "comparator", 0.48),
    ("voxels smoothed by 12 mm", "comparator", 0.51),
    ("principal components", "comparator", 0.33),
    ("covariates only", "comparator", 0.08),
)
TARGETS = ("dose", "positive", "age")
UNITS = ("mg/day", "", "years")
STAMP = (
    "Not distinguishable from an untrained network and from the mean grey matter: this map is no evidence for a place."
)
SHAPE, VOXEL_MM = (20, 24, 20), 8.0


def make_space(shape=SHAPE, voxel_mm=VOXEL_MM):
    """An affine with left at low x, an ellipsoid with a fissure for a mask, and a cortex for a mean brain."""
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = -voxel_mm * (np.array(shape) - 1) / 2 + [0, -18, 10]
    x, y, z = (2 * np.arange(n) / (n - 1) - 1 for n in shape)
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    radius = np.sqrt((x / 0.93) ** 2 + (y / 0.96) ** 2 + ((z - 0.05) / 0.9) ** 2)
    fold = 0.5 + 0.5 * np.cos(9 * np.arctan2(y, x) + 4 * z) * np.cos(5 * z)
    tissue = np.exp(-(((radius - 0.86) / 0.16) ** 2)) * (0.65 + 0.35 * fold)
    tissue += 0.7 * np.exp(-(((np.abs(x) - 0.18) / 0.1) ** 2 + (y / 0.22) ** 2 + ((z + 0.1) / 0.2) ** 2))
    tissue *= (1 - 0.7 * np.exp(-((x / 0.05) ** 2))) * (radius < 1.0)
    return affine, radius < 0.99, tissue.astype(np.float32)


def blob(affine, shape, centre_mm, width_mm):
    """A Gaussian around a place in mm, 1 at its middle."""
    places = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    away = np.linalg.norm(places - np.asarray(centre_mm, float), axis=1).reshape(shape)
    return np.exp(-((away / width_mm) ** 2)).astype(np.float32)


def make_brain_arrays(*, n_targets=3, space=None, seed=0):
    """Arrays of a run of ``n_targets`` targets; ``space`` is an affine, a mask and a mean brain of one's own."""
    rng = np.random.default_rng(seed)
    affine, mask, template = make_space() if space is None else space
    made = {"map_affine": affine, "mask": mask, "template": template.astype(np.float16)}
    made |= _maps(affine, mask, template, n_targets, rng)
    made |= _synthetic(affine, mask, n_targets, rng)
    made |= _reconstruction(template, mask, rng)
    made |= _models(n_targets, rng) | _predictions(n_targets, rng) | _regions(n_targets, rng)
    return made | _training(rng) | _sites(rng) | _quality(rng) | _shared()


def _maps(affine, mask, template, n_targets, rng):
    shape = mask.shape
    places = (((-40, 8, 0), 1), ((4, -48, 30), 1), ((52, -40, -8), -1), ((-20, -62, -34), -0.8))
    values, truth = [], []
    for k in range(n_targets):
        parts = [sign * blob(affine, shape, np.roll(centre, k), 13) for centre, sign in places]
        noise = _smooth(rng.standard_normal(shape))
        values.append(np.where(mask, 140 * sum(parts) + 14 * noise, 0))
        truth.append(mask & (np.abs(sum(parts)) > 0.5))
    values, truth = np.array(values), np.array(truth)
    significant = mask & (np.abs(values) > 60)
    significant[-1] = False
    controls = np.stack(
        [
            0.7 * values + 20 * np.array([np.where(mask, _smooth(rng.standard_normal(shape)), 0) for _ in values]),
            30 * np.array([np.where(mask, _smooth(rng.standard_normal(shape)), 0) for _ in values]),
            np.broadcast_to(np.where(mask, template, 0), values.shape),
            values / 40 + 0.3 * np.array([np.where(mask, _smooth(rng.standard_normal(shape)), 0) for _ in values]),
        ],
        axis=1,
    )
    return {
        "map_targets": np.array(TARGETS[:n_targets]),
        "map_values": values.astype(np.float16),
        "map_units": np.array([f"change of the prediction{f' ({unit})' * bool(unit)}" for unit in UNITS[:n_targets]]),
        "map_method": np.array("occlusion by region"),
        "map_significant": significant,
        "map_truth": truth,
        "map_stamp": np.array(["", STAMP, ""][:n_targets]),
        "control_names": np.array(["untrained network", "shuffled target", "mean grey matter", "mass-univariate GLM"]),
        "control_maps": controls.astype(np.float16),
        "control_spearman": np.tile([0.71, 0.12, 0.34, 0.55], (n_targets, 1)),
        "control_overlap": np.tile([0.52, 0.06, 0.11, 0.4], (n_targets, 1)),
        "control_sharp": np.tile([0.42, 0.03, np.nan, 0.31], (n_targets, 1)),
    }


def _smooth(noise):
    for axis in range(3):
        noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    return noise / noise.std()


def _synthetic(affine, mask, n_targets, rng):
    loss = -0.05 * blob(affine, mask.shape, (-40, 8, 0), 22) - 0.03 * blob(affine, mask.shape, (4, -48, 30), 18)
    return {
        "synthetic_targets": np.array(TARGETS[: min(n_targets, 1)]),
        "synthetic_difference": np.where(mask, loss + 0.002 * _smooth(rng.standard_normal(mask.shape)), 0)[None],
        "synthetic_low": np.array([90.0]),
        "synthetic_high": np.array([920.0]),
        "synthetic_units": np.array(["mg/day"]),
    }


def _reconstruction(template, mask, rng):
    noise = np.abs(_smooth(rng.standard_normal(mask.shape)))
    return {
        "reconstruction_mean": (0.97 * template).astype(np.float16),
        "reconstruction_error": np.where(mask, 0.02 + 0.05 * template + 0.008 * noise, 0).astype(np.float16),
        "reconstruction_of": np.array("subjects kept aside"),
        "reconstruction_names": np.array(["autoencoder", "mean brain", "PCA, 119 components", "untrained"]),
        "reconstruction_role": np.array(["ours", "trivial null", "comparator", "untrained"]),
        "reconstruction_mae": np.array([0.0131, 0.0142, 0.0118, 0.151]),
        "reconstruction_low": np.array([0.0127, 0.0138, 0.0114, np.nan]),
        "reconstruction_high": np.array([0.0135, 0.0146, 0.0122, np.nan]),
    }


def _models(n_targets, rng):
    names, roles, values = zip(*ARMS, strict=True)
    value = np.concatenate([np.array(values) * shrink for shrink in (1.0, 0.5, 1.5)[:n_targets]])
    external = value - 0.06 + 0.05 * rng.standard_normal(len(value))
    n = len(ARMS)
    gains = (
        "label-free less label-trained",
        "ours less untrained",
        "ours less pooling by 8",
        "ours less voxels, 12 mm",
    )
    gain = np.concatenate([np.array([0.15, 0.09, 0.22, 0.02]) * shrink for shrink in (1.0, -0.3, 0.4)[:n_targets]])
    spread = np.tile([0.12, 0.1, 0.14, 0.09], n_targets)
    null = rng.normal(0, 0.11, (n_targets, 199))
    cells = [(blocks, channels) for blocks in (1, 2, 3, 4) for channels in (1, 4, 16, 32)]
    mae = np.array([[0.72 + 0.08 * blocks - 0.02 * np.log2(channels)] for blocks, channels in cells])
    r = np.array([[0.3 + 0.06 * blocks + 0.01 * np.log2(channels)] for blocks, channels in cells])
    scales = np.array([1.0, 0.45, 1.6])[:n_targets, None, None]
    return {
        "score_target": np.repeat(TARGETS[:n_targets], n),
        "score_model": np.tile(names, n_targets),
        "score_role": np.tile(roles, n_targets),
        "score_metric": np.repeat(["r", "r", "r"][:n_targets], n),
        "score_value": value,
        "score_low": value - 0.16,
        "score_high": value + 0.13,
        "score_chance": np.zeros(len(value)),
        "score_threshold": np.full(len(value), 0.29),
        "score_external": external,
        "score_external_low": external - 0.2,
        "score_external_high": external + 0.18,
        "gain_target": np.repeat(TARGETS[:n_targets], len(gains)),
        "gain_name": np.tile(gains, n_targets),
        "gain_metric": np.repeat("r", len(gain)),
        "gain_value": gain,
        "gain_low": gain - spread,
        "gain_high": gain + spread,
        "tested_targets": np.array(TARGETS[:n_targets]),
        "tested_models": np.repeat("autoencoder, 3 blocks x 16 channels", n_targets),
        "tested_metric": np.repeat("r", n_targets),
        "tested_null": null,
        "tested_observed": np.array([0.53, 0.21, 0.8])[:n_targets],
        "tested_p": np.array([0.005, 0.035, 0.005])[:n_targets],
        "tested_p_family": np.array([0.005, 0.19, 0.005])[:n_targets],
        "tested_threshold": np.full(n_targets, 0.29),
        "grid_blocks": np.array([blocks for blocks, _ in cells]),
        "grid_channels": np.array([channels for _, channels in cells]),
        "grid_mae": mae + 0.01 * rng.standard_normal((16, 5)),
        "grid_targets": np.array(TARGETS[:n_targets]),
        "grid_r": scales * r + 0.03 * rng.standard_normal((n_targets, 16, 5)),
    }


def _predictions(n_targets, rng):
    n, outside = 82, 41
    places, (low, high) = np.arange(n_targets), (np.array([0, 8, 18]), np.array([1500, 30, 65]))
    truth, said = {}, {}
    for name, size, r in (("fold", n, 0.6), ("external", outside, 0.45)):
        shape = rng.gamma(2, 0.17, (n_targets, size)).clip(0, 1)
        values = low[:n_targets, None] + (high - low)[:n_targets, None] * shape
        centred = values - values.mean(1, keepdims=True)
        noise = centred.std(1, keepdims=True) * rng.standard_normal(values.shape)
        truth[name] = values.ravel()
        said[name] = (values.mean(1, keepdims=True) + r * (r * centred + np.sqrt(1 - r**2) * noise)).ravel()
    return {
        "predicted_targets": np.array(TARGETS[:n_targets]),
        "predicted_units": np.array(UNITS[:n_targets]),
        "predicted_adjusted": np.array([True, True, False][:n_targets]),
        "fold_target": np.repeat(places, n),
        "fold_true": truth["fold"],
        "fold_predicted": said["fold"],
        "external_site": np.array("COBRE"),
        "external_target": np.repeat(places, outside),
        "external_true": truth["external"],
        "external_predicted": said["external"],
    }


def _regions(n_targets, rng):
    names = (
        "Insula L", "Posterior cingulate R", "Precuneus L", "Middle temporal gyrus, posterior division R",
        "Cerebellum L", "Hippocampus R", "Thalamus L", "Frontal pole R", "Amygdala L", "Caudate R", "Putamen L",
        "Cuneus R", "Supramarginal gyrus L", "Angular gyrus R", "Temporal pole L", "Heschl's gyrus R",
        "Lingual gyrus L", "Fusiform R", "Parahippocampal gyrus L", "Superior parietal lobule R",
    )  # fmt: skip
    n = len(names)
    return {
        "region_target": np.repeat(TARGETS[:n_targets], n),
        "region_name": np.tile(names, n_targets),
        "region_strength": np.concatenate([np.sort(rng.gamma(2, 12, n))[::-1] for _ in range(n_targets)]),
        "region_sign": np.tile(np.where(np.arange(n) % 3 == 2, -1, 1), n_targets),
        "region_p": np.tile(np.linspace(0.01, 1, n) ** 1.2, n_targets),
        "region_frequency": np.tile(np.linspace(1, 0.05, n), n_targets),
        "region_planted": np.tile(np.arange(n) < 4, n_targets),
    }


def _training(rng):
    n_epochs, lengths = 60, (44, 52, 39, 60, 47, 55)
    epochs = np.arange(n_epochs)
    curves = np.array([0.78 + 2.2 * np.exp(-epochs / 5) + 0.01 * rng.standard_normal(n_epochs) for _ in lengths])
    held = curves + 0.06 + 0.0006 * epochs
    for row, length in enumerate(lengths):
        curves[row, length:] = held[row, length:] = np.nan
    return {
        "training_fits": np.array([*(f"fold {k}" for k in range(1, 6)), "all subjects"]),
        "training_final": np.array(5),
        "training_share": curves,
        "validation_share": held,
        "pca_share": np.array(0.82),
    }


def _sites(rng):
    codes = np.repeat([0, 1], [70, 55])
    axes = rng.standard_normal((3, 125, 2)) * [3.0, 2.0]
    axes[0, :, 0] += 6 * codes
    axes[1, :, 0] += 1.2 * codes
    return {
        "site_steps": np.array(["as measured", "ComBat", "site adapter"]),
        "site_accuracy": np.array([0.97, 0.62, 0.53]),
        "site_low": np.array([0.93, 0.52, 0.43]),
        "site_high": np.array([0.99, 0.71, 0.63]),
        "site_chance": np.array(0.5),
        "site_kept": np.array([0.46, 0.52, 0.5]),
        "site_kept_low": np.array([0.3, 0.36, 0.33]),
        "site_kept_high": np.array([0.6, 0.66, 0.63]),
        "site_kept_target": np.array("dose"),
        "site_names": np.array(["Kyoto", "COBRE"]),
        "site_codes": codes,
        "site_axes": axes,
    }


def _quality(rng):
    correlation = 1 - rng.gamma(3, 0.01, 150)
    correlation[[17, 92]] = 0.81, 0.86
    volume = rng.normal(640, 55, 150)
    volume[40] = 905
    return {
        "quality_row": np.arange(1, 151),
        "quality_correlation": correlation,
        "quality_grey_matter": volume,
        "quality_unit": np.array("ml"),
        "quality_outlier": np.isin(np.arange(150), [17, 40, 92]),
    }


def _shared():
    return {
        "frequency": np.concatenate([np.linspace(1, 0.1, 12), np.zeros(36)]),
        "n_selections": np.array(10),
        "stability": np.array([0.58, 0.44, 0.71]),
        "implant_grades": np.array([0.05, 0.1, 0.2, 0.3]),
        "implant_frequency": np.array([0.1, 0.4, 0.85, 1.0]),
        "implant_low": np.array([0.03, 0.22, 0.64, 0.84]),
        "implant_high": np.array([0.3, 0.61, 0.95, 1.0]),
        "implant_limit": np.array(0.2),
    }
