"""The command `crowdlab review`: which tasks should be labelled once more, and asking for it."""

from __future__ import annotations

import getpass
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from backend.errors import ReviewPolicyError
from backend.terminal import AsJson, ProjectId, ago, open_service, out, print_json, shown_progress

if TYPE_CHECKING:
    from backend.jobs.review_plan import ReviewPlan
    from backend.store.review import ReviewPolicy

review_commands = typer.Typer()

_SHOWN_TASKS = 20
"""Tasks that are shown where nothing says how many."""

_STATES = {
    "noted": "not in Label Studio yet",
    "open": "waits for a label",
    "withdrawing": "not taken back yet",
}


@review_commands.command()
def review(
    project: ProjectId,
    budget: Annotated[int | None, typer.Option(help="Most tasks to choose.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Choose tasks whose ActiveLab score is below this (0 to 1)."),
    ] = None,
    most_extra: Annotated[
        int, typer.Option(help="Most labels to ask of one task beyond the usual number.")
    ] = 2,
    min_hours: Annotated[
        float,
        typer.Option(help="Leave tasks alone that somebody labelled fewer hours ago."),
    ] = 0.0,
    exclude_below: Annotated[
        float | None,
        typer.Option(
            help="Let labels of annotators below this quality (0 to 1) not count as given. "
            "They may still get the tasks: Label Studio's open edition cannot prevent it."
        ),
    ] = None,
    tasks: Annotated[
        str, typer.Option(metavar="1,2,3", help="Choose among these tasks only.")
    ] = "",
    only_labeled: Annotated[
        bool, typer.Option("--only-labeled", help="Leave out tasks that nobody has labelled.")
    ] = False,
    show_predictions: Annotated[
        bool,
        typer.Option(
            "--show-predictions",
            help="Show the consensus to those who label; by default they do not see it.",
        ),
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Ask for the labels; without it, nothing is changed.")
    ] = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo", help="Take back requests that nobody has answered (all, or --tasks)."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish what an interrupted run has left.")
    ] = False,
    show_open: Annotated[
        bool, typer.Option("--open", help="List the requests that wait for a label.")
    ] = False,
    automatic: Annotated[
        bool | None,
        typer.Option(
            "--automatic/--no-automatic",
            help="Let the service ask by itself, with these options, up to --budget-per-day.",
        ),
    ] = None,
    budget_per_day: Annotated[
        int | None, typer.Option(help="Most tasks to ask for on one day (UTC) by --automatic.")
    ] = None,
    uncertainty_sampling: Annotated[
        bool,
        typer.Option(
            "--uncertainty-sampling",
            help="Let Label Studio hand out the most doubtful open tasks first.",
        ),
    ] = False,
    json_output: AsJson = False,
) -> None:
    """Show which tasks should be labelled once more, and why; ask for it with --apply.

    Tasks are ranked by their ActiveLab score, the lowest first, labelled and unlabelled ones
    together: the lower, the more one more label would tell. Asking opens the task in Label
    Studio for one annotator more who has not labelled it.
    """
    from backend.store.review import ReviewPolicy

    actions = {
        "--apply": apply,
        "--undo": undo,
        "--resume": resume,
        "--open": show_open,
        "--automatic": automatic is not None,
        "--uncertainty-sampling": uncertainty_sampling,
    }
    chosen = [name for name, is_chosen in actions.items() if is_chosen]
    if len(chosen) > 1:
        raise ReviewPolicyError(f"{chosen[0]} and {chosen[1]} exclude each other.", "Choose one.")
    if budget_per_day is not None and not automatic:
        raise ReviewPolicyError("--budget-per-day says something to --automatic only.")
    policy = ReviewPolicy(
        budget=budget_per_day if automatic else budget,
        threshold=threshold,
        most_extra=most_extra,
        min_hours=min_hours,
        exclude_below=exclude_below,
        tasks=_numbers_of(tasks),
        only_labeled=only_labeled,
        blind=not show_predictions,
    )
    match chosen:
        case ["--open"]:
            _list_open(project, json_output)
        case ["--automatic"]:
            _switch_automatic(project, policy if automatic else None, json_output)
        case ["--uncertainty-sampling"]:
            _sample_by_uncertainty(project, json_output)
        case ["--undo"] | ["--resume"]:
            _settle(project, policy.tasks if undo else None, json_output)
        case _:
            _plan(project, policy, apply, json_output)


