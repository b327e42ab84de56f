"""The part of the Dockerfile's language that is understood, and our Dockerfile."""

from pathlib import Path

import pytest

from docker.dockerfile import DockerfileError, parse, substitute

OURS = Path(__file__).parents[2] / "docker" / "Dockerfile"


def test_stages_and_continued_lines() -> None:
    first, second = parse(
        "# a comment\n"
        "FROM debian AS build\n"
        "RUN one \\\n"
        "    # in between\n"
        "    && two\n"
        "\n"
        "FROM debian\n"
        "COPY --from=build --chown=1:1 /a /b\n"
        'CMD ["run", "it"]\n'
    )
    assert (first.base, first.name, second.name) == ("debian", "build", "1")
    (run,) = first.instructions
    assert (run.line, run.argument.split()) == (3, ["one", "&&", "two"])
    assert run.command == ["/bin/sh", "-c", run.argument]
    copy, start = second.instructions
    assert copy.flags == {"from": "build", "chown": "1:1"}
    assert copy.parts == ["/a", "/b"]
    assert start.command == ["run", "it"]


def test_pairs_of_an_environment() -> None:
    (stage,) = parse('FROM x\nENV A=1 B="two words" \\\n  C=/bin:$PATH\n')
    pairs = dict(stage.instructions[0].pairs())
    assert pairs == {"A": "1", "B": "two words", "C": "/bin:$PATH"}
    assert substitute(pairs["C"], {"PATH": "/usr"}) == "/bin:/usr"
    assert substitute("${A}b$C", {"A": "a"}) == "ab"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUN x", "line 1: RUN before the first FROM"),
        ("FROM a b", "line 1: FROM a b"),
        ("FROM a\nRUN x \\", "line 2: ends in a continuation"),
    ],
)
def test_what_is_not_understood_is_named(text: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said):
        parse(text)


def test_a_broken_list_is_named() -> None:
    (stage,) = parse('FROM a\nCMD ["x"')
    with pytest.raises(DockerfileError, match="line 2: not a JSON list"):
        _ = stage.instructions[0].parts


def test_our_last_stage_has_no_installer_and_is_not_root() -> None:
    last = parse(OURS.read_text())[-1]
    words = [one.word for one in last.instructions]
    user = next(one for one in last.instructions if one.word == "USER")
    assert user.argument == "10001:10001"
    assert words.index("USER") < words.index("CMD")
    assert not any(
        "pip" in one.argument or "apt" in one.argument
        for one in last.instructions
        if one.word == "RUN"
    )


def test_what_is_installed_is_locked_with_hashes() -> None:
    build = parse(OURS.read_text())[0]
    installs = [
        one.argument
        for one in build.instructions
        if one.word == "RUN" and " install" in one.argument
    ]
    assert installs
    for command in installs:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-index" in command
