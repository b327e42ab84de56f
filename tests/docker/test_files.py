"""The container files: linted, valid by their schemas, and of one mind."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from redis import Redis
from redis.exceptions import AuthenticationError

from backend.processes import Processes
from backend.settings import Settings, environment_name, load_settings
from backend.store.connection import RedisConnection
from backend.store.embedded import find_redis_server
from backend.web.server import free_port
from docker.prove import COMPOSE_FILE, compose_services, is_in_context
from tests.backend.jobs.test_worker import wait_for

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "docker" / "kubernetes"
RELEASES = ("1.30", "1.37")
SETTINGS = {environment_name(field) for field in Settings.model_fields}


def run(*command: str) -> str:
    """What a program of the environment prints; fails with it."""
    program = shutil.which(command[0], path=str(Path(sys.executable).parent))
    assert program, f"{command[0]} is not installed: make install-dev"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(file: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(file.read_text()) if one]


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    run("hadolint", "docker/Dockerfile")


def test_the_compose_file_is_valid() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE))


def test_without_a_profile_only_the_service_and_its_redis_start() -> None:
    command = ("docker-compose", "-f", str(COMPOSE_FILE), "config", "--services")
    assert set(run(*command).split()) == {"web", "events", "worker", "redis"}


def test_everything_is_label_studio_with_its_database_too() -> None:
    assert set(compose_services()) == {
        *("web", "events", "worker", "redis"),
        *("label-studio", "postgres"),
    }


def test_the_number_of_workers_can_be_chosen() -> None:
    command = ("docker-compose", "-f", str(COMPOSE_FILE), "up", "--help")
    assert "--scale" in run(*command)
    worker = compose_services()["worker"]
    assert worker["deploy"]["replicas"] > 1
    assert "container_name" not in worker
    assert "ports" not in worker


@pytest.mark.parametrize("name", ["web", "events", "worker"])
def test_our_containers_may_nothing_that_they_need_not(name: str) -> None:
    service = compose_services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service  # the image's own, which is not root


@pytest.mark.parametrize("name", ["web", "events", "worker"])
def test_compose_sets_only_what_is_a_setting(name: str) -> None:
    for variable in compose_services()[name]["environment"]:
        assert variable in SETTINGS or variable.removesuffix("_FILE") in SETTINGS


def test_no_secret_is_in_an_environment() -> None:
    for name, service in compose_services().items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASS|SECRET|TOKEN|KEY|REDIS_URL", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.startswith("/run/secrets/")


def test_redis_and_the_database_are_reached_by_nobody_else() -> None:
    services = compose_services()
    for name in ("redis", "postgres"):
        assert "ports" not in services[name]
    assert set(services["redis"]["networks"]) == {"store"}
    assert set(services["postgres"]["networks"]) == {"studio"}
    assert "store" not in services["label-studio"]["networks"]
    networks = yaml.safe_load(COMPOSE_FILE.read_text())["networks"]
    assert networks["store"]["internal"]
    assert networks["studio"]["internal"]


def test_redis_keeps_its_data() -> None:
    command = compose_services()["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_make_secrets_writes_every_secret_that_compose_mounts(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([ROOT / "docker/make-secrets", folder], check=True, capture_output=True)
    declared = yaml.safe_load(COMPOSE_FILE.read_text())["secrets"]
    assert {file.name for file in folder.iterdir()} == set(declared)
    assert folder.stat().st_mode & 0o077 == 0
    password = (folder / "redis_conf").read_text().split()[1]
    assert (folder / "redis_url").read_text().strip() == f"redis://:{password}@redis:6379/0"
    secrets = [(folder / name).read_text() for name in ("webhook_secret", "api_token")]
    assert len({*secrets, password}) == 3
    assert all(len(secret.strip()) == 48 for secret in secrets)


def test_the_service_finds_redis_by_the_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redis-server with the password of one file, the service with the address of the other."""
    subprocess.run([ROOT / "docker/make-secrets", tmp_path], check=True, capture_output=True)
    port = free_port("127.0.0.1", 6379)
    url = (tmp_path / "redis_url").read_text().replace("redis:6379", f"127.0.0.1:{port}")
    (tmp_path / "redis_url").write_text(url)
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "redis_url"))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    command = [find_redis_server(), str(tmp_path / "redis_conf"), *options]
    with Processes() as processes:
        processes.start("redis", command, os.environ, tmp_path / "redis.log")
        wait_for(lambda: _answers(port))
        with pytest.raises(AuthenticationError), Redis(port=port) as stranger:
            stranger.ping()
        with RedisConnection(load_settings()) as connection:
            assert connection.redis.ping()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_make_secrets_keeps_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([ROOT / "docker/make-secrets", tmp_path], check=True, capture_output=True)
        token = tmp_path / "label_studio_api_key"
        if not token.read_text().strip():
            token.write_text("a-token")
            kept = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert kept == {file.name: file.read_text() for file in tmp_path.iterdir()}


def test_the_image_gets_only_what_it_needs() -> None:
    assert is_in_context("backend")
    assert not is_in_context("docker/secrets/api_token")
    assert not is_in_context(".env")
    assert not is_in_context("tests")


def test_kustomization_names_every_manifest_but_the_secret() -> None:
    (kustomization,) = documents(MANIFESTS / "kustomization.yaml")
    present = {file.name for file in MANIFESTS.glob("*.yaml")}
    assert set(kustomization["resources"]) == present - {
        "kustomization.yaml",
        "secret.example.yaml",
    }


@pytest.mark.parametrize("release", RELEASES)
def test_manifests_are_valid(release: str) -> None:
    for file in MANIFESTS.glob("*.yaml"):
        for one in documents(file):
            if one["kind"] != "Kustomization":
                kubernetes_validate.validate(one, release, strict=True)
                assert one["metadata"].get("namespace", "crowdlab") == "crowdlab"


def pods() -> dict[str, dict[str, Any]]:
    """Specs of all pods, by the name of what makes them."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for file in MANIFESTS.glob("*.yaml")
        for one in documents(file)
        if one["kind"] in ("Deployment", "StatefulSet")
    }


def test_pods_run_as_little_as_they_can() -> None:
    assert set(pods()) == {"web", "events", "worker", "redis"}
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not pod["automountServiceAccountToken"], name
        # Kubernetes would set CROWDLAB_PORT, which is a setting, to an address.
        assert not pod["enableServiceLinks"], name
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"], name
            assert not rights["allowPrivilegeEscalation"], name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert "livenessProbe" in container, name
            assert "memory" in container["resources"]["limits"], name


def test_pods_are_started_as_containers_are() -> None:
    services = compose_services()
    for name in ("web", "events", "worker"):
        (container,) = pods()[name]["containers"]
        assert container["args"] == services[name]["command"]
    (redis,) = pods()["redis"]["containers"]
    assert redis["args"][2:6] == services["redis"]["command"][2:6]


def test_pods_get_their_secrets_as_files() -> None:
    settings = documents(MANIFESTS / "settings.yaml")[0]["data"]
    secret = documents(MANIFESTS / "secret.example.yaml")[0]["stringData"]
    mounted = [name for name in settings if name.endswith("_FILE")]
    assert {Path(settings[name]).name for name in mounted} <= set(secret)
    assert {name.removesuffix("_FILE") for name in settings} <= SETTINGS
    for name in ("web", "events", "worker"):
        (container,) = pods()[name]["containers"]
        places = {one["mountPath"] for one in container["volumeMounts"]}
        assert {str(Path(settings[one]).parent) for one in mounted} <= places
