"""Backbones: plain modules that know nothing of the rest of the house."""

from kotowari.networks.autoencoder3d import Autoencoder3d
from kotowari.networks.fast_unet import FastUNet
from kotowari.networks.heads import AverageHead, LocatedHead
from kotowari.networks.pairs import PairedHead
from kotowari.networks.residual import ResidualNetwork
from kotowari.networks.scaling import InputScaling
from kotowari.networks.squeeze import SqueezeNetwork
from kotowari.networks.two_branch import TwoBranchNetwork
from kotowari.networks.unet import UNet

__all__ = [
    "Autoencoder3d",
    "AverageHead",
    "FastUNet",
    "InputScaling",
    "LocatedHead",
    "PairedHead",
    "ResidualNetwork",
    "SqueezeNetwork",
    "TwoBranchNetwork",
    "UNet",
]
