"""
A network for every sample, against one for all
===============================================

Simulated expression whose edges are known: some are switched on along a modulator, some fade, some turn their sign.
NetworkProfiler estimates a network for every sample; beside it stands one elastic net for all samples.
"""

import matplotlib.pyplot as plt
import numpy as np

from kotowari.studies.genenet import NetworkProfiler, simulate_networks
from kotowari.studies.genenet.baselines import global_elastic_net, kernel_correlation, lioness
from kotowari.studies.genenet.edge_scoring import edge_scores

phantom = simulate_networks(random_state=0)
X, m = phantom.X, phantom.modulator
genes = {"regulators": phantom.regulators, "targets": phantom.targets}
print(phantom.description)

# %%
# Estimate
# --------
# One weighted elastic net for every sample and target. Samples of like modulator count most; how many stand behind a
# network is told by Kish's effective number.

profiler = NetworkProfiler(random_state=0).fit(X, m, **genes)
networks = profiler.networks()
effective = profiler.effective_samples_[:, 0]
print(
    f"{len(networks.samples)} networks on {networks.n_edges} edges in all; effective samples {effective.min():.0f} to "
    f"{effective.max():.0f}, median {np.median(effective):.0f}"
)

one = global_elastic_net(X, modulator=m, **genes)
others = {
    "one elastic net for all": one,
    "kernel correlation": kernel_correlation(X, m, **genes),
    "LIONESS": lioness(X, modulator=m, **genes),
}

# %%
# Are the planted edges found?
# ----------------------------
# In each of four bins of the modulator, pairs of genes are ranked by their mean absolute value. An edge that is on in
# one bin only has to be found there and nowhere else.

found = {"NetworkProfiler": edge_scores(networks, phantom.truth, X=X)}
found |= {name: edge_scores(stack, phantom.truth, X=X) for name, stack in others.items()}
print(f"chance: AUROC 0.50, average precision {found['NetworkProfiler'].prevalence:.2f}")
for name, scores in found.items():
    print(
        f"{name:<24} AUROC {scores.auroc:.2f}, average precision {scores.average_precision:.2f}, "
        f"change of effect: rank correlation {scores.rec_correlation:+.2f}"
    )

# %%
# Courses of five edges
# ---------------------
# The strongest planted edge of every shape; every stroke at the bottom is a sample. The estimate is shrunk towards 0
# and smoothed over the kernel. Grey: fewer than 20 effective samples stand behind a network, and at the far end so few
# that the criterion takes no edge at all. An edge that drops to 0 there is missed; it has not gone.


def course(stack, regulator, target):
    """Return the coefficient of one edge in every sample, 0 where the sample has not the edge."""
    kept = stack.select(regulators=[regulator], targets=[target])
    return np.asarray(kept.to_dense()[:, 0, 0], dtype=float)


order = np.argsort(m)
strongest = phantom.shapes.assign(strength=phantom.shapes["size"].abs()).sort_values("strength", ascending=False)
figure, axes = plt.subplots(1, 5, figsize=(12, 3.3), layout="constrained", sharex=True, sharey=True)
for axis, (shape, edge) in zip(axes, strongest.groupby("shape", sort=False).head(1).groupby("shape"), strict=True):
    ends = edge["regulator"].item(), edge["target"].item()
    axis.plot(m[order], course(phantom.truth, *ends)[order], color="0.6", linewidth=4, label="planted")
    axis.plot(m[order], course(one, *ends)[order], color="#b2182b", linestyle="--", label="one elastic net")
    axis.plot(m[order], course(networks, *ends)[order], color="#2166ac", linewidth=1.8, label="NetworkProfiler")
    axis.plot(m, np.full(len(m), -1.35), "|", color="0.4", markersize=6, alpha=0.4)
    axis.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    axis.axvspan(m[effective >= 20].max(), m.max(), color="0.92", zorder=-1)
    axis.set(title=f"{shape}: {ends[0]} to {ends[1]}", xlabel="modulator")
axes[0].set_ylabel("coefficient")
figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside lower center")
plt.show()

# %%
# Bin by bin
# ----------

figure, axis = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
colours = ("#2166ac", "#b2182b", "0.45", "0.75")
for shift, ((name, scores), colour) in enumerate(zip(found.items(), colours, strict=True)):
    places = np.arange(len(scores.bins)) + 0.2 * (shift - 1.5)
    axis.bar(places, scores.bins["average_precision"], width=0.18, color=colour, label=name)
bins = found["NetworkProfiler"].bins
chance = bins["prevalence"]
axis.hlines(chance, np.arange(len(bins)) - 0.4, np.arange(len(bins)) + 0.4, color="k", linestyle=":", label="chance")
axis.set_xticks(
    range(len(bins)), [f"{low:.2f} to {high:.2f}" for low, high in zip(bins["low"], bins["high"], strict=True)]
)
axis.set(xlabel="modulator", ylabel="average precision", ylim=(0, 1.05))
axis.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.22))
plt.show()
