"""From how many changed predictions on a new model version costs Label Studio less.

    python -m benchmarks.break_even [--sizes 500 2000 10000]

Measured on a real Label Studio with SQLite: a version is published as the service does it (one
import of all predictions, the switch, the ids, the removal of the version before), and single
predictions are changed. `CROWDLAB_AMEND_LIMIT` should be near the number where both cost the
same; annotators wait less for many small changes than for one large import, so above it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from backend.label_studio.client import LabelStudioClient
from backend.processes import Processes
from benchmarks.live.studio import CHOICES, Studio

_CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
    + "".join(f'<Choice value="{choice}"/>' for choice in CHOICES)
    + "</Choices></View>"
)
_CHANGES = 40
_TASKS_PER_IMPORT = 1000


def _prediction(task: int, version: str, score: float) -> dict[str, object]:
    region = {
        "from_name": "label",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": [CHOICES[0]]},
    }
    return {"task": task, "result": [region], "score": score, "model_version": version}


def _fill(client: LabelStudioClient, num_tasks: int) -> tuple[int, list[int]]:
    project = client.create_project(f"{num_tasks:,} tasks", _CONFIG, overlap=1)
    tasks: list[int] = []
    for start in range(0, num_tasks, _TASKS_PER_IMPORT):
        number = min(_TASKS_PER_IMPORT, num_tasks - start)
        tasks += client.import_tasks(project, [{"data": {"text": f"{n}"}} for n in range(number)])
    return project, tasks


def _publish(client: LabelStudioClient, project: int, tasks: list[int], number: int) -> float:
    """Seconds that it takes to replace a version."""
    name, old = f"crowdlab-{number:06d}", f"crowdlab-{number - 1:06d}"
    predictions = [_prediction(task, name, 0.5) for task in tasks]
    began = time.perf_counter()
    created = client.import_predictions(project, predictions)
    assert created == len(tasks), f"Label Studio stored {created} of {len(tasks)} predictions"
    client.update_project(project, model_version=name)
    client.predictions_of_version(project, name)
    client.delete_model_version(project, old)
    return time.perf_counter() - began


def _amend(client: LabelStudioClient, project: int, version: str) -> float:
    """Seconds that one changed prediction takes."""
    found = client.predictions_of_version(project, version)[:_CHANGES]
    began = time.perf_counter()
    for prediction, task in found:
        client.update_prediction(project, prediction, _prediction(task, version, 0.75))
    return (time.perf_counter() - began) / len(found)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000, 10_000])
    table = Table(title="A new model version against single changes")
    for heading in ("tasks", "publish, s", "change one, ms", "equal at"):
        table.add_column(heading, justify="right")
    sizes = parser.parse_args().sizes
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        studio = Studio(Path(folder), processes, 0)
        client = LabelStudioClient(studio.url, studio.token)
        for num_tasks in sizes:
            project, tasks = _fill(client, num_tasks)
            _publish(client, project, tasks, 1)
            publish = _publish(client, project, tasks, 2)
            amend = _amend(client, project, "crowdlab-000002")
            table.add_row(
                f"{num_tasks:,}",
                f"{publish:.2f}",
                f"{1000 * amend:.0f}",
                f"{publish / amend:,.0f} changes",
            )
        client.close()
        studio.close()
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
