"""
Which edges make a prediction?
==============================

Simulated networks in which two modules of edges drive a response, by themselves and by their product. TRIP projects
the networks on a few directions of regulators and of targets, learned together with what reads them, and says what
every edge gave to the prediction of every sample.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from kotowari.studies.genenet import TensorReconstructionRegressor, knock_out, planted_modules
from kotowari.trust import completeness_check, planted_scores

N_TRAIN = 500
phantom = planted_modules(N_TRAIN + 500, shape=(40, 30), random_state=0)
train, test = slice(0, N_TRAIN), slice(N_TRAIN, None)
X, y = phantom.X, phantom.y
print(f"{N_TRAIN} networks of {X.shape[1]} x {X.shape[2]} genes; {int(phantom.planted.sum())} edges matter")

# %%
# Learn
# -----
# The same heads on directions of largest variance, which saw no response, stand beside it: the networks are full of
# modules that vary twice as much and tell nothing, and those directions hold them. So does ridge on all edges, which
# cannot see a product.

options = {"n_members": 2, "starts": ("hosvd", "kernel"), "random_state": 0}
models = {
    "directions learned": TensorReconstructionRegressor(**options),
    "directions of largest variance": TensorReconstructionRegressor(**options | {"starts": ("hosvd",), "max_steps": 0}),
}
predicted = {name: model.fit(X[train], y[train]).predict(X[test]) for name, model in models.items()}
penalties = np.logspace(0, 8, 17)


def ridge_r2(networks, response):
    """Return the R2 of ridge on all edges, on the unseen samples."""
    edges = networks.reshape(len(networks), -1)
    ridge = RidgeCV(penalties).fit(edges[train], response[train])
    return r2_score(response[test], ridge.predict(edges[test]))


for name, values in predicted.items():
    print(f"{name:<31} R2 {r2_score(y[test], values):.2f} of {phantom.attainable_r2:.2f} that can be had")
print(f"{'ridge on all edges':<31} R2 {ridge_r2(X, y):.2f}")

# %%
# Where the response rises steadily with each module, there is nothing to be gained over ridge:

steady = planted_modules(N_TRAIN + 500, shape=(40, 30), response="monotone", random_state=0)
print(f"ridge on all edges, steady response: R2 {ridge_r2(steady.X, steady.y):.2f} of {steady.attainable_r2:.2f}")

# %%
# What did every edge give?
# -------------------------
# Contributions are in units of the response. Those of a sample add up to the change of its prediction from that of the
# mean training network.

model = models["directions learned"]
contributions = model.edge_contributions(X[test])
print(completeness_check(contributions.gap).sentence)
importance = contributions.importance()
scores = planted_scores(importance, phantom.planted)
print(
    f"planted edges: AUROC {scores['auroc']:.2f}, average precision {scores['average_precision']:.2f} "
    f"(chance {scores['prevalence']:.2f})"
)

out = knock_out(model, X[test], y[test], importance, n_edges=int(phantom.planted.sum()), random_state=0)
print(
    f"without the first {out.n_edges} edges R2 falls by {out.drop:.2f}; without random edges of equal norm by "
    f"{out.random_drops.mean():.2f} (p = {out.p:.2f})"
)

# %%
# In pictures
# -----------
# Genes are put in an order in which the planted modules stand in the upper left corner.

rows = np.argsort(~phantom.modules.any(2).any(0), kind="stable")
columns = np.argsort(~phantom.modules.any(1).any(0), kind="stable")
rows[:12] = np.concatenate([np.flatnonzero(module.any(1)) for module in phantom.modules])
columns[:8] = np.concatenate([np.flatnonzero(module.any(0)) for module in phantom.modules])

one = int(np.argmax(predicted["directions learned"]))
figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
pictures = {
    "planted modules": phantom.modules.sum(0),
    "importance, 500 unseen samples": importance,
    f"contributions to one prediction, {predicted['directions learned'][one]:+.1f}": contributions.values[one],
}
for axis, (title, values) in zip(axes, pictures.items(), strict=True):
    limit = np.abs(values).max()
    picture = axis.imshow(values[np.ix_(rows, columns)], cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axis.set(title=title, xlabel="target", xticks=[], yticks=[])
    figure.colorbar(picture, ax=axis, shrink=0.8)
axes[0].set_ylabel("regulator")
plt.show()

# %%
# Predictions of unseen samples
# -----------------------------

figure, axes = plt.subplots(1, 2, figsize=(8.5, 4.2), layout="constrained", sharex=True, sharey=True)
for axis, (name, values) in zip(axes, predicted.items(), strict=True):
    axis.plot(y[test], values, ".", color="#2166ac", alpha=0.5, markersize=5)
    axis.axline((0, 0), slope=1, color="0.4", linewidth=0.8)
    axis.set(title=f"{name}, R2 {r2_score(y[test], values):.2f}", xlabel="response")
axes[0].set_ylabel("prediction")
plt.show()
