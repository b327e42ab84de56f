"""A Dockerfile as stages of instructions: as much of the language as ours speaks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_CONTINUED = re.compile(r"\\\s*$")
_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class DockerfileError(Exception):
    """A Dockerfile says something that is not understood here."""


@dataclass(frozen=True)
class Instruction:
    """One instruction, such as `COPY --from=build /a /b`."""

    line: int
    word: str
    """Its name in capitals."""
    flags: dict[str, str]
    argument: str

    @property
    def parts(self) -> list[str]:
        """What an exec form (a JSON list) says, or the words of the argument."""
        if self.argument.startswith("["):
            try:
                return [str(part) for part in json.loads(self.argument)]
            except ValueError:
                raise DockerfileError(f"line {self.line}: not a JSON list") from None
        return self.argument.split()

    @property
    def command(self) -> list[str]:
        """The program that a RUN, CMD or HEALTHCHECK starts, with its arguments."""
        if self.argument.startswith("["):
            return self.parts
        return ["/bin/sh", "-c", self.argument]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Names and values of an ENV, LABEL or ARG."""
        for name, quoted, plain in re.findall(r'([\w.]+)=(?:"([^"]*)"|(\S*))', self.argument):
            yield name, quoted or plain


@dataclass
class Stage:
    """What is between a FROM and the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)


def parse(text: str) -> list[Stage]:
    """Take a Dockerfile apart.

    Raises
    ------
    DockerfileError
        Something stands before the first FROM, or a FROM cannot be read.
    """
    stages: list[Stage] = []
    for one in _instructions(text):
        if one.word == "FROM":
            words = one.argument.split()
            if len(words) == 3 and words[1].upper() == "AS":
                stages.append(Stage(words[0], words[2]))
            elif len(words) == 1:
                stages.append(Stage(words[0], str(len(stages))))
            else:
                raise DockerfileError(f"line {one.line}: FROM {one.argument}")
        elif stages:
            stages[-1].instructions.append(one)
        else:
            raise DockerfileError(f"line {one.line}: {one.word} before the first FROM")
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    pending, begin = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#") or not (pending or line.strip()):
            continue
        begin = begin if pending else number
        if _CONTINUED.search(line):
            pending += _CONTINUED.sub("", line)
            continue
        word, _, argument = (pending + line).strip().partition(" ")
        pending = ""
        argument, flags = argument.strip(), {}
        while found := _FLAG.match(argument):
            flags[found[1]] = found[2]
            argument = argument[found.end() :].strip()
        yield Instruction(begin, word.upper(), flags, argument)
    if pending:
        raise DockerfileError(f"line {begin}: ends in a continuation")


def substitute(text: str, variables: dict[str, str]) -> str:
    """Put the values of variables in the place of `$NAME` and `${NAME}`."""
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)
