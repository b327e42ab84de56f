"""The drawings of the documentation, as SVG.

    python -m docs.pictures

The files in docs/images are committed; a test sees that they are what this draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

IMAGES = Path(__file__).parent / "images"

_INK, _PALE, _BLUE, _GREEN = "#1f2933", "#f4f6fb", "#3b5bdb", "#0b7a5e"
_LINE_HEIGHT = 17


@dataclass(frozen=True)
class Box:
    """A box with lines of text; the first is its name."""

    x: int
    y: int
    width: int
    height: int
    text: str
    colour: str = _BLUE

    def draw(self) -> str:
        """SVG of the box."""
        name, *lines = self.text.split("\n")
        middle = self.x + self.width / 2
        top = self.y + self.height / 2 - _LINE_HEIGHT * len(lines) / 2 + 5
        rows = [f'<tspan x="{middle:g}" y="{top:g}" font-weight="bold">{escape(name)}</tspan>']
        rows += [
            f'<tspan x="{middle:g}" y="{top + _LINE_HEIGHT * number:g}">{escape(line)}</tspan>'
            for number, line in enumerate(lines, start=1)
        ]
        return (
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8" '
            f'fill="{_PALE}" stroke="{self.colour}" stroke-width="2"/>'
            f'<text text-anchor="middle" fill="{_INK}">{"".join(rows)}</text>'
        )


@dataclass(frozen=True)
class Arrow:
    """An arrow along points, with a text in the middle of a place."""

    points: tuple[tuple[int, int], ...]
    text: str = ""
    place: tuple[int, int] = (0, 0)

    def draw(self) -> str:
        """SVG of the arrow."""
        path = " ".join(f"{x},{y}" for x, y in self.points)
        x, y = self.place
        line = (
            f'<polyline points="{path}" fill="none" stroke="{_INK}" stroke-width="1.6" '
            'marker-end="url(#head)"/>'
        )
        if not self.text:
            return line
        return (
            f'{line}<text x="{x}" y="{y}" text-anchor="middle" font-size="12" '
            f'fill="{_INK}">{escape(self.text)}</text>'
        )


def drawing(width: int, height: int, title: str, *parts: Box | Arrow) -> str:
    """An SVG document on a white ground, so that it can be read in the dark as well."""
    inside = "\n".join(part.draw() for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13" role="img" '
        f'aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{_INK}"/></marker></defs>'
        f'\n<rect width="{width}" height="{height}" fill="white"/>\n{inside}\n</svg>\n'
    )


def data_flow() -> str:
    """How an annotation becomes a prediction."""
    return drawing(
        860,
        330,
        "From an annotation to a prediction",
        Box(20, 120, 150, 90, "Label Studio\nwhere people label\nand the truth lives", _GREEN),
        Box(240, 20, 150, 70, "Web application\n/webhook /predict\npages, API"),
        Box(240, 130, 150, 70, "Inbox\nevents in Redis"),
        Box(240, 240, 150, 70, "Sync\nlooks for what\nno event told"),
        Box(460, 130, 150, 70, "Events worker\nfollows one task\nin milliseconds"),
        Box(460, 240, 150, 70, "Refresh worker\ntrains, recomputes\nevery task"),
        Box(680, 120, 160, 90, "Store (Redis)\nlabels, features,\nconsensus, qualities"),
        Box(460, 20, 150, 70, "Write worker\nchanges or publishes\npredictions"),
        Arrow(((95, 120), (95, 55), (240, 55)), "events", (165, 48)),
        Arrow(((315, 90), (315, 130))),
        Arrow(((390, 165), (460, 165))),
        Arrow(((610, 165), (680, 165))),
        Arrow(((95, 210), (95, 275), (240, 275)), "pages of tasks", (165, 292)),
        Arrow(((390, 275), (460, 275))),
        Arrow(((610, 275), (760, 275), (760, 210))),
        Arrow(((760, 120), (760, 55), (610, 55))),
        Arrow(
            ((460, 38), (425, 38), (425, 110), (130, 110), (130, 120)), "predictions", (190, 104)
        ),
    )


def deployment() -> str:
    """What runs where in docker-compose.yml."""
    return drawing(
        860,
        300,
        "The containers and who reaches whom",
        Box(20, 110, 140, 70, "Browser", _GREEN),
        Box(240, 30, 170, 80, "label-studio\nport 8080", _GREEN),
        Box(240, 195, 170, 80, "web\nport 9090"),
        Box(480, 30, 150, 80, "postgres", _GREEN),
        Box(480, 150, 150, 60, "events"),
        Box(480, 230, 150, 60, "worker × N"),
        Box(690, 170, 150, 80, "redis\nAOF, password"),
        Arrow(((160, 135), (200, 135), (200, 70), (240, 70))),
        Arrow(((160, 155), (200, 155), (200, 235), (240, 235))),
        Arrow(((310, 110), (310, 195)), "webhooks", (278, 150)),
        Arrow(((410, 70), (480, 70))),
        Arrow(((480, 175), (385, 175), (385, 110)), "pull, publish", (435, 168)),
        Arrow(((410, 218), (690, 218))),
        Arrow(((630, 180), (690, 195))),
        Arrow(((630, 258), (690, 240))),
    )


def ensemble() -> str:
    """CROWDLAB's weighted ensemble, for one task."""
    return drawing(
        860,
        230,
        "One task: the classifier and its annotators, weighted",
        Box(20, 15, 210, 55, "Classifier\nprobability of each class"),
        Box(20, 85, 210, 55, "Annotator A says “cat”\nP for cat, Q for the others", _GREEN),
        Box(20, 155, 210, 55, "Annotator B says “dog”\nP for dog, Q for the others", _GREEN),
        Box(400, 75, 190, 75, "Weighted mean\nprobability of each class"),
        Box(680, 40, 160, 55, "Consensus\nthe largest"),
        Box(680, 130, 160, 55, "Quality\nits probability"),
        Arrow(((230, 42), (310, 42), (400, 100)), "weight w(M)", (290, 34)),
        Arrow(((230, 112), (400, 112)), "weight w(A)", (300, 105)),
        Arrow(((230, 182), (310, 182), (400, 125)), "weight w(B)", (290, 200)),
        Arrow(((590, 100), (680, 67))),
        Arrow(((590, 125), (680, 157))),
    )


PICTURES = {
    "data-flow.svg": data_flow,
    "deployment.svg": deployment,
    "ensemble.svg": ensemble,
}


def main() -> None:
    """Write every drawing."""
    IMAGES.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw())


if __name__ == "__main__":
    main()
