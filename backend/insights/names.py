"""What annotators are called, wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from backend.store.project import ProjectStore


class AnnotatorNames:
    """Names of a project's annotators.

    Parameters
    ----------
    known
        Names that may be shown, by annotator id; others are called by their id.
    """

    def __init__(self, known: Mapping[int, str]) -> None:
        self._known = known

    @classmethod
    def read(cls, store: ProjectStore, *, show_names: bool) -> AnnotatorNames:
        """Names of a project.

        Parameters
        ----------
        show_names
            Whether people may be named: `Settings.show_names`.
        """
        return cls(store.annotator_names() if show_names else {})

    def of(self, annotator: int) -> str:
        """E-mail address of an annotator; `annotator 7` if it is unknown or not to be shown."""
        return self._known.get(annotator) or f"annotator {annotator}"
