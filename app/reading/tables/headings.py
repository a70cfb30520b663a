"""What the columns of a table are called that hold its images, its classes or its splits."""

import re

from app.domain.dataset import Split
from app.reading.words import folded


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


PATH_NAMES = _names(
    "path file_name filename filepath file_path image_path img_path image_name img_name image file fname "
    "image_file image_id imageid img id_code id image_url url img_url photo_url picture_url uri link name img_id "
    "photo picture isic_id uuid"
)
LABEL_NAMES = _names(
    "label class class_name classname label_name label_str label_text class_str class_text text_label str_label "
    "name_label labels category category_name choice target breed diagnosis "
    "dx species binomial scientific_name common_name variety tag tags classification class_label annotation "
    "ground_truth groundtruth gt klasse clase etiqueta etiquette categorie categoria y class_id classid label_id "
    "category_id target_class labelname disease emotion expression kind type genus cultivar level grade fine_label "
    "finding_labels finding"
)
"""Words for a class, the likelier first; a heading counts without case, accents and what is no letter."""
SPLIT_NAMES = _names(
    "split set subset partition usage phase dataset data_set data_split fold purpose kfold k_fold folds cv_fold "
    "split_name train_test train_val_test train_test_split"
)
FLAG_NAMES = {
    "is_valid": Split.VAL,
    "is_val": Split.VAL,
    "is_validation": Split.VAL,
    "is_test": Split.TEST,
    "is_train": Split.TRAIN,
    "is_training": Split.TRAIN,
}
"""Columns with a yes or a no, and the split that a yes tells."""


def bare(heading: str) -> str:
    return re.sub(r"[\W_]+", "", folded(heading))


BARE_LABEL_NAMES = frozenset(map(bare, LABEL_NAMES))
SAY_SO = frozenset(
    map(bare, ("label", "class", "class_name", "label_name", "label_str", "label_text", "labels", "class_label"))
)
"""Words that leave no doubt: a column `type` beside a `label` is no second class."""
PLURAL = frozenset(("tags", "labels", "classes", "categories", "findings", "findinglabels", "keywords", "attributes"))
"""Words for more than one class."""
