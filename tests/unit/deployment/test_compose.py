"""docker-compose.yml says only what the code can do, and keeps what it promises."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import fsspec
import pytest

from app.settings import Settings

Services = dict[str, dict[str, Any]]
Interpolate = Callable[[Any, Mapping[str, str]], Any]
SECRETS = {"POSTGRES_PASSWORD": "postgres1", "REDIS_PASSWORD": "redis1", "TDMR_API_KEY": "key1"}
MLFLOW_KEYS = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"}
START_SECONDS = 60


class TestFile:
    def test_is_what_the_compose_specification_allows(self, root: Path) -> None:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
        checked = subprocess.run([*command, root / "docker-compose.yml"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout

    def test_runs_every_part(self, services: Services) -> None:
        assert {name for name, service in services.items() if "profiles" not in service} == {
            *("migrate", "api", "worker-datasets", "worker-training", "postgres", "redis"),
        }
        assert {name for name, service in services.items() if service.get("profiles") == ["s3"]} == {"s3", "s3-bucket"}

    def test_starts_commands_that_there_are(self, ours: Services, parse: Callable[[list[str]], click.Context]) -> None:
        commands = [service["command"] for service in ours.values()]
        checks = [service["healthcheck"]["test"][1:] for service in ours.values() if "healthcheck" in service]
        tdmr = [command for command in commands + checks if command[0] == "tdmr"]
        assert len(tdmr) == 6
        for command in tdmr:
            parse(command)

    def test_sets_only_settings_that_there_are(self, ours: Services) -> None:
        names = {f"TDMR_{name.upper()}" for name in Settings.model_fields}
        of_libraries = {"AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
        of_libraries |= MLFLOW_KEYS
        for service in ours.values():
            assert set(service["environment"]) <= names | of_libraries | {"FORWARDED_ALLOW_IPS"}

    def test_tells_those_of_mlflow_who_log_jobs_or_refuse_them(self, services: Services) -> None:
        """The import worker writes; the API needs to know that there is a server, and no password."""
        knowing = {
            name: {key for key in service.get("environment", {}) if "MLFLOW" in key}
            for name, service in services.items()
        }
        assert {name: keys for name, keys in knowing.items() if keys} == {
            "api": {"TDMR_MLFLOW_URI"},
            "worker-datasets": {"TDMR_MLFLOW_URI", *MLFLOW_KEYS},
        }


class TestOrder:
    def test_starts_nothing_before_the_migration(self, ours: Services) -> None:
        for name in set(ours) - {"migrate", "s3-bucket"}:
            assert ours[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}

    def test_waits_only_for_services_that_tell_their_health_or_end(self, services: Services) -> None:
        for service in services.values():
            for other, how in service.get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    assert "healthcheck" in services[other]
                else:
                    assert how["condition"] == "service_completed_successfully"
                    assert services[other]["restart"] == "no"

    def test_needs_no_service_of_a_profile_that_is_off(self, services: Services) -> None:
        for service in services.values():
            for other, how in service.get("depends_on", {}).items():
                if services[other].get("profiles", []) != service.get("profiles", services[other].get("profiles", [])):
                    assert how["required"] is False

    def test_asks_whatever_keeps_running_for_its_health(self, services: Services) -> None:
        for name, service in services.items():
            assert ("healthcheck" in service) == (service["restart"] != "no"), name

    def test_gives_a_stopping_job_longer_than_its_own_grace(self, services: Services) -> None:
        training = services["worker-training"]
        grace = float(training["environment"]["TDMR_STOP_GRACE_SECONDS"])
        assert int(training["stop_grace_period"].rstrip("s")) > 2 * grace, "the checkpoint is stored after it"


class TestSecrets:
    def test_nothing_starts_without_them(self, compose: dict[str, Any], interpolate: Interpolate) -> None:
        interpolate(compose, SECRETS)
        for missing in SECRETS:
            given = {name: value for name, value in SECRETS.items() if name != missing}
            with pytest.raises(LookupError, match=missing):
                interpolate(compose, given)
            with pytest.raises(LookupError, match=missing):
                interpolate(compose, given | {missing: ""})

    def test_none_stands_in_the_file(self, compose: dict[str, Any], interpolate: Interpolate) -> None:
        """With everything that comes from outside left empty, no value that is a secret is left."""
        filled = interpolate(compose, dict.fromkeys(SECRETS, "\0"))
        for service in filled["services"].values():
            for name, value in service.get("environment", {}).items():
                if re.search("PASSWORD|KEY|SECRET|AUTH", name):
                    assert value in {None, "", "\0"}, name

    def test_both_sides_mean_the_same(self, compose: dict[str, Any], interpolate: Interpolate) -> None:
        keys = {"AWS_ACCESS_KEY_ID": "id1", "AWS_SECRET_ACCESS_KEY": "secret1"}
        filled = interpolate(compose, SECRETS | keys)["services"]
        assert (
            f"tdmr:{filled['postgres']['environment']['POSTGRES_PASSWORD']}@postgres:5432/tdmr"
            in (filled["api"]["environment"]["TDMR_DATABASE_URL"])
        )
        assert (
            f":{filled['redis']['environment']['REDISCLI_AUTH']}@redis:"
            in (filled["api"]["environment"]["TDMR_BROKER_URL"])
        )
        assert filled["s3"]["environment"]["ROOT_ACCESS_KEY_ID"] == "id1"
        assert filled["s3"]["environment"]["ROOT_SECRET_ACCESS_KEY"] == "secret1"

    def test_only_the_api_knows_the_clients_key(self, services: Services) -> None:
        assert [name for name, service in services.items() if "TDMR_API_KEY" in service.get("environment", {})] == [
            "api"
        ]


class TestHardening:
    def test_holds_for_every_container(self, services: Services, stages: dict[str, str]) -> None:
        for name, service in services.items():
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert any(mount.startswith("/tmp") for mount in service["tmpfs"]), name
            limits = service["deploy"]["resources"]["limits"]
            assert set(limits) == {"cpus", "memory", "pids"}, name
            user = (
                service.get("user") or re.findall(r"^USER (\S+)", stages[service["build"]["target"]], re.MULTILINE)[-1]
            )
            assert user.split(":")[0] not in {"", "0", "root"}, name

    def test_a_child_that_needs_too_much_meets_its_worker_s_limit_first(
        self, ours: Services, interpolate: Interpolate
    ) -> None:
        for name in ("worker-datasets", "worker-training"):
            service = interpolate(ours[name], SECRETS)
            gibibytes = float(service["deploy"]["resources"]["limits"]["memory"].removesuffix("g"))
            assert float(service["environment"]["TDMR_CHILD_MEMORY_GB"]) * 1e9 < gibibytes * 2**30 - 0.5e9

    def test_shows_nothing_but_the_api_and_that_on_loopback(self, services: Services) -> None:
        assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
            "api": ["127.0.0.1:8000:8000"]
        }

    def test_what_keeps_data_reaches_no_other_network(self, compose: dict[str, Any], services: Services) -> None:
        assert compose["networks"]["stores"]["internal"] is True
        for name in ("postgres", "redis", "s3"):
            assert services[name]["networks"] == ["stores"]

    def test_reserves_a_gpu_for_training(self, services: Services) -> None:
        training = services["worker-training"]
        (device,) = training["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        assert training["environment"]["TDMR_DEVICE"] == "cuda:0"

    def test_mounts_volumes_that_there_are_where_the_image_has_folders(
        self, compose: dict[str, Any], services: Services, ours: Services, dockerfile: str
    ) -> None:
        made = re.search(r"install -d -o tdmr -g tdmr (.*)", dockerfile)
        assert made is not None
        for name, service in services.items():
            for mount in service.get("volumes", []):
                volume, target = mount.split(":")
                assert volume in compose["volumes"]
                assert name not in {*ours, "s3"} or target in made[1].split()


class TestRedis:
    """As it is started, by a real server and a real client."""

    @pytest.fixture
    def port(self, services: Services, interpolate: Interpolate, tmp_path: Path) -> Iterator[int]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        shell, option, line = interpolate(services["redis"]["command"], {})
        line += f" --port {port} --bind 127.0.0.1 --dir '{tmp_path}'"
        server = subprocess.Popen(
            [shell, option, line], env={**os.environ, "REDISCLI_AUTH": "letters1"}, stdout=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline and server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield port
        finally:
            server.kill()
            server.wait()

    def ask(self, services: Services, port: int, **environment: str) -> int:
        check, *arguments = services["redis"]["healthcheck"]["test"][1:]
        clean = {name: value for name, value in os.environ.items() if name != "REDISCLI_AUTH"}
        command = [check, "-h", "127.0.0.1", "-p", str(port), *arguments]
        return subprocess.run(command, env=clean | environment, capture_output=True, check=False).returncode

    def test_answers_those_who_know_the_password_only(self, services: Services, port: int) -> None:
        assert self.ask(services, port, REDISCLI_AUTH="letters1") == 0
        assert self.ask(services, port) != 0
        assert self.ask(services, port, REDISCLI_AUTH="another") != 0


class TestBucket:
    def make(self, services: Services, url: str) -> subprocess.CompletedProcess[str]:
        python, *arguments = services["s3-bucket"]["command"]
        assert python == "python"
        environment = {**os.environ, "TDMR_STORAGE_URL": url}
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    def test_is_made_and_may_be_made_again(self, services: Services, s3: str) -> None:
        assert [self.make(services, "s3://of-compose").returncode for _ in range(2)] == [0, 0]
        assert fsspec.filesystem("s3").exists("s3://of-compose")

    def test_refuses_a_folder_in_its_place(
        self, services: Services, ours: Services, interpolate: Interpolate, s3: str
    ) -> None:
        """With the profile alone and no TDMR_STORAGE_URL everything would go on in the folder, unnoticed."""
        default = interpolate(ours["s3-bucket"]["environment"], SECRETS)["TDMR_STORAGE_URL"]
        assert default == "file:///blobs"
        assert self.make(services, default).returncode != 0
