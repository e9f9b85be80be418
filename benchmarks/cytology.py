"""The figures of the cytology study beside those of its comparators; README.md names every key."""

import sys
from functools import partial

from cytology_curve import curves
from cytology_nuclei import found_nuclei
from cytology_phantom import simulated_smears
from cytology_recipe import recipe_on_nuclei, recipe_on_phantoms
from cytology_speed import seconds_of_cells
from harness import Figure, Part, run

FIGURES = (
    Figure("f1_fluorescence", "93 images, no labels", at_least=0.86, beside="f1_fluorescence_otsu"),
    Figure("f1_fluorescence_plain", "Otsu and distance watershed, tuned on them", beside="f1_fluorescence_otsu_07"),
    Figure("f1_fluorescence_less_otsu", "ours less Otsu", beside="f1_fluorescence_less_otsu_07"),
    Figure("f1_fluorescence_odd", "images never used for development", beside="f1_fluorescence_otsu_odd"),
    Figure("f1_stained", "27 images, no labels", at_least=0.70, beside="f1_stained_otsu"),
    Figure("f1_stained_plain", "Otsu and distance watershed, tuned on them", beside="f1_stained_otsu_07"),
    Figure("f1_stained_less_otsu", "ours less Otsu", beside="f1_stained_less_otsu_07"),
    Figure("f1_stained_odd", "images never used for development", beside="f1_stained_otsu_odd"),
    Figure("foreground_ap", "all images", above="foreground_ap_otsu", beside="foreground_ap_otsu"),
    Figure("foreground_ap_less_otsu", "ours less Otsu", beside="foreground_ap_less_otsu_odd"),
    Figure("f1_gain_20_images", "20 unlabelled images, less Otsu", above=0, beside="f1_fluorescence_20_images"),
    Figure("f1_fluorescence_5_images", "5 images", beside="f1_fluorescence_1_masks"),
    Figure("f1_stained_15_images", "15 images", beside="f1_stained_15_masks"),
    Figure("recipe_f1", "published recipe, phantom", beside="recipe_f1_otsu"),
    Figure("recipe_f1_eps_less_none", "smoothed face less the published one", beside="recipe_f1_eps"),
    Figure("recipe_f1_moreau_less_none", "Moreau face less the published one", beside="recipe_f1_moreau"),
    Figure("recipe_f1_target_less_none", "proximal face less the published one", beside="recipe_f1_target"),
    Figure("recipe_ratio", "its loss over the convex optimum", beside="recipe_ratio_target"),
    Figure("recipe_f1_nuclei", "published recipe, fluorescence", beside="recipe_f1_nuclei_otsu"),
    Figure("phantom_f1_apart", "smears, no overlap", at_least=0.90, beside="phantom_f1_apart_otsu"),
    Figure("phantom_f1_overlap", "smears, overlap 30 %", at_least=0.75, beside="phantom_f1_overlap_otsu"),
    Figure("phantom_f1_ramp_less_otsu", "light uneven by 40 %", at_least=0.10, beside="phantom_f1_ramp_otsu"),
    Figure("phantom_debris_share_ramp", "objects that are dirt", at_most=0.05, beside="phantom_debris_share_ramp_otsu"),
    Figure("fit_minutes", "40 images, CPU minutes of one thread", beside="fit_images"),
    Figure("apply_1024_s", "1024 x 1024, two threads, wall", at_most=2.0, beside="apply_1024_cpu_s"),
    Figure("instances_1024_cpu_s", "of that the instance stage", beside="apply_1024_cells"),
    Figure("cell_table_cpu_s", "table of 2,000 cells", beside="cell_table_cells"),
)

PARTS = (
    Part(
        "nuclei",
        (
            "foreground_ap",
            "foreground_ap_otsu",
            "f1_fluorescence",
            "f1_stained",
            "f1_fluorescence_otsu",
            "f1_stained_otsu",
        ),
        found_nuclei,
    ),
    Part("curve", ("f1_gain_20_images",), curves),
    Part("recipe", ("recipe_f1",), recipe_on_phantoms),
    Part("recipe_nuclei", ("recipe_f1_nuclei",), recipe_on_nuclei),
    Part("speed", ("fit_minutes", "apply_1024_s"), seconds_of_cells),
    Part("phantom", ("phantom_f1_apart", "phantom_f1_overlap", "phantom_f1_ramp"), simulated_smears),
)

main = partial(run, "cytology", FIGURES, PARTS, ("scikit-image",))

if __name__ == "__main__":
    sys.exit(main())
