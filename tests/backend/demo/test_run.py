"""The demonstration's folder, and what it says."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from backend.demo.label_studio_server import DemoError
from backend.demo.run import DemoState, _print, run_demo
from backend.progress import silent


@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_in_which_a_demo_runs_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    DemoState(project=7).save(tmp_path)
    (tmp_path / "redis").mkdir()
    before = (tmp_path / "demo.json").read_text()
    with (tmp_path / "lock").open("a") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        with pytest.raises(DemoError, match=f"A demo runs in the folder {tmp_path}") as raised:
            run_demo(
                folder=tmp_path,
                label_studio_env=tmp_path / "env",
                dataset=None,
                fresh=fresh,
                wait=False,
                progress=silent,
                report=None,
            )
    assert "--data-dir" in raised.value.hint
    assert (tmp_path / "demo.json").read_text() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["demo.json", "lock", "redis"]


def test_a_damaged_state_is_explained(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(json.dumps({"unknown": 1}))
    with pytest.raises(DemoError, match="is damaged") as raised:
        DemoState.load(tmp_path)
    assert "--fresh" in raised.value.hint


@pytest.mark.parametrize(
    ("consensus", "is_green", "said"),
    [(0.9, True, ""), (0.8, False, "is no better than"), (0.7, False, "is worse than")],
)
def test_only_a_better_consensus_is_green(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    consensus: float,
    is_green: bool,
    said: str,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    result: dict[str, Any] = {
        **dict.fromkeys(("num_tasks", "num_labels", "num_annotators", "num_labeled"), 1),
        **dict.fromkeys(("title", "consensus_tab", "backend", "model_version"), "x"),
        **dict.fromkeys(("bad_annotators", "worst_annotators", "most_doubtful"), ()),
        "majority_vote_accuracy": 0.8,
        "consensus_accuracy": consensus,
        "login": {"email": "x", "password": "x"},
        "annotator_login": None,
    }
    _print(result, tmp_path, wait=False)
    shown = capsys.readouterr().out
    assert (f"\x1b[32m{100 * consensus:.1f} %" in shown) is is_green
    assert ("than the majority vote" in shown) is bool(said)
    assert said in shown
