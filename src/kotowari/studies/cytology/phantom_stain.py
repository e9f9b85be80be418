"""How cells, background and dirt become light: by absorption in bright-field, by emission in fluorescence."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from kotowari.studies.cytology.phantom_layout import CellLayers
from kotowari.studies.cytology.phantom_settings import CellSettings

__all__ = ["CYTOPLASM_STAINS", "HAEMATOXYLIN", "Slide", "absorbed_light", "draw_slide", "emitted_light", "recorded"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]

# optical density in red, green and blue, scaled to length 1
HAEMATOXYLIN = (0.65, 0.70, 0.29)
CYTOPLASM_STAINS = ((0.07, 0.99, 0.11), (0.75, 0.45, 0.48), (0.27, 0.57, 0.78))


@dataclass(frozen=True, eq=False)
class Slide:
    """What the images of one slide share.

    Attributes
    ----------
    gain
        Of the light, 0 to 1.
    tint
        Shape ``(channel,)``: colour of the empty field.
    nucleus_stain, cytoplasm_stain
        Shape ``(channel,)``: optical density by channel.
    texture
        Shape ``(height, width)``, standard deviation 1.
    """

    gain: float
    tint: FloatArray
    nucleus_stain: FloatArray
    cytoplasm_stain: FloatArray
    texture: FloatArray


def draw_slide(settings: CellSettings, rng: np.random.Generator) -> Slide:
    """Draw gain, colours and the texture of one slide.

    Cytoplasm is stained pink (eosin), blue-green or orange, a mixture of two. Source of the vectors of haematoxylin and
    eosin: Ruifrok and Johnston 2001, Anal. Quant. Cytol. Histol. 23:291-299, table 1; the others are ours.
    """
    mixture = rng.dirichlet((0.6, 0.6, 0.6)) @ np.array(CYTOPLASM_STAINS)
    gain = rng.uniform(0.85, 0.97) / (1 + settings.ramp / 2)
    warm = rng.uniform(0.0, 0.08)
    texture = random_field((settings.height, settings.width), 12.0, rng)
    if settings.kind != "colour":
        return Slide(gain, np.ones(1), np.ones(1), np.ones(1), texture)
    nucleus = np.array(HAEMATOXYLIN) * rng.normal(1, 0.05, 3)
    tint = np.array([1.0, 1 - 0.4 * warm, 1 - warm])
    # of length root 3, so that the mean square over the channels is that of a grey image
    stains = np.sqrt(3) * np.stack([each / np.linalg.norm(each) for each in (nucleus, mixture)])
    return Slide(gain, tint, stains[0], stains[1], texture)


def illumination(settings: CellSettings, rng: np.random.Generator) -> FloatArray:
    """Return a plane of mean 1 that changes by up to ``ramp`` across the image, shape ``(height, width)``."""
    y, x = np.mgrid[: settings.height, : settings.width].astype(np.float64)
    y, x = y / (settings.height - 1) - 0.5, x / (settings.width - 1) - 0.5
    angle, amount = rng.uniform(0, 2 * np.pi), settings.ramp * rng.uniform(0.4, 1.0)
    slope = np.array([np.sin(angle), np.cos(angle)])
    plane: FloatArray = 1 + amount * (slope[0] * y + slope[1] * x) / np.abs(slope).sum()
    return plane


def absorbed_light(layers: CellLayers, slide: Slide, settings: CellSettings, rng: np.random.Generator) -> FloatArray:
    r"""Return the light behind a bright-field smear, shape ``(height, width, channel)``, 1 at full scale.

    .. math:: I_c = g\, t_c\, (1 + \text{ramp})\, (1 + \text{texture})\, e^{-(\sum_k s_{kc} d_k)}

    with the optical densities d of cytoplasm, nuclei and dirt, and the stains s.
    """
    own = random_field(slide.texture.shape, 8.0, rng)
    ground = 1 + settings.texture * (0.8 * slide.texture + 0.6 * own)
    light = slide.gain * illumination(settings, rng) * np.maximum(ground, 0.1)
    density = layers.body[..., None] * slide.cytoplasm_stain + layers.nucleus[..., None] * slide.nucleus_stain
    density = density + layers.debris[..., None]
    found: FloatArray = light[..., None] * slide.tint * np.exp(-density)
    return found


def emitted_light(layers: CellLayers, slide: Slide, settings: CellSettings, rng: np.random.Generator) -> FloatArray:
    """Return the light of fluorescent nuclei, shape ``(height, width, 1)``: nuclei, haze around them, dark ground."""
    glow = layers.body + 1.5 * layers.debris
    haze = settings.haze * gaussian_filter(layers.body, 10.0)
    own = random_field(slide.texture.shape, 8.0, rng)
    dark = rng.uniform(0.01, 0.04) * np.maximum(1 + 3 * settings.texture * (0.8 * slide.texture + 0.6 * own), 0.1)
    found: FloatArray = ((glow + haze) * illumination(settings, rng) + dark)[..., None]
    return found


def recorded(light: FloatArray, settings: CellSettings, rng: np.random.Generator) -> FloatImage:
    """Return an 8-bit picture of the light as float32 in [0, 1]: blurred, counted photon by photon, rounded."""
    if settings.blur_px > 0:
        light = gaussian_filter(light, (settings.blur_px, settings.blur_px, 0))
    counted = rng.poisson(settings.photons * light) / settings.photons
    return (np.rint(255 * np.clip(counted, 0, 1)) / 255).astype(np.float32)


def random_field(shape: tuple[int, int], highest: float, rng: np.random.Generator) -> FloatArray:
    """Return a Gaussian field of standard deviation 1 with up to about ``highest`` waves across its longer side."""
    spectrum = np.fft.rfft2(rng.standard_normal(shape))
    frequency = max(shape) * np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    field = np.fft.irfft2(spectrum * np.exp(-((frequency / highest) ** 2)), s=shape)
    scaled: FloatArray = (field - field.mean()) / field.std()
    return scaled