def _numbers_of(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal():
            raise ReviewPolicyError(
                f"--tasks names {part!r}, which is no number of a task.",
                "Write numbers divided by commas, such as 17,23.",
            )
    return tuple(int(part) for part in parts)


def _person() -> str:
    """Who runs the command, for the audit trail."""
    try:
        return f"{getpass.getuser()} (crowdlab review)"
    except (KeyError, OSError):  # an account without a name
        return "crowdlab review"


def _plan(project: int, policy: ReviewPolicy, apply: bool, json_output: bool) -> None:
    from backend.jobs.reannotate import apply_plan
    from backend.jobs.review_plan import plan_review

    if not apply and not policy.is_bounded:
        policy = replace(policy, budget=_SHOWN_TASKS)
    report = None
    with open_service() as service, shown_progress() as progress:
        if apply and not policy.is_bounded:
            raise ReviewPolicyError(
                "--apply needs to know how much to ask for.",
                "Give --budget, --threshold or --tasks.",
            )
        plan = plan_review(service, project, policy, progress=progress)
        if apply:
            report = apply_plan(service, plan, by=_person(), progress=progress)
    if json_output:
        print_json(
            {"project": project, "plan": plan.to_plain(), "report": report and asdict(report)}
        )
        return
    _show_plan(plan)
    if report is not None:
        out.print(escape(str(report)), highlight=False, soft_wrap=True)
    elif plan.to_ask:
        out.print(
            f"Nothing was changed. --apply asks one more label of {len(plan.to_ask):,} task(s).",
            highlight=False,
            soft_wrap=True,
        )


def _show_plan(plan: ReviewPlan) -> None:
    if not plan.tasks:
        out.print("No task is to be labelled once more by this policy.", highlight=False)
    else:
        out.print(_plan_table(plan))
    for reason, number in plan.left_out.items():
        out.print(f"Left out: {number:,} task(s) {reason}.", highlight=False, soft_wrap=True)
    if plan.excluded:
        people = ", ".join(map(str, plan.excluded))
        out.print(
            f"Not counted as given: labels of annotators {people}.", highlight=False, soft_wrap=True
        )


def _plan_table(plan: ReviewPlan) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Task", "Score", "Quality", "Labels"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for one in plan.tasks:
        wanted = "waits" if one.waits else f"{one.overlap} → {one.new_overlap}"
        quality = "–" if one.quality is None else f"{one.quality:.3f}"
        said = ", ".join(f"{number} × {name}" for name, number in one.votes.items())
        why = "nobody has labelled it" if one.consensus is None else f"{said}: {one.consensus}"
        table.add_row(str(one.task), f"{one.score:.3f}", quality, wanted, escape(why))
    return table


def _list_open(project: int, json_output: bool) -> None:
    from backend.jobs.reannotate import requests_of

    with open_service() as service:
        requests = requests_of(service.store(project))
    if json_output:
        print_json({"project": project, "requests": requests})
        return
    if not requests:
        out.print(f"No request of project {project} waits for a label.", highlight=False)
    for one in requests:
        out.print(
            f"task {one['task']}: {_STATES[one['state']]}, asked {ago(one['requested_at'])}, "
            f"overlap {one['old_overlap']} → {one['new_overlap']}, score {one['score']:.3f}",
            highlight=False,
            soft_wrap=True,
        )


def _settle(project: int, undone: tuple[int, ...] | None, json_output: bool) -> None:
    """Take requests back, or finish what was left if `undone` is None."""
    from backend.jobs.reannotate import finish_requests, withdraw_requests

    with open_service() as service, shown_progress() as progress:
        report = (
            finish_requests(service, project, progress=progress)
            if undone is None
            else withdraw_requests(service, project, tasks=undone, by=_person(), progress=progress)
        )
    if json_output:
        print_json({"project": project, "report": asdict(report)})
        return
    out.print(escape(str(report)), highlight=False, soft_wrap=True)
    if report.not_withdrawn:
        left = ", ".join(map(str, report.not_withdrawn))
        out.print(f"Could not be taken back: {left}.", highlight=False, soft_wrap=True)


def _switch_automatic(project: int, policy: ReviewPolicy | None, json_output: bool) -> None:
    from backend.jobs.reannotate import start_automatic, stop_automatic

    with open_service() as service:
        if policy is None:
            stop_automatic(service, project, by=_person())
        else:
            start_automatic(service, project, policy, by=_person())
    if json_output:
        plain: dict[str, Any] | None = None if policy is None else asdict(policy)
        print_json({"project": project, "automatic": plain})
        return
    if policy is None:
        said = "The automatic review is off. Requests stay; --undo takes them back."
    else:
        said = (
            f"The automatic review is on: up to {policy.budget:,} task(s) a day (UTC), as long as "
            "the service runs (`crowdlab start`)."
        )
    out.print(said, highlight=False, soft_wrap=True)


def _sample_by_uncertainty(project: int, json_output: bool) -> None:
    from backend.jobs.reannotate import sample_by_uncertainty

    with open_service() as service:
        said = sample_by_uncertainty(service, project, by=_person())
    if json_output:
        print_json({"project": project, "sampling": said})
        return
    out.print(said, highlight=False, soft_wrap=True)
