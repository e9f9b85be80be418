"""The figures of the brain study beside those of its comparators and peers; README.md names every key."""

import sys
from functools import partial

import brain_maps as maps
import brain_step as step
from brain_grid import grid_of_models
from brain_planted import planted_dose
from brain_resume import killed_and_resumed
from brain_tables import real_tables
from harness import Figure, Part, run

FIGURES = (
    Figure("step_speedup", "121 x 145 x 121, plain float32 over ours", at_least=4.8, beside="step_cpu_s"),
    Figure("step_memory_ratio", "the same, peak memory", at_least=3.3, beside="step_memory_mib"),
    Figure("step_loss_gap", "relative gap of the losses, against float32", at_most=5e-4),
    Figure("load100_cpu_s", "100 volumes ready to train", at_most=1.2, beside="load100_nibabel_cpu_s"),
    Figure("planted_dose_r", "dose out of fold", above="planted_dose_r_untrained", beside="planted_dose_r_untrained"),
    Figure("planted_dose_r_less_untrained", "ours less the untrained network"),
    Figure("planted_dose_r_less_pooling", "ours less pooling", beside="planted_dose_r_pooling"),
    Figure("planted_dose_r_less_smoothed_ridge", "ours less ridge", beside="planted_dose_r_smoothed_ridge"),
    Figure("planted_dose_r_site2", "dose at the second site", beside="planted_dose_r_site2_smoothed_ridge"),
    Figure("label_free_minus_label_trained", "dose r", beside="planted_dose_r_label_trained"),
    Figure("mae_over_mean_brain", "error over the mean brain's", at_most=0.95, beside="mae_over_mean_brain_pca"),
    Figure("planted_lock_dose_r", "the lock: smoothed ridge", beside="planted_lock_age_r"),
    Figure("grid_rank_blocks_mae", "16 models: depth and error", beside="grid_rank_channels_mae"),
    Figure("grid_rank_blocks_dose_r", "depth and dose r", beside="grid_rank_blocks_age_r"),
    Figure("grid_dose_r_less_pooling_3", "3 blocks less pooling by 8", beside="grid_dose_r_pooling_3"),
    Figure("map_ap_atlas", "planted regions", above="map_ap_atlas_untrained", beside="map_ap_atlas_glm"),
    Figure("map_ap_cross", "across the atlas", at_least="map_ap_cross_glm", beside="map_ap_cross_untrained"),
    Figure("map_ap_cross_less_glm", "ours less the smoothed GLM"),
    Figure("map_ap_distributed", "all over", above="map_ap_distributed_untrained", beside="map_ap_distributed_glm"),
    Figure("null_plants", "draws without effect", at_least=100),
    Figure("null_rejections", "of these, with a p of 0.05", at_most=9, beside="null_map_rejections"),
    Figure("abide_age_r", "age at unseen sites", beside="abide_age_r_ridge"),
    Figure("abide_age_r_combat_gain", "harmonised less not", beside="abide_age_harmonising_helps"),
    Figure("abide_autism_auc", "autism at unseen sites", beside="abide_autism_auc_ridge"),
    Figure("ixi_age_mae", "years, ten folds", beside="ixi_age_mae_ridge"),
    Figure("resume_equal", "killed and resumed: same bytes", at_least=1),
)

PARTS = (
    Part("step", ("step_speedup", "step_memory_ratio"), step.training_step),
    Part("load", ("load100_cpu_s",), step.ready_volumes),
    Part(
        "planted",
        (
            "planted_dose_r",
            "planted_dose_r_site2",
            "planted_dose_r_untrained",
            "planted_dose_r_pooling",
            "planted_dose_r_smoothed_ridge",
            "label_free_minus_label_trained",
            "mae_over_mean_brain",
        ),
        planted_dose,
    ),
    Part("grid", ("grid_rank_blocks_mae", "grid_rank_blocks_dose_r"), grid_of_models),
    Part(
        "maps",
        ("map_ap_atlas", "map_ap_cross", "map_ap_distributed", "map_ap_cross_glm", "map_ap_cross_untrained"),
        maps.planted_maps,
    ),
    Part("null", ("null_plants", "null_rejections"), maps.null_plants),
    Part("tables", ("abide_age_r", "ixi_age_mae"), real_tables),
    Part("resume", ("resume_equal",), killed_and_resumed),
    Part("peers", ("peers",), step.run_peers),
)

main = partial(run, "brain", FIGURES, PARTS, ("nibabel", "nilearn", "monai"))

if __name__ == "__main__":
    sys.exit(main())
