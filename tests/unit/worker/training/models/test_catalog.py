"""The catalogue is what timm on this machine can build, neither more nor less."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm

from app.domain.catalog import Catalog
from worker.training.models.catalog import build, present_architectures, read_catalog, read_known, write_known


def add_teacher(folder: Path, name: str, architecture: str, **kwargs: object) -> None:
    (folder / f"{name}.safetensors").write_bytes(b"weights")
    card = {"file": f"{name}.safetensors", "sha256": "0" * 64, "architecture": architecture, "kwargs": kwargs}
    card |= {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 64, 64], "licence": "MIT", "trained_on": "glyphs"}
    (folder / f"{name}.json").write_text(json.dumps(card))


class TestTheFile:
    def test_was_made_with_the_installed_timm_and_names_each_architecture(self) -> None:
        known = read_known()

        assert known.timm == timm.__version__
        assert set(known.architectures) | set(known.left_out) == set(timm.list_models())

    @pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224", "coatnet_0_rw_224"])
    def test_counts_what_building_it_counts(self, name: str) -> None:
        model = timm.create_model(name, pretrained=False, num_classes=0)

        assert read_known().architectures[name].parameters == sum(p.numel() for p in model.parameters())

    def test_reads_as_it_was_written(self, tmp_path: Path) -> None:
        known = replace(build(["test_resnet", "test_vit"]), left_out={"some_net": "TypeError: no"})

        write_known(known, tmp_path / "architectures.json")

        assert read_known(tmp_path / "architectures.json") == known

    def test_counts_multiply_adds_in_proportion_to_the_work(self) -> None:
        rows = build(["resnet18", "resnet34"]).architectures
        assert rows["resnet18"].multiply_adds == pytest.approx(1.8e9, rel=0.02)  # as published
        assert rows["resnet34"].multiply_adds == pytest.approx(3.7e9, rel=0.02)

    def test_says_why_an_architecture_is_left_out(self) -> None:
        assert "no_such_net" in build(["no_such_net"]).left_out["no_such_net"]


class TestAnotherTimm:
    def test_drops_what_is_gone_and_builds_what_is_new(self) -> None:
        known = read_known()
        rows = {**known.architectures, "gone_net": known.architectures["test_vit"]}
        del rows["test_resnet"]

        present = present_architectures(replace(known, timm="0.0.1", architectures=rows))

        assert present == known.architectures


class TestReadCatalog:
    def test_offers_every_architecture_as_a_student(self) -> None:
        students = {card.name: card for card in read_catalog(hub=False).students}

        assert set(students) == set(read_known().architectures)
        assert students["mobilenetv3_small_050"].family == "mobilenetv3"

    def test_offers_timm_s_teachers_where_there_is_a_hub(self) -> None:
        teachers = {card.name: card for card in read_catalog(hub=True).teachers}

        dinov2 = teachers["vit_small_patch14_dinov2.lvd142m"]
        assert (dinov2.input_size, dinov2.source, dinov2.licence) == (518, "timm", "apache-2.0")
        assert dinov2.family == "vision_transformer"

    def test_offers_local_teachers_alone_without_a_hub(self, tmp_path: Path) -> None:
        add_teacher(tmp_path, "test_vit.glyphs", "test_vit")
        add_teacher(tmp_path, "test_vit.thin", "test_vit", embed_dim=32)
        add_teacher(tmp_path, "unknown.glyphs", "no_such_net")

        catalog = read_catalog(hub=False, models_dir=tmp_path)

        teachers = {card.name: card for card in catalog.teachers}
        assert {card.source for card in catalog.teachers} == {"local"}
        assert teachers["test_vit.glyphs"].parameters == read_known().architectures["test_vit"].parameters
        whole, thin = teachers["test_vit.glyphs"].parameters, teachers["test_vit.thin"].parameters
        assert whole is not None and thin is not None and 0 < thin < whole
        assert "unknown.glyphs" not in teachers
        assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog

    def test_counts_the_parameters_of_the_bundled_teacher(self) -> None:
        (card,) = (card for card in read_catalog(hub=False).teachers if card.name == "resnet10t.glyphs62")
        known = read_known().architectures
        assert card.parameters is not None and 0 < card.parameters < known["resnet10t"].parameters
        assert card.parameters < known["resnet18"].parameters  # so a job with this student is warned

    def test_prefers_the_local_file_to_the_hub(self, tmp_path: Path) -> None:
        add_teacher(tmp_path, "mobilenetv2_100.ra_in1k", "mobilenetv2_100")

        teachers = {card.name: card for card in read_catalog(hub=True, models_dir=tmp_path).teachers}

        assert teachers["mobilenetv2_100.ra_in1k"].source == "local"
