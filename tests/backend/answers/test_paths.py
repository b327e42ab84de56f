"""Paths by their names."""

from hypothesis import given
from hypothesis import strategies as st

from backend.answers.paths import path_name, path_of

NODES = st.text(alphabet="a/\\ \t質", min_size=1, max_size=6)


@given(st.lists(NODES, min_size=1, max_size=4))
def test_a_path_is_read_back_from_its_name(path: list[str]) -> None:
    assert path_of(path_name(path)) == path


@given(st.lists(NODES, min_size=1, max_size=3), st.lists(NODES, min_size=1, max_size=3))
def test_different_paths_have_different_names(one: list[str], other: list[str]) -> None:
    assert (path_name(one) == path_name(other)) == (one == other)
