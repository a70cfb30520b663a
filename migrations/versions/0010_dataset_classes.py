"""The classes of a data set in a table of their own, and what a list says of it beside its report"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"

LISTED = 200
"""Classes that stay in the report."""
SPLITS = ("train", "val", "test")
JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

DATASETS = sa.table("datasets", sa.column("id"), sa.column("summary", JSON), sa.column("report", JSON))
CLASSES = sa.table("dataset_classes", *map(sa.column, ("dataset_id", "number", "name", *SPLITS)))


def upgrade() -> None:
    op.create_table(
        "dataset_classes",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        *(sa.Column(split, sa.BigInteger(), nullable=False) for split in SPLITS),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_dataset_classes_dataset_id_datasets", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "number", name="pk_dataset_classes"),
    )
    op.add_column("datasets", sa.Column("summary", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))
    for dataset_id, report in _reports():
        names, counts = report["classes"], report["counts"]
        rows = [
            {"dataset_id": dataset_id, "number": number, "name": name}
            | {split: counts.get(split, {}).get(name, 0) for split in SPLITS}
            for number, name in enumerate(names)
        ]
        if rows:
            op.get_bind().execute(CLASSES.insert(), rows)
        totals = {split: sum(images.values()) for split, images in counts.items()}
        kept = {*names[:LISTED], ""}
        report |= {
            "classes": names[:LISTED],
            "class_count": len(names),
            "counts": {split: {k: n for k, n in images.items() if k in kept} for split, images in counts.items()},
            "totals": totals,
        }
        summary = {"images": report["images"], "class_count": len(names), "counts": totals}
        _store(dataset_id, summary=summary, report=report)


def downgrade() -> None:
    for dataset_id, report in _reports():
        of_dataset = sa.select(CLASSES).where(CLASSES.c.dataset_id == dataset_id).order_by(CLASSES.c.number)
        rows = op.get_bind().execute(of_dataset).all()
        report["classes"] = [row.name for row in rows]
        for split in SPLITS:
            if split in report["counts"]:
                report["counts"][split] = {row.name: getattr(row, split) for row in rows}
        del report["class_count"], report["totals"]
        _store(dataset_id, report=report)
    with op.batch_alter_table("datasets") as table:
        table.drop_column("summary")
    op.drop_table("dataset_classes")


def _reports() -> Iterator[tuple[str, dict[str, Any]]]:
    """One at a time: a report may have megabytes."""
    connection = op.get_bind()
    for dataset_id in connection.execute(sa.select(DATASETS.c.id)).scalars().all():
        report = connection.scalar(sa.select(DATASETS.c.report).where(DATASETS.c.id == dataset_id))
        if report is not None:
            yield dataset_id, report


def _store(dataset_id: str, **values: Any) -> None:
    op.get_bind().execute(DATASETS.update().where(DATASETS.c.id == dataset_id).values(**values))
