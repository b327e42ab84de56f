import re
import sys
import zipfile
from pathlib import Path

import pytest

import backend
import crowdlab_engine
from tests.engine_package import DEPENDENCIES, ROOT, Environment, build_wheel, faults


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_wheel_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    modules = {f"crowdlab_engine/{path.name}" for path in ROOT.glob("crowdlab_engine/*.py")}
    assert modules | {"crowdlab_engine/py.typed"} <= names
    assert all(name.startswith("crowdlab_engine") for name in names)
    assert f"Version: {crowdlab_engine.__version__}\n" in text
    always = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", text, re.M)
    assert set(always) == DEPENDENCIES
    assert "License-File: LICENSE" in text
    assert "# crowdlab-engine" in text


def test_the_engines_tests_need_nothing_else_of_ours() -> None:
    others = (
        r"^\s*(?:from|import) (backend|benchmarks|docker|docs|tools|tests\.(?!crowdlab_engine))"
    )
    for file in ROOT.glob("tests/crowdlab_engine/*.py"):
        assert re.findall(others, file.read_text(), re.M) == [], file.name


def test_both_distributions_have_one_version() -> None:
    assert backend.__version__ == crowdlab_engine.__version__


@pytest.mark.timeout(900)
def test_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "alone", sys.executable, wheel)
    found = environment.imported()
    assert faults(found) == []
    assert found["path"][0].startswith(str(tmp_path))
    assert found["version"] == [crowdlab_engine.__version__]
    some = ("labels", "crowdlab", "statistics", "blockwise", "examples", "agreement")
    assert "passed" in environment.run_tests(
        *(f"tests/crowdlab_engine/test_{name}.py" for name in some), "-k", "not blocks_give"
    )
