"""A training worker as `python -m worker` starts it, but for what trains: the child of tests/integration/trainer.py.

python training_worker.py FOLDER, where FOLDER says what that child does half way
"""

import sys
from pathlib import Path

from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.queue import TRAINING_QUEUE
from worker.__main__ import serve

TRAINER = Path(__file__).parents[1] / "integration" / "trainer.py"
CATALOG = Catalog(
    teachers=(
        TeacherCard(
            name="resnet10t.glyphs62",
            architecture="resnet10t",
            family="resnet",
            parameters=4_900_000,
            input_size=112,
            licence="apache-2.0",
            source="local",
        ),
    ),
    students=(
        StudentCard(name="test_vit", family="vision_transformer", parameters=370_000),
        StudentCard(name="test_resnet", family="resnet", parameters=470_000),
    ),
)

if __name__ == "__main__":
    trainer = (sys.executable, str(TRAINER), f"obeys {sys.argv[1]}")
    catalog = ("sh", "-c", 'printf %s "$0"', CATALOG.model_dump_json())  # whatever options follow
    sys.exit(serve(TRAINING_QUEUE, command=trainer, catalog=catalog))
