"""What the API's document says of the body of `POST /v1/datasets`."""

from app.api.openapi import BINARY
from app.api.uploads.intake import ARCHIVE_TYPES, DatasetFromAddress, DatasetFromUpload
from app.api.uploads.options import ALSO_METADATA, ENCODING, LABELS_COLUMN, LAYOUT, STRETCH, UNLABELLED_CLASSES

_FORM = {
    "title": "DatasetUpload",
    "description": "An archive of labelled images, as a form.",
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            **BINARY,
            "description": "zip, tar, tar.gz or tar.zst: one folder per class, optionally inside `train/`, `val/` and "
            "`test/`, with an optional `unlabeled/`; images with a table that names them; the export of a labelling "
            "tool; or a single parquet file with images and labels.",
        },
        "name": {"type": "string", "maxLength": 256, "description": "Default: the name of the file."},
        "layout": {"type": "string", "maxLength": 256, "description": f"{LAYOUT} {ALSO_METADATA}"},
        "encoding": {"type": "string", "maxLength": 40, "description": ENCODING},
        "labels_column": {"type": "string", "maxLength": 256, "description": LABELS_COLUMN},
        "unlabelled_classes": {
            "type": "string",
            "maxLength": 4096,
            "description": f"{UNLABELLED_CLASSES} With commas between them.",
        },
        "stretch": {"type": "string", "enum": ["true", "false"], "description": STRETCH},
    },
}
DATASET_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {
                "schema": {"anyOf": [DatasetFromUpload.model_json_schema(), DatasetFromAddress.model_json_schema()]}
            },
            **{media_type: {"schema": BINARY} for media_type in ARCHIVE_TYPES},
        },
    }
}
