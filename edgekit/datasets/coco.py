"""COCO annotations: a ``.json`` with pictures beside it (or in ``images/``) and boxes as labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.datasets.pictures import read_bytes
from edgekit.datasets.source import Content, Source, inside
from edgekit.errors import InputError


def open_coco(path: Path) -> Source:
    """Labels are lists of boxes {category, bbox: [x, y, width, height] in pixels, area, iscrowd}; ``category`` is the
    place of its id among the sorted ids, and ``classes`` are the names in that order.

    Raises:
        InputError: not JSON, not COCO's structure, or a picture that is not there.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        categories = sorted(data["categories"], key=lambda category: category["id"])
        images = sorted(data["images"], key=lambda image: image["id"])
        annotations = data["annotations"]
        place = {category["id"]: index for index, category in enumerate(categories)}
        boxes: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in images}
        for annotation in annotations:
            boxes[annotation["image_id"]].append(
                {
                    "category": place[annotation["category_id"]],
                    "bbox": [float(number) for number in annotation["bbox"]],
                    "area": float(annotation.get("area", 0.0)),
                    "iscrowd": int(annotation.get("iscrowd", 0)),
                }
            )
        names = [str(image["file_name"]) for image in images]
        classes = tuple(str(category["name"]) for category in categories)
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}", where=str(path), code="unreadable_data") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a COCO annotation file ({type(error).__name__}: {error})",
            where=str(path),
            code="unreadable_data",
        ) from error
    if not names:
        raise InputError(f"{path} lists no pictures", where=str(path), code="empty_data")
    files = [_find(path, name) for name in names]
    labels = [boxes[image["id"]] for image in images]

    def read(index: int) -> tuple[Content, Any]:
        return read_bytes(files[index]), labels[index]

    return Source(path, names, read, labelled=True, classes=classes)


def _find(listing: Path, name: str) -> Path:
    for folder in (listing.parent, listing.parent / "images"):
        found = inside(folder, name, listing)
        if found.is_file():
            return found
    raise InputError(
        f"{listing} lists {name}, which is neither beside it nor in images/", where=str(listing), code="missing_file"
    )
