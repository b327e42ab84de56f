"""The proof of the image says why it cannot be had; `make prove-image` has it."""

import os
from pathlib import Path

import pytest

from docker.dockerfile import DockerfileError, parse
from docker.prove import Image, build, cannot_run


def test_only_root_can_prove_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root" in cannot_run()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as this")
def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no debootstrap here; install the package debootstrap" in cannot_run()


def test_another_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError, match="FROM alpine"):
        build(parse("FROM alpine\nRUN true"), tmp_path, tmp_path)


def test_a_command_runs_as_the_images_user_with_its_environment_alone() -> None:
    image = Image(Path("/root-of-it"), {"PATH": "/bin"}, user="1:2", folder="/data")
    command = image.chroot(["crowdlab", "web"], {"PORT": "1"})
    assert command[: command.index("/usr/bin/env")] == [
        *("chroot", "--userspec=1:2", "--groups=", "/root-of-it")
    ]
    rest = command[command.index("/usr/bin/env") + 1 :]
    assert rest == ["-i", "--chdir=/data", "PATH=/bin", "PORT=1", "crowdlab", "web"]
