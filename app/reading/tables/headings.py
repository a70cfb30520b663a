"""What the columns of a table are called that hold its images, its classes or its splits."""

import re

from app.domain.dataset import Split
from app.reading.listing import stem_of
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
"""Words that leave no doubt: a column `species` beside a `label` is told, and nothing is asked."""
WEAK = frozenset(("type", "kind", "level", "grade", "variety", "expression"))
"""Words for a class only where no better one stands beside them."""
SELDOM_ALONE = frozenset(("genus", "cultivar", "y"))
"""Words for a class that do not outrank a weak one: a `variety` says more than its `genus`."""
METADATA = frozenset(
    map(
        bare,
        _names(
            "sex gender age author photographer creator owner annotator labeller labeler user source origin site "
            "hospital location place city region country language lang licence license camera device scanner lens "
            "weather date time year month day hour season timestamp width height size orientation format view angle"
        ),
    )
)
"""About a picture, not what it shows; never a rival of a column that is called like a class."""
PLURAL = frozenset(("tags", "labels", "classes", "categories", "findings", "findinglabels", "keywords", "attributes"))
"""Words for more than one class."""
_ABOUT_DATA = frozenset(
    _names(
        "readme license licenses licence licences attribution attributions credit credits note notes notice changelog "
        "copying copyright citation citations disclaimer acknowledgements acknowledgments"
    )
)
_BESIDE_THESE = frozenset(
    _names("image images img photo photos picture pictures data dataset file files info list third party en de fr es")
)


def is_about_data(file: str) -> bool:
    """Whether a file is called like a text about the data set, such as `README_de.txt` or `image_credits.csv`: what
    stands behind a path there is no label."""
    words = set(re.findall(r"[^\W\d_]+", folded(stem_of(file)).replace("read_me", "readme")))
    return not words.isdisjoint(_ABOUT_DATA) and words <= _ABOUT_DATA | _BESIDE_THESE
