"""Instances of many images as one COCO file: masks by run lengths, boxes, areas, confidences."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_unique
from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import read_json, write_text
from kotowari.formats.memory import require_bytes
from kotowari.formats.run_length import decode_runs, encode_runs, runs_from_text, runs_to_text

__all__ = ["CocoInstances", "read_coco", "write_coco"]

Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class CocoInstances:
    """Instances image by image, in the order of the file.

    Parameters
    ----------
    images
        File names.
    labels
        One an image, shape ``(height, width)``, int32: 0 is background, 1 .. n the instances in the order of the file.
    confidence
        One an image, shape ``(n,)``, float32; NaN where the file tells none.
    category
        One an image, the name of the category of every instance.
    notes
        What could not be kept.
    """

    images: tuple[str, ...]
    labels: tuple[npt.NDArray[np.int32], ...]
    confidence: tuple[npt.NDArray[np.float32], ...]
    category: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def write_coco(
    path: Path,
    images: Sequence[str],
    labels: Sequence[Labels],
    confidence: Sequence[npt.NDArray[Any]] | None = None,
    *,
    category: str = "cell",
    description: str = "",
) -> None:
    """Replace the file at ``path`` by the instances of several images in one step; the same ones give the same bytes.

    Every instance has its mask as compressed run lengths, ``bbox`` (left, top, width, height in pixels), ``area`` in
    pixels, ``iscrowd`` 0 and, where confidences are given, ``score``. No date is written.

    Parameters
    ----------
    path
        A name that ends in .json.
    images
        File names of the images, all different.
    labels
        One an image, shape ``(height, width)``: 0 is background, 1 .. n the instances. A number that no pixel has is
        left out.
    confidence
        One an image, shape ``(n,)``, in [0, 1]: that of label i stands at i - 1.
    category
        What the instances are.
    description
        Of the set, for the reader.

    Raises
    ------
    ShapeError
        When there are not as many label maps or confidences as images, a map has not two axes, or an image has fewer
        confidences than its largest label.
    InputError
        When file names repeat, labels are no whole numbers from 0, or a confidence lies outside [0, 1].
    RunFolderError
        When the file cannot be written.
    """
    require_unique(images, what="images", where=str(path))
    for name, given in (("labels", labels), ("confidence", confidence)):
        if given is not None and len(given) != len(images):
            raise ShapeError.mismatch("write_coco", name, (f"{len(images)} images",), (len(given),))
    annotations: list[dict[str, Any]] = []
    for number, (image, found) in enumerate(zip(images, labels, strict=True), start=1):
        scores = None if confidence is None else np.asarray(confidence[number - 1], np.float64)
        _require_instances(image, found, scores)
        for label, instance in _instances(found):
            score = {} if scores is None else {"score": round(float(scores[label - 1]), 6)}
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1, **instance, "iscrowd": 0, **score}
            )
    content = {
        "info": {"description": description},
        "licenses": [],
        "images": [
            {"id": number, "file_name": image, "height": found.shape[0], "width": found.shape[1]}
            for number, (image, found) in enumerate(zip(images, labels, strict=True), start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": category, "supercategory": ""}],
    }
    write_text(Path(path), json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_coco(path: Path) -> CocoInstances:
    """Read instances back into label maps.

    Masks may be run lengths, as a string or as a list. Regions marked ``iscrowd`` hold many instances at once and are
    left out; a pixel of two instances goes to the later one. Both are told in ``notes``.

    Raises
    ------
    InputError
        When the file cannot be read, lacks what an instance needs, names an image that it does not list, or holds
        outlines (polygons) in place of run lengths.
    """
    path = Path(path)
    content = read_json(path)
    try:
        images = {image["id"]: image for image in content["images"]}
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        sizes = [(int(image["height"]), int(image["width"])) for image in images.values()]
        grouped: dict[Any, list[dict[str, Any]]] = {number: [] for number in images}
        for instance in content["annotations"]:
            grouped[instance["image_id"]].append(instance)
        crowds = sum(bool(instance.get("iscrowd")) for instance in content["annotations"])
        needed = sum(4 * height * width for height, width in sizes)
        require_bytes(needed, what=f"{path}: label maps of {len(images)} images", remedy="Split the file")
        read = [
            _label_map(path, size, [one for one in group if not one.get("iscrowd")], names)
            for size, group in zip(sizes, grouped.values(), strict=True)
        ]
        files = tuple(str(image["file_name"]) for image in images.values())
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no COCO file of instances (trouble with {error}).") from error
    notes = (f"{crowds} regions of many instances (iscrowd) were left out",) if crowds else ()
    shared = sum(one[3] for one in read)
    if shared:
        notes = (*notes, f"{shared:,} pixels belong to several instances and were given to the later one")
    return CocoInstances(
        files, tuple(one[0] for one in read), tuple(one[1] for one in read), tuple(one[2] for one in read), notes
    )


def _require_instances(image: str, labels: Labels, scores: npt.NDArray[np.float64] | None) -> None:
    if labels.ndim != 2:
        raise ShapeError.mismatch(f"write_coco, {image}", "labels", ("height", "width"), labels.shape)
    if labels.dtype.kind not in "ui" or labels.min(initial=0) < 0:
        raise InputError(f"write_coco: labels of {image} must be whole numbers from 0, got {labels.dtype}.")
    if scores is None:
        return
    if scores.ndim != 1 or len(scores) < labels.max(initial=0):
        wanted = (f"{int(labels.max(initial=0))} or more",)
        raise ShapeError.mismatch(f"write_coco, {image}", "confidence", wanted, scores.shape)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise InputError(f"write_coco: confidences of {image} must lie in 0 .. 1.")


def _instances(labels: Labels) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield label, and mask, area and box of one instance after the other."""
    height, width = labels.shape
    columns = labels.ravel(order="F")
    places = np.flatnonzero(columns)
    order = np.argsort(columns[places], kind="stable")  # each instance's pixels stay in the order of the columns
    places = places[order]
    numbers, starts = np.unique(columns[places], return_index=True)
    for number, own in zip(numbers.tolist(), np.split(places, starts[1:]), strict=False):
        across, down = np.divmod(own, height)
        left, top = int(across[0]), int(down.min())
        box = [left, top, int(across[-1]) - left + 1, int(down.max()) - top + 1]
        text = runs_to_text(encode_runs(own, height * width))
        yield number, {"segmentation": {"size": [height, width], "counts": text}, "area": len(own), "bbox": box}


