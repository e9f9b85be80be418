"""
Networks along a modulator cannot say more than the modulator
=============================================================

NetworkProfiler gives a sample that was kept aside the network at its modulator. That network is a function of the
modulator, and so is everything that is computed from it. Whatever it predicts, a curve of the modulator predicts. This
is what makes it tempting: a response that goes along with the modulator is "predicted from networks" very well.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV

from kotowari.studies.genenet import NetworkProfiler, judge_prediction, simulate_networks
from kotowari.trust import cross_validate_inputs, grouped_folds

phantom = simulate_networks(n_samples=300, n_regulators=20, n_targets=5, n_active=2, n_relays=1, random_state=0)
X, m = phantom.X, phantom.modulator
genes = {"regulators": phantom.regulators, "targets": phantom.targets}
rng = np.random.default_rng(0)

# %%
# Two responses
# -------------
# The first follows the modulator, as a grade or a stage may, and has nothing to do with any edge. The second is what
# one edge carries: the expression of its regulator, but only where the edge is on.

edge = phantom.shapes.query("shape == 'bump'").iloc[-1]
carried = phantom.truth.regulatory_effect(X, 1).select(regulators=[edge["regulator"]], targets=[edge["target"]])
carried = np.asarray(carried.to_dense()[:, 0, 0], dtype=float)
responses = {
    "follows the modulator": np.sin(5 * m) + 0.3 * rng.normal(size=len(m)),
    "carried by an edge": carried / carried.std() + 0.7 * rng.normal(size=len(m)),
}

# %%
# Networks inside the folds
# -------------------------
# Samples kept aside get the network at their modulator, estimated from the training samples alone. Two inputs are made
# of it: the coefficients; and the regulatory effects, coefficient times expression of the regulator, which carry the
# sample itself.

folds = grouped_folds(m, n_splits=3, continuous=True, random_state=0)
coefficients, effects = [], []
for fold in folds:
    profiler = NetworkProfiler(effective_samples=60, random_state=0).fit(X.iloc[fold.train], m[fold.train], **genes)
    lowest, highest = m[fold.train].min(), m[fold.train].max()
    stack = profiler.coefficients(np.clip(m, lowest, highest))
    table = X.set_axis(stack.samples)
    coefficients.append(stack.to_dense().reshape(len(X), -1))
    effects.append(
        stack.regulatory_effect(table - table.iloc[fold.train].mean(), 1, centred=False).to_dense().reshape(len(X), -1)
    )

# %%
# What the guard says
# -------------------
# It fits a spline of the modulator and ridge on the raw genes on the same folds. "Predicts" is written only where the
# paired intervals over both lie above 0, the score lies above chance, and the predictions are better than their own
# smooth course along the modulator.

machine = RidgeCV(np.logspace(-2, 6, 17))
said, verdicts = {}, {}
for response, y in responses.items():
    said[response] = {
        name: cross_validate_inputs({name: machine}, inputs, y, folds)[name]
        for name, inputs in {"ridge on coefficients": coefficients, "ridge on effects": effects}.items()
    }
    verdict = judge_prediction(
        y, m, said[response], X=X, folds=folds, target="the response", n_draws=500, random_state=0
    )
    verdicts[response] = verdict
    print(f"The response {response}:")
    for name, sentence in verdict.sentences.items():
        print(f"  {'allowed' if verdict.predicts[name] else 'refused'}: {sentence}")

# %%
# In pictures
# -----------
# Above: predictions from coefficients lie on a curve, up to the folds, those from effects do not. Below: R2 of each on
# the same folds with 95 % intervals over samples.

figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", height_ratios=(3, 2))
colours = {"ridge on coefficients": "#b2182b", "ridge on effects": "#2166ac"}
for column, (response, y) in zip(axes.T, responses.items(), strict=True):
    column[0].plot(m, y, ".", color="0.8", markersize=5, label="response")
    for name, colour in colours.items():
        out = said[response][name]
        column[0].plot(m[out.rows], out.prediction, ".", color=colour, markersize=5, label=name)
    column[0].set(title=f"The response {response}", xlabel="modulator")
    rows = [row for row in verdicts[response].rows if row.metric == "R2"][::-1]
    for place, row in enumerate(rows):
        colour = colours.get(row.model, "0.4")
        column[1].plot([row.low, row.high], [place, place], color=colour, linewidth=2)
        column[1].plot(row.value, place, "o", color=colour)
    column[1].set_yticks(range(len(rows)), [row.model for row in rows] if column[1] is axes[1, 0] else [])
    column[1].set(xlabel="R2 on samples kept aside", ylim=(-0.6, len(rows) - 0.4))
axes[0, 0].legend(frameon=False, loc="lower left")
plt.show()
