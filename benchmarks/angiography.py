"""The figures of the angiography study beside those of its comparators; README.md names every key."""

import sys
from functools import partial

from angiography_frames import single_frames
from angiography_implants import implanted_vessels
from angiography_phantom import simulated_runs
from angiography_time import frames_a_second, layers_of_clip, long_run
from harness import Figure, Part, run

FIGURES = (
    Figure("auc", "CIMAT, no masks, mean of pictures", at_least=0.97, beside="best_filter_auc"),
    Figure("auc_less_best_filter", "ours less the best filter", above=0, beside="best_filter_auc_name"),
    Figure("dice", "at its own threshold", at_least=0.72, beside="best_filter_dice"),
    Figure("dice_less_best_filter", "ours less the best filter", above=0, beside="best_filter_dice_name"),
    Figure("best_filter_auc", "tuned on masks of the other half", beside="best_filter_auc_all40"),
    Figure("best_filter_dice", "the same", beside="best_filter_dice_all40"),
    Figure("auc_whole_picture", "without a field of view", at_least=0.97, beside="best_filter_auc_whole_picture_all40"),
    Figure("dice_whole_picture", "the same", at_least=0.72, beside="best_filter_dice_whole_picture_all40"),
    Figure("clip_ls_s", "96 x 512 x 512, s on 2 threads", at_most=20, beside="clip_ls_cpu_s"),
    Figure("clip_ls_peak_gb", "the same, peak memory", at_most=3),
    Figure("clip_ls_speedup", "robust PCA: full SVDs over ours", at_least=7, beside="clip_rpca_objective_ratio"),
    Figure("implant_ap", "vessels put into the clip", beside="implant_best_comparator_ap"),
    Figure("implant_best_comparator_ap", "the best of the others", beside="implant_best_comparator_ap_name"),
    Figure("implant_ap_less_best_comparator", "ours less it", at_least=0.10, beside="implant_ap_name"),
    Figure("frames_per_s", "256 x 256, 2 threads", at_least=25, beside="frames_per_s_bfloat16"),
    Figure("frames_per_s_512", "512 x 512", at_least=7, beside="frames_per_s_512_bfloat16"),
    Figure("frames_ap", "float32, CIMAT", beside="frames_ap_bfloat16"),
    Figure("phantom_dice", "simulated runs", at_least=0.85, above="phantom_dice_rpca", beside="phantom_dice_rpca"),
    Figure("phantom_dice_rpca", "robust PCA, same threshold rule", beside="phantom_dice_top_hat"),
    Figure("phantom_centreline_px", "distance of centrelines", at_most=1.5, beside="phantom_centreline_px_rpca"),
    Figure("phantom_arrival_frames", "error of contrast arrival", at_most=2, beside="phantom_arrival_frames_rpca"),
    Figure("run_peak_gb", "200 x 1024 x 1024 from a file", at_most=4, beside="run_steps"),
)

PARTS = (
    Part("cimat", ("auc", "dice", "best_filter_auc", "best_filter_dice"), single_frames),
    Part("clip", ("clip_ls_s", "clip_ls_speedup"), layers_of_clip),
    Part("implants", ("implant_ap", "implant_best_comparator_ap"), implanted_vessels),
    Part("speed", ("frames_per_s",), frames_a_second),
    Part("phantom", ("phantom_dice", "phantom_dice_rpca", "phantom_centreline_px"), simulated_runs),
    Part("memory", ("run_peak_gb",), long_run),
)

main = partial(run, "angiography", FIGURES, PARTS, ("scikit-image",))

if __name__ == "__main__":
    sys.exit(main())
