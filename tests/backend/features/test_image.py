"""Features of images."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from backend.features.image import GRID, WIDTH, image_features


def uri(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def picture(image: Image.Image, kind: str = "PNG") -> str:
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return uri(stream.getvalue(), kind.lower())


def test_brightness_is_kept_where_it_is() -> None:
    image = Image.new("RGB", (160, 160), "white")
    image.paste("black", (0, 0, 80, 160))
    grid = image_features([picture(image)]).toarray().reshape(GRID, GRID)
    np.testing.assert_allclose(grid[:, : GRID // 2], 0)
    np.testing.assert_allclose(grid[:, GRID // 2 :], 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_common_formats_are_read(kind: str) -> None:
    image = Image.new("RGB", (20, 10), "white")
    assert image_features([picture(image, kind)]).nnz == WIDTH


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 pixels wide and high."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "https://example.com/a.png",
        "data:image/png;base64,!!!",
        "data:text/html;base64,aGVsbG8=",
        uri(b"not an image"),
        uri(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg+xml"),
        uri(bomb()),
        "data:image/png;base64," + "A" * 21_000_000,
    ],
)
def test_what_is_no_readable_image_has_no_features(value: str) -> None:
    assert image_features([value]).nnz == 0


def test_none_of_none() -> None:
    assert image_features([]).shape == (0, WIDTH)


def test_a_file_that_breaks_the_decoder_has_no_features() -> None:
    whole = base64.b64decode(picture(Image.new("L", (40, 40), 200)).partition(",")[2])
    broken = bytearray(whole)
    broken[37:41] = b"\xd2(JX"  # the type of the second chunk
    assert image_features([uri(bytes(broken)), uri(whole)]).toarray()[0].sum() == 0
