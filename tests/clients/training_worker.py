"""A training worker that offers the networks of the page's job, and trains with the stand-in of the fault tests.

python training_worker.py FOLDER
"""

import sys
from pathlib import Path

from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.queue import TRAINING_QUEUE
from worker.__main__ import serve

TRAINER = Path(__file__).parents[1] / "integration" / "trainer.py"
TEACHER = TeacherCard(name="resnet10t.glyphs62", architecture="resnet10t", family="resnet", input_size=32)
STUDENT = StudentCard(name="mobilenetv3_small_050", family="mobilenetv3", parameters=569_016)
CATALOG = Catalog(teachers=(TEACHER,), students=(STUDENT,))

if __name__ == "__main__":
    trainer = (sys.executable, str(TRAINER), f"obeys {sys.argv[1]}")
    catalog = ("sh", "-c", 'printf %s "$0"', CATALOG.model_dump_json())  # whatever options follow
    sys.exit(serve(TRAINING_QUEUE, command=trainer, catalog=catalog))