def _label_map(
    path: Path, size: tuple[int, int], instances: list[dict[str, Any]], names: dict[Any, str]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], tuple[str, ...], int]:
    """Return labels, confidences, categories, and how many pixels were claimed twice."""
    labels = np.zeros(size, np.int32, order="F")
    flat = labels.ravel(order="K")
    shared = 0
    for number, instance in enumerate(instances, start=1):
        mask = _mask(instance["segmentation"], size, f"{path}: instance {instance['id']}")
        shared += int(np.count_nonzero(flat[mask]))
        flat[mask] = number
    scores = np.array([instance.get("score", np.nan) for instance in instances], np.float32)
    kinds = tuple(names[instance["category_id"]] for instance in instances)
    return np.ascontiguousarray(labels), scores, kinds, shared


def _mask(segmentation: Any, size: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    if isinstance(segmentation, list):
        raise InputError(f"{where} is an outline (polygon), where a mask of run lengths is read. Convert it.")
    if tuple(segmentation["size"]) != size:
        raise InputError(f"{where} has a mask of {segmentation['size']} in an image of {list(size)} (height, width).")
    counts = segmentation["counts"]
    lengths = runs_from_text(counts, where) if isinstance(counts, str) else [int(count) for count in counts]
    return decode_runs(lengths, size[0] * size[1], where)
