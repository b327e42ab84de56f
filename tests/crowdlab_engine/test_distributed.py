import inspect
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

import dask
from distributed import Client, LocalCluster

from crowdlab_engine import BlockwiseCrowdlab, Crowdlab, MultiannotatorLabels
from crowdlab_engine.blockwise import BlockScores, TaskBlock, array_blocks
from crowdlab_engine.distributed import DistributedCrowdlab, fit_parquet
from tests.crowdlab_engine.abstaining import partly_predicted
from tests.crowdlab_engine.problems import Problem


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Connection to three worker processes."""
    quiet = {"distributed.admin.system-monitor.gil.enabled": False}
    with (
        dask.config.set({"temporary-directory": str(tmp_path_factory.mktemp("dask")), **quiet}),
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
        ) as cluster,
        Client(cluster) as connection,
    ):
        yield connection


@dataclass(frozen=True)
class Given:
    """A partition that is sent along."""

    block: TaskBlock

    def __call__(self) -> TaskBlock:
        return self.block


def partitions_of(blocks: Any) -> list[Given]:
    return [Given(block) for block in blocks]


def handed_back(number: int, scores: BlockScores) -> BlockScores:
    return scores


def assert_same(fitted: DistributedCrowdlab, whole: Crowdlab, order: Any = None) -> None:
    found = fitted.received_

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) for block in found])

    np.testing.assert_array_equal(joined("consensus_label"), whole.consensus_label_)
    np.testing.assert_array_equal(joined("num_annotations"), whole.num_annotations_)
    for name in ("consensus_quality_score", "annotator_agreement"):
        ours, theirs = joined(name), getattr(whole, f"{name}_")
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(
        fitted.annotator_stats_.sort_index(),
        whole.annotator_stats_.sort_index(),
        check_exact=False,
        rtol=0,
        atol=1e-12,
    )
    np.testing.assert_allclose(fitted.model_weight_, whole.model_weight_, rtol=1e-12)
    np.testing.assert_allclose(fitted.annotator_weight_, whole.annotator_weight_, rtol=1e-12)
    np.testing.assert_array_equal(fitted.temperature_, whole.temperature_)


@pytest.mark.parametrize("num_models", [0, 1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"consensus_method": "majority_vote", "ties": "rare"},
        {"quality_method": "agreement"},
        {"calibrate_probs": True},
    ],
)
def test_partitions_give_the_results_of_the_whole(
    client: Client, options: dict[str, Any], num_models: int
) -> None:
    problem = Problem(7, 90, 6, 3)
    models = np.stack([problem.pred_probs, problem.pred_probs[::-1]])
    probs = (None, models[0], models)[num_models]
    truth = np.where(np.arange(90) % 7, -1, 1)
    partitions = partitions_of(array_blocks(problem.labels, probs, truth, tasks_per_block=13))
    fitted = DistributedCrowdlab(**options).fit(partitions, client, handed_back)
    assert_same(fitted, Crowdlab(**options).fit(problem.labels, probs, truth))
    assert fitted.num_labels_ == problem.labels.num_labels


def test_classifiers_may_abstain_in_partitions(client: Client) -> None:
    crowd = partly_predicted()
    partitions = partitions_of(array_blocks(crowd.labels, crowd.partial, tasks_per_block=13))
    options: dict[str, Any] = {"may_abstain": True, "calibrate_probs": True}
    fitted = DistributedCrowdlab(**options).fit(partitions, client, handed_back)
    assert_same(fitted, Crowdlab(**options).fit(crowd.labels, crowd.partial))


def test_chance_draws_what_it_draws_in_memory(client: Client) -> None:
    # Two classes, as frequent, by annotators that agree as often: only chance can tell.
    task = np.repeat(np.arange(40), 2)
    labels = MultiannotatorLabels.from_codes(task, np.tile([0, 1], 40), np.tile([0, 1], 40))
    whole = Crowdlab(consensus_method="majority_vote", random_state=5).fit(labels)
    assert 0 < whole.consensus_label_.sum() < 40
    partitions = partitions_of(array_blocks(labels, tasks_per_block=9))
    generator = np.random.RandomState(5)
    fitted = DistributedCrowdlab("majority_vote", random_state=generator).fit(
        partitions, client, handed_back
    )
    assert_same(fitted, whole)
    expected = np.random.RandomState(5)
    BlockwiseCrowdlab("majority_vote", random_state=expected).fit(
        array_blocks(labels, tasks_per_block=9)
    )
    assert generator.randint(2**31) == expected.randint(2**31)


@dataclass(frozen=True)
class Deadly:
    """A partition whose reader is killed, the first time that it is read for the n-th time."""

    block: TaskBlock
    folder: str
    deadly_call: int

    def __call__(self) -> TaskBlock:
        calls = len(list(Path(self.folder).iterdir()))
        Path(self.folder, str(calls)).touch()
        if calls == self.deadly_call:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.block


@pytest.mark.parametrize("deadly_call", [1, 3])
def test_a_killed_worker_changes_nothing(client: Client, tmp_path: Path, deadly_call: int) -> None:
    problem = Problem(8, 80, 6, 3)
    blocks = list(array_blocks(problem.labels, problem.pred_probs, tasks_per_block=8))
    partitions: list[Callable[[], TaskBlock]] = [Given(block) for block in blocks]
    partitions[4] = Deadly(blocks[4], str(tmp_path), deadly_call)
    fitted = DistributedCrowdlab().fit(partitions, client, handed_back)
    assert len(list(tmp_path.iterdir())) > 4, "nobody was killed"
    assert_same(fitted, Crowdlab().fit(problem.labels, problem.pred_probs))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Problem, Path, Path]:
    problem = Problem(5, 50, 6, 3)
    labels = problem.labels
    table = {"task": labels.task, "annotator": labels.annotator, "label": labels.label}
    frame = pd.DataFrame(table)
    (tmp_path / "labels").mkdir()
    frame.iloc[:60].to_parquet(tmp_path / "labels" / "a.parquet", row_group_size=17)
    frame.iloc[60:].to_parquet(tmp_path / "labels" / "b.parquet", row_group_size=17)
    probs = pd.DataFrame(problem.pred_probs, columns=["p0", "p1", "p2"])
    probs.to_parquet(tmp_path / "probs.parquet", row_group_size=7)
    return problem, tmp_path / "labels", tmp_path / "probs.parquet"


SIZES = {"num_tasks": 50, "num_annotators": 6, "num_classes": 3}


def test_parquet_in_and_out(
    client: Client, files: tuple[Problem, Path, Path], tmp_path: Path
) -> None:
    problem, labels, probs = files
    output = tmp_path / "found"
    options: dict[str, Any] = {"client": client, "pred_probs": probs, "tasks_per_partition": 9}
    fitted = fit_parquet(labels, output, **SIZES, **options)
    whole = Crowdlab().fit(problem.labels, problem.pred_probs)

    consensus = pd.read_parquet(output / "consensus")
    assert consensus["task"].tolist() == list(range(50))
    assert consensus["consensus_label"].tolist() == whole.consensus_label_.tolist()
    assert consensus["num_annotations"].tolist() == whole.num_annotations_.tolist()
    for name in ("consensus_quality_score", "annotator_agreement"):
        np.testing.assert_allclose(consensus[name], getattr(whole, f"{name}_"), rtol=0, atol=1e-12)
    of_labels = pd.read_parquet(output / "label_quality")
    expected = problem.labels
    for name in ("task", "annotator", "label"):
        np.testing.assert_array_equal(of_labels[name], getattr(expected, name))
    quality = whole.label_quality_[expected.sorting]
    np.testing.assert_allclose(of_labels["label_quality"], quality, rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(
        pd.read_parquet(output / "annotators.parquet"), fitted.annotator_stats_
    )
    manifest = json.loads((output / "_SUCCESS").read_text())
    assert sum(part["labels"] for part in manifest["parts"]) == expected.num_labels
    assert {path.name for path in (output / "consensus").iterdir()} == {
        part["name"] for part in manifest["parts"]
    }
    with pytest.raises(FileExistsError, match="pass another folder"):
        fit_parquet(labels, output, **SIZES, **options)


def test_a_failed_fit_leaves_nothing(
    client: Client, files: tuple[Problem, Path, Path], tmp_path: Path
) -> None:
    _, labels, probs = files
    before = sorted(tmp_path.iterdir())
    frame = pd.read_parquet(probs)
    frame.iloc[31] = 0.0
    frame.to_parquet(probs)
    with pytest.raises(ValueError, match=r"row 4 \(task 31\) do not sum to 1"):
        fit_parquet(labels, tmp_path / "found", **SIZES, client=client, pred_probs=probs,
                    tasks_per_partition=9, estimator=DistributedCrowdlab(retries=0))  # fmt: skip
    assert sorted(tmp_path.iterdir()) == before


def test_refusals(client: Client) -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 1])
    more = MultiannotatorLabels.from_codes([0, 0], [0, 2], [0, 1])
    nothing = MultiannotatorLabels.from_codes([], [], [], num_tasks=3, num_classes=2)
    estimator = DistributedCrowdlab(retries=0)
    with pytest.raises(ValueError, match="partition 1 has 3 annotators, 2 classes and 0 models"):
        estimator.fit(partitions_of([TaskBlock(labels), TaskBlock(more)]), client)
    for blocks in ([TaskBlock(nothing)], []):
        with pytest.raises(ValueError, match="no partition has a label"):
            estimator.fit(partitions_of(blocks), client)
    with pytest.raises(ValueError, match="quality_method is 'mean'"):
        DistributedCrowdlab(quality_method="mean").fit([], client)  # type: ignore[arg-type]


def test_parameters_are_those_of_the_estimator_in_memory() -> None:
    ours = dict(inspect.signature(DistributedCrowdlab).parameters)
    assert ours.pop("retries").default == 2
    theirs = inspect.signature(BlockwiseCrowdlab).parameters
    assert {name: one.default for name, one in ours.items()} == {
        name: one.default for name, one in theirs.items()
    }


def test_example_of_the_documentation(
    client: Client,
    files: tuple[Problem, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, labels, probs = files
    document = Path(__file__).parents[2] / "docs" / "scale-out.md"
    (example,) = re.findall(r"```python\n(.*?)```", document.read_text(), re.S)
    changes = {
        "tcp://10.0.0.1:8786": client.scheduler.address,
        "labels.parquet": labels.name,
        "pred_probs.parquet": probs.name,
        "10_000_000": "50",
        "5_000": "6",
        "num_classes=10": "num_classes=3",
    }
    for text, replacement in changes.items():
        assert text in example
        example = example.replace(f'"{text}"', f'"{replacement}"').replace(text, replacement)
    monkeypatch.chdir(tmp_path)
    shared: dict[str, Any] = {}
    exec(compile(example, str(document), "exec"), shared)
    shared["client"].close()
    assert len(shared["fitted"].annotator_stats_) == 6
    assert (tmp_path / "consensus_of_all" / "_SUCCESS").exists()
