"""Requests as people send them, for the OpenAPI document."""

NEW_JOBS = {
    "shortest": {
        "summary": "A minimal job",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "student": "mobilenetv3_small_050",
        },
    },
    "digits": {
        "summary": "Small images that must not be flipped, exported to ONNX only",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "student": "mobilenetv3_small_050",
            "image_size": 32,
            "views": {"hflip": False},
            "export": {"formats": ["onnx"]},
            "metadata": {"owner": "ann"},
        },
    },
    "several": {
        "summary": "Three students from one teacher, reprogrammed once",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "students": ["mobilenetv3_small_050", "mobilenetv3_large_100", "resnet18"],
            "pretrained": True,
            "balance": "sampling",
        },
    },
    "teachers": {
        "summary": "Two teachers, as much each as the validation images ask for",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teachers": ["vit_small_patch14_dinov2.lvd142m", "resnet50.a1_in1k"],
            "student": "mobilenetv3_small_050",
        },
    },
    "constrained": {
        "summary": "The most accurate of three students within 10 ms and 8 MB",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "students": ["mobilenetv3_small_050", "mobilenetv3_large_100", "resnet18"],
            "constraints": {"max_latency_ms": 10, "max_bytes": 8000000},
        },
    },
    "probe": {
        "summary": "The accuracy of the frozen teacher on this data; trains no student",
        "value": {
            "dataset_id": "ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC",
            "teacher": "vit_small_patch14_dinov2.lvd142m",
            "method": "probe",
        },
    },
}
