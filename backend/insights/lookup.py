"""Find what a person names: a project, one of its questions."""

from __future__ import annotations

from backend.errors import UnknownProjectError, UnknownQuestionError
from backend.label_studio.questions import Question
from backend.service import Service
from backend.store.project import ProjectInfo


def known_project(service: Service, project_id: int) -> ProjectInfo:
    """What a project is.

    Raises
    ------
    UnknownProjectError
        The service does not look after it.
    """
    info = service.store(project_id).read_info()
    if info is None:
        raise UnknownProjectError(
            f"Project {project_id} is not known to this service.",
            f"`crowdlab connect {project_id}` connects it.",
        )
    return info


def question_number(info: ProjectInfo, name: str | None) -> int:
    """Position of a question among those of its project; the first one's without a name.

    Raises
    ------
    UnknownQuestionError
        There is none of this name.
    """
    if name is None:
        return 0
    names = [one.name for one in info.questions]
    if name not in names:
        raise UnknownQuestionError(
            f"The project asks no question {name!r}.", f"It asks: {', '.join(names)}."
        )
    return names.index(name)


def class_code(question: Question, name: str) -> int:
    """Code of a class of a question.

    Raises
    ------
    UnknownQuestionError
        The question has no such class, or its answers are no class.
    """
    if not question.type.is_class:
        raise UnknownQuestionError(
            f"An answer to the question {question.name!r} is not one class.",
            "Leave out the class.",
        )
    if name not in question.classes:
        raise UnknownQuestionError(
            f"The question {question.name!r} has no class {name!r}.",
            f"Its classes: {', '.join(question.classes)}.",
        )
    return question.classes.index(name)
