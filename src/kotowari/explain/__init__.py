"""Relevance of an input for an output: raw tensors in the shape of the input or of a layer, leaving no trace."""

from kotowari.explain.cam import class_activation_map
from kotowari.explain.completeness import completeness_gap
from kotowari.explain.grad_cam import grad_cam
from kotowari.explain.grad_cam_plus_plus import grad_cam_plus_plus
from kotowari.explain.gradient import gradient_times_input, saliency, smooth_grad
from kotowari.explain.hooks import recorded_output
from kotowari.explain.integrated_gradients import Attribution, integrated_gradients
from kotowari.explain.layer_cam import layer_cam
from kotowari.explain.occlusion import RegionEffects, occlusion, region_map
from kotowari.explain.scores import target_scores
from kotowari.explain.upsample import read_at, upsample

__all__ = [
    "Attribution",
    "RegionEffects",
    "class_activation_map",
    "completeness_gap",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient_times_input",
    "integrated_gradients",
    "layer_cam",
    "occlusion",
    "read_at",
    "recorded_output",
    "region_map",
    "saliency",
    "smooth_grad",
    "target_scores",
    "upsample",
]
