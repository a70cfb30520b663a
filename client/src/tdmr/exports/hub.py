"""A folder as Hugging Face's hub keeps models, which `timm.create_model` loads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tdmr.errors import NoModel, TdmrError
from tdmr.exports.record import Record, is_model_file, lacking

_WEIGHTS, _TIMM_WEIGHTS = "student.safetensors", "model.safetensors"
_UNUSED = ("model_card.html", "reprogrammed.safetensors")


@dataclass(frozen=True)
class Hub:
    """A model folder: the card as README.md, config.json and model.safetensors for timm, and the student's other files.

    `timm.create_model("local-dir:<folder>", pretrained=True)` gives the student, and so does "hf-hub:<repository>" once
    it is pushed. Files that name images of the data set stay behind.

    Args:
        folder: is made where it is not there.
        student: which one, of a job with several.
        licence: under which you publish it, as the hub names it: `apache-2.0`. `unknown` unless given.
        push: a repository, `you/flowers`. It is made, for you alone, where it is not there.
    """

    folder: str | os.PathLike[str]
    student: str | None = None
    licence: str | None = None
    push: str | None = None

    def check(self) -> None:
        if self.push is None:
            return
        try:
            import huggingface_hub  # noqa: F401
        except ImportError:
            raise lacking("huggingface_hub", "hub") from None

    def wants(self, name: str) -> bool:
        return is_model_file(name) and not name.endswith(_UNUSED)

    def write(self, record: Record) -> str:
        """
        Raises:
            NoModel: the job has no student, or several and none is named.
        """
        source, folder = self._source(record), Path(self.folder)
        manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
        for path in sorted(source.rglob("*")):
            if path.is_file():
                target = folder / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target.with_name(_TIMM_WEIGHTS) if path.name == _WEIGHTS else target)
        config = json.dumps(timm_config(manifest), indent=2, ensure_ascii=False)
        (folder / "config.json").write_text(config + "\n", encoding="utf-8")
        card = folder / "model_card.md"
        name = f"hf-hub:{self.push}" if self.push else f"local-dir:{folder.as_posix()}"
        text = _readme(card.read_text(encoding="utf-8"), name, self.licence)
        card.unlink()
        (folder / "README.md").write_text(text, encoding="utf-8")
        return str(folder) if self.push is None else _pushed(folder, self.push)

    def _source(self, record: Record) -> Path:
        students = record.spec.get("students") or ()
        if self.student is not None and self.student not in (*students, record.spec.get("student")):
            raise NoModel(f"The job has no student '{self.student}'.")
        if self.student is None and students:
            raise NoModel(f"The job has several students. Name one: {', '.join(students)}.")
        folder = record.folder
        if folder is not None and students:
            folder /= str(self.student)
        if folder is None or not (folder / _WEIGHTS).is_file():
            raise NoModel(
                "The job has no student to export: it has not succeeded, trains none, or its files were deleted."
            )
        return folder


def timm_config(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What timm reads from a model's folder, made of a student's manifest."""
    student, seen, classes = manifest["student"], manifest["preprocessing"], manifest["classes"]
    side = seen["center_crop"]
    return {
        "architecture": student["architecture"],
        "num_classes": len(classes),
        "label_names": classes,
        "model_args": student.get("arguments") or {},
        "pretrained_cfg": {
            "num_classes": len(classes),
            "input_size": [3, side, side],
            "interpolation": seen["interpolation"],
            "crop_pct": side / seen["resize_short_side"],
            "crop_mode": "center",
            "mean": seen["mean"],
            "std": seen["std"],
        },
    }


def _readme(card: str, name: str, licence: str | None) -> str:
    """The card with the lines for timm before its other usage, under the name of the weights here."""
    if licence is not None:
        card = card.replace('license: "unknown"', f"license: {json.dumps(licence)}", 1)
    usage = f"""\
## Usage

With timm:

```python
import timm

model = timm.create_model({json.dumps(name)}, pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
```

"""
    return card.replace("## Usage\n\n", usage, 1).replace(f"`{_WEIGHTS}`", f"`{_TIMM_WEIGHTS}`")


def _pushed(folder: Path, repository: str) -> str:
    from huggingface_hub import HfApi

    hub = HfApi()
    try:
        address = hub.create_repo(repository, private=True, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:  # of the network, of HTTP, of a name that is none: each its own kind
        raise TdmrError(f"{folder} is written, but was not pushed to {repository}: {error}") from error
    return str(address)
