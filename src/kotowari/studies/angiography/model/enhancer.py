"""Vessels enhanced frame by frame, by a network that never saw a vessel mask."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.seeds import derive_seed
from kotowari.studies.angiography.attenuation import XrayRun
from kotowari.studies.angiography.model.enhancer_backgrounds import (
    Background,
    find_backgrounds,
    inner_field,
    recent_frames,
)
from kotowari.studies.angiography.model.enhancer_lessons import ImplantLessons
from kotowari.studies.angiography.model.enhancer_maps import choose_cut, mean_over_views, specks_below
from kotowari.studies.angiography.model.enhancer_network import VesselNetwork
from kotowari.studies.angiography.model.enhancer_prior import LayerNetwork, PriorLesson, train_layer
from kotowari.studies.angiography.model.enhancer_recordings import (
    Recording,
    checked_field,
    checked_frames,
    recordings,
)
from kotowari.studies.angiography.model.enhancer_removal import picture_scale
from kotowari.studies.angiography.model.enhancer_saved import read_weights, read_words, write_enhancer
from kotowari.studies.angiography.model.enhancer_stream import FrameStream
from kotowari.studies.angiography.model.enhancer_training import (
    ImplantRound,
    n_rows,
    train_on_implants,
    training_name,
)
from kotowari.studies.angiography.model.enhancer_trees import TreeLaw
from kotowari.training.devices import require_device
from kotowari.training.loop import History

__all__ = ["Lesson", "VesselEnhancer"]

Lesson = Literal["implants", "prior", "both"]
Frames = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_SURROUNDINGS = 18.75
_CROP = 256
_N_TRIALS = 32
_EVEN_CHANCE = 0.5
_DOUBT_SPARSE, _DOUBT_TV = 0.05, 0.05
_MOST_FRAMES, _MOST_VIEWS = 5, 8
_STEPS_A_PASS = 25
_LAYER_WIDTH = 16
_LAYER_BATCH = 32
_LAYER_SIDE = 192
_KEPT_OF_HISTORY = tuple(one.name for one in fields(History))
_NOT_OF_THE_MODEL = ("device", "checkpoint", "checkpoint_seconds", "shown")


class VesselEnhancer(BaseEstimator):
    r"""A network that says of each pixel of a frame how likely it is vessel; no mask teaches it.

    ``lesson="implants"``: frames of the user's own recordings lose their vessels, first as far as a top-hat suspects
    any, then as far as the network of the round before finds them; frames before contrast stay as they are. Random
    trees are put into them by Beer-Lambert attenuation, and the network learns to find these. ``lesson="both"`` adds a
    prior, sparse and even, over the frames' own suspected vessels, of which nobody knows where they are.
    ``lesson="prior"`` is the low-rank and sparse loss on whole runs and nothing else.

    A vessel is outlined where its lumen is, down to the width that readers draw. Frames come in log attenuation; local
    contrast is taken inside, so that displays without a logarithm work too.

    Parameters
    ----------
    lesson
        What teaches it.
    n_steps
        Steps of the optimiser in each round of implants, 1 or more; for the prior, passes over the frames are as many
        as 100 steps there.
    n_rounds
        Rounds of implants, 1 or more.
    n_frames
        Frames seen at once, 1 to 5: the newest and those before it. The prior sees one.
    law
        How trees are drawn in a picture with 300 pixels on the shorter side; others get it scaled.
    least_area
        Pieces of a map above the threshold that cover less stay below it, in pixels of such a picture, 0 or more:
        contrast fills trees from their root.
    n_views
        Turns and mirror images that :meth:`enhance` averages over, 1 to 8. :meth:`enhance_frame` takes one.
    widths
        Channels of the levels of the network.
    batch_size, learning_rate
        As in :class:`kotowari.training.plan.TrainingPlan`.
    raw_share
        Share of frames that keep their own vessels, which then do not count, 0 to 1.
    random_state
        Seed; equal seeds give equal bytes on one device with one number of threads.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"`` or ``"auto"``.
    checkpoint
        Folder in which a long training keeps its state: a killed fit goes on there when it is called again.
    checkpoint_seconds
        Least time between two checkpoints.
    shown
        Print progress to stderr.

    Attributes
    ----------
    network_
        Maps ``(batch, n_frames + 1, height, width)`` to scores.
    threshold_
        A half, the probability at which outlines were learned: on implants, Dice hardly depends on it. The layer of
        lesson "prior" has no such scale, so there it is the cut with the best mean Dice on fresh implants.
    implant_dice_
        Mean Dice on fresh implants at the threshold, in backgrounds that were learned from: no more than that.
    scale_
        Shorter side of the pictures it learned from, in units of 300 pixels. Other pictures should have vessels of
        about the same width in pixels.
    history_
        One a round; :meth:`load` brings back what all kinds of training tell.

    Source: our own construction; Beer-Lambert implants as :mod:`kotowari.trust` plants them. The prior: see
    :func:`kotowari.studies.angiography.model.enhancer_prior.train_layer`.
    """

    network_: VesselNetwork | LayerNetwork
    threshold_: float
    implant_dice_: float
    scale_: float
    history_: list[History]

    def __init__(
        self,
        lesson: Lesson = "implants",
        *,
        n_steps: int = 500,
        n_rounds: int = 2,
        n_frames: int = 1,
        law: TreeLaw | None = None,
        least_area: float = 100.0,
        n_views: int = 1,
        widths: tuple[int, ...] = (32, 48, 64, 96),
        batch_size: int = 8,
        learning_rate: float = 3e-3,
        raw_share: float = 0.25,
        random_state: int = 0,
        device: str = "cpu",
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 30.0,
        shown: bool = False,
    ) -> None:
        self.lesson = lesson
        self.n_steps = n_steps
        self.n_rounds = n_rounds
        self.n_frames = n_frames
        self.law = law
        self.least_area = least_area
        self.n_views = n_views
        self.widths = widths
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.raw_share = raw_share
        self.random_state = random_state
        self.device = device
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.shown = shown

    def fit(
        self,
        runs: Sequence[XrayRun | npt.ArrayLike],
        fields: Sequence[npt.ArrayLike | None] | None = None,
        groups: Any = None,
    ) -> Self:
        """Learn from runs or single frames, none of them annotated.

        Parameters
        ----------
        runs
            Each an :class:`XrayRun`, an array ``(time, height, width)`` or a frame ``(height, width)``, in log
            attenuation.
        fields
            Field of view of each run, ``(height, width)``; None for that of the run, or for everything.
        groups
            Owner of each run, such as the patient; every owner gets the same share of the implants.

        Raises
        ------
        InputError, ShapeError
            When an option is out of range or a run cannot be used.
        DesignError
            When there is nothing to learn from, or the prior is asked for without a run.
        """
        self._require_options()
        given = recordings(runs, fields, groups)
        self.scale_ = float(np.median([picture_scale(one.field.shape) for one in given]))
        self.network_ = self._fresh_network()
        name = training_name(self._options(), [array for one in given for array in (one.frames, one.field)])
        moments = [
            moment
            for number, one in enumerate(given)
            for moment in find_backgrounds(*one, self.n_frames, derive_seed(self.random_state, "moments", number))
        ]
        if isinstance(self.network_, LayerNetwork):
            self.history_ = [self._learn_layer(self.network_, given, name)]
        else:
            self.history_ = []
            for number in range(self.n_rounds):
                if number:
                    moments = self._freed(moments, number)
                self.history_.append(self._learn_implants(moments, name, number))
        self.network_.eval()
        self._choose_threshold(moments)
        self._forget(name)
        return self

    def enhance(self, frames: npt.ArrayLike, field: npt.ArrayLike | None = None) -> Frames:
        """Return the vessel map of every frame.

        Parameters
        ----------
        frames
            Shape ``(time, height, width)``, log attenuation; each map sees the frames up to its own.
        field
            Shape ``(height, width)``; None for everything.

        Returns
        -------
        ndarray
            float32, shape ``(time, height, width)``, 0 to 1, 0 outside of the field.
        """
        check_is_fitted(self, "network_")
        values = checked_frames(frames, "enhance")
        inside = checked_field(field, values.shape, "enhance")
        recents = (recent_frames(values, place, self.n_frames) for place in range(len(values)))
        return np.stack([self._map(recent, inside, self.n_views) for recent in recents])

    def enhance_frame(self, frame: npt.ArrayLike, field: npt.ArrayLike | None = None) -> Frames:
        """Return the vessel map of one frame, both ``(height, width)``, without memory of others and in one view."""
        check_is_fitted(self, "network_")
        values = checked_frames(frame, "enhance_frame")
        if len(values) > 1:
            raise ShapeError.mismatch("enhance_frame", "frame", ("height", "width"), values.shape)
        inside = checked_field(field, values.shape, "enhance_frame")
        return self._map(recent_frames(values, 0, self.n_frames), inside)

    def stream(self, shape: tuple[int, int], field: npt.ArrayLike | None = None) -> FrameStream:
        """Return an object that takes the frames of one run as they come and remembers what the network needs."""
        check_is_fitted(self, "network_")
        inside = checked_field(field, shape, "stream")
        return FrameStream(self._map, self.n_frames, inside)

    def segment(self, maps: npt.ArrayLike) -> Mask:
        """Return True where maps exceed the threshold, in their shape."""
        check_is_fitted(self, "threshold_")
        return np.asarray(maps) > self.threshold_

    def save(self, folder: str | Path) -> None:
        """Write options, threshold, history and weights into a folder: JSON and safetensors, no pickles."""
        check_is_fitted(self, "network_")
        words = {
            "options": self._options(),
            "threshold": self.threshold_,
            "implant_dice": self.implant_dice_,
            "scale": self.scale_,
            "history": [{name: getattr(one, name) for name in _KEPT_OF_HISTORY} for one in self.history_],
        }
        write_enhancer(Path(folder), self.network_, words)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; ready to enhance, on the CPU."""
        words = read_words(Path(folder))
        options = words["options"]
        law: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in options.pop("law").items()}
        enhancer = cls(**options | {"widths": tuple(options["widths"]), "law": TreeLaw(**law)})
        enhancer.scale_ = words["scale"]
        enhancer.network_ = enhancer._fresh_network()
        read_weights(Path(folder), enhancer.network_)
        enhancer.network_.eval()
        enhancer.threshold_, enhancer.implant_dice_ = words["threshold"], words["implant_dice"]
        enhancer.history_ = [History(**one) for one in words["history"]]
        return enhancer

    def _options(self) -> dict[str, Any]:
        """Return the options that make the model what it is, as plain words and numbers."""
        options = {k: v for k, v in self.get_params(deep=False).items() if k not in _NOT_OF_THE_MODEL}
        return options | {"law": asdict(self._law()), "widths": list(self.widths)}

    def _law(self) -> TreeLaw:
        return TreeLaw() if self.law is None else self.law

    def _fresh_network(self) -> VesselNetwork | LayerNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.random_state, "weights"))
            if self.lesson == "prior":
                return LayerNetwork(_LAYER_WIDTH)
            return VesselNetwork(self.n_frames, tuple(self.widths), _SURROUNDINGS * self.scale_)

    def _probability(self, recent: Frames, field: Mask, n_views: int = 1) -> Frames:
        device = next(self.network_.parameters()).device
        both = np.concatenate([recent, inner_field(field)[None]]).astype(np.float32)
        scores = mean_over_views(self.network_, torch.from_numpy(both)[None].to(device), n_views)
        probability: Frames = scores.sigmoid().cpu().numpy() * field
        return probability

    def _map(self, recent: Frames, field: Mask, n_views: int = 1) -> Frames:
        """Return the map of the newest of some frames."""
        least = self.least_area * picture_scale(field.shape) ** 2
        return specks_below(self._probability(recent, field, n_views), self.threshold_, least)

    def _freed(self, moments: list[Background], number: int) -> list[Background]:
        self.network_.eval()
        seeds = (derive_seed(self.random_state, "freed", number, k) for k in range(len(moments)))
        return [moment.without_found(self._probability, seed) for moment, seed in zip(moments, seeds, strict=True)]

    def _lessons(self, moments: list[Background], n_rows: int, part: str) -> ImplantLessons:
        law = self._law().scaled(self.scale_)
        side = min(_CROP, *(min(moment.field.shape) for moment in moments))
        return ImplantLessons(moments, law, n_rows, side, self.raw_share, derive_seed(self.random_state, part))

    def _learn_implants(self, moments: list[Background], name: str, number: int) -> History:
        plan = ImplantRound(
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=derive_seed(self.random_state, "training", number),
            sparse_weight=_DOUBT_SPARSE if self.lesson == "both" else 0.0,
            tv_weight=_DOUBT_TV if self.lesson == "both" else 0.0,
            device=require_device(self.device),
            title=f"vessels put into frames, round {number + 1} of {self.n_rounds}" if self.shown else "",
            checkpoint=self._file(f"{name}-{number}"),
            checkpoint_seconds=self.checkpoint_seconds,
        )
        lessons = self._lessons(moments, n_rows(self.n_steps, self.batch_size), f"round-{number}")
        return train_on_implants(self.network_, lessons, plan)

    def _learn_layer(self, network: LayerNetwork, given: list[Recording], name: str) -> History:
        lesson = PriorLesson(
            n_epochs=max(1, self.n_steps // _STEPS_A_PASS),
            batch_size=_LAYER_BATCH,
            learning_rate=self.learning_rate,
            seed=derive_seed(self.random_state, "training"),
            side=_LAYER_SIDE,
        )
        return train_layer(network, given, lesson, self._file(name), self.checkpoint_seconds)

    def _file(self, name: str) -> Path | None:
        return None if self.checkpoint is None else Path(self.checkpoint) / f"{name}.safetensors"

    def _forget(self, name: str) -> None:
        if self.checkpoint is not None and self.lesson != "prior":
            for number in range(self.n_rounds):
                (Path(self.checkpoint) / f"{name}-{number}.done").unlink(missing_ok=True)

    def _choose_threshold(self, moments: list[Background]) -> None:
        lessons = self._lessons(moments, _N_TRIALS, "threshold")
        maps, truth, fields = [], [], []
        for number in range(_N_TRIALS):
            x, known = lessons.row(number)
            maps.append(self._probability(x[:-1], x[-1] > 0))
            truth.append(known[0] > 0)
            fields.append(known[1] > 0)
        given = None if self.lesson == "prior" else _EVEN_CHANCE
        self.threshold_, self.implant_dice_ = choose_cut(maps, truth, fields, given)

    def _require_options(self) -> None:
        bounds = {
            "lesson": self.lesson in {"implants", "prior", "both"},
            "n_steps": self.n_steps >= 1,
            "n_rounds": self.n_rounds >= 1,
            "n_frames": 1 <= self.n_frames <= _MOST_FRAMES and not (self.lesson == "prior" and self.n_frames > 1),
            "least_area": self.least_area >= 0,
            "n_views": 1 <= self.n_views <= _MOST_VIEWS,
            "raw_share": 0 <= self.raw_share <= 1,
        }
        for name, fits in bounds.items():
            if not fits:
                value = getattr(self, name)
                raise InputError(f"VesselEnhancer: {name} = {value!r} is out of range. See its description.")
