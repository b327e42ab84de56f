"""Descriptors of images."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from backend.features.image import FORMATS, WIDTH, describe_image
from backend.features.outcome import Outcome, UnreadableError
from tests.backend.features.files import SVG, bomb, encoded

OUTLINES = slice(0, 144)
HARMONICS = slice(144, 156)
COLOURS = slice(166, 214)
HISTOGRAM = slice(214, 278)


def scene(angle: int = 0) -> Image.Image:
    image = Image.new("RGB", (120, 120), "white")
    ImageDraw.Draw(image).polygon([(60, 20), (95, 80), (25, 80)], fill=(200, 30, 30))
    return image.rotate(angle, fillcolor="white", resample=Image.Resampling.BICUBIC)


def test_brightness_is_kept_where_it_is() -> None:
    image = Image.new("RGB", (160, 160), "white")
    image.paste("black", (0, 0, 80, 160))
    grid = describe_image(encoded(image))[COLOURS].reshape(3, 4, 4)
    np.testing.assert_allclose(grid[:, :, 0], 0, atol=1e-3)
    np.testing.assert_allclose(grid[:, :, 3], 1, atol=1e-3)


def test_outlines_tell_directions_apart() -> None:
    stripes = np.repeat([0, 255] * 8, 4).astype(np.uint8)
    upright = Image.fromarray(np.tile(stripes, (64, 1)))
    there = describe_image(encoded(upright))[OUTLINES].reshape(4, 4, 9).mean(axis=(0, 1))
    turned = describe_image(encoded(upright.rotate(90)))[OUTLINES].reshape(4, 4, 9)
    assert there.argmax() == 0
    assert turned.mean(axis=(0, 1)).argmax() in {4, 5}


def test_harmonics_hardly_change_when_an_image_is_turned() -> None:
    one, other = describe_image(encoded(scene())), describe_image(encoded(scene(40)))
    assert np.abs(one - other)[HARMONICS].max() < 0.2
    assert one[HARMONICS].argmax() == 2  # three sides


def test_colours_are_told_apart() -> None:
    shares = describe_image(encoded(Image.new("RGB", (10, 10), (255, 0, 0))))[HISTOGRAM]
    assert shares.argmax() == 48
    assert shares.max() == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_common_formats_give_the_same(kind: str) -> None:
    wanted, found = describe_image(encoded(scene())), describe_image(encoded(scene(), kind))
    assert found.shape == (WIDTH,)
    assert np.abs(found - wanted)[COLOURS].max() < 0.02


@pytest.mark.parametrize(
    "image",
    [
        Image.new("CMYK", (30, 20), (0, 255, 255, 0)),
        scene().convert("P", palette=Image.Palette.ADAPTIVE),
        scene().convert("LA"),
        scene().convert("1"),
        Image.fromarray((np.arange(400).reshape(20, 20) * 160).astype(np.uint16)),
        Image.new("RGB", (1, 1), "blue"),
        Image.new("L", (5000, 1), 7),
        Image.new("RGBA", (9, 9), (0, 0, 0, 0)),
    ],
    ids=lambda image: f"{image.mode} {image.width}x{image.height}",
)
def test_every_mode_and_size_is_described(image: Image.Image) -> None:
    found = describe_image(encoded(image, "JPEG" if image.mode == "CMYK" else "PNG"))
    assert found.shape == (WIDTH,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_sixteen_bits_are_not_cut_off() -> None:
    ramp = np.tile(np.linspace(0, 65_535, 64), (64, 1)).astype(np.uint16)
    grid = describe_image(encoded(Image.fromarray(ramp)))[COLOURS].reshape(3, 4, 4)
    assert (np.diff(grid[0, 0]) > 0.2).all()


def test_what_is_transparent_is_white() -> None:
    nothing = describe_image(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0))))
    np.testing.assert_array_equal(nothing[COLOURS], 1)


def test_of_an_animation_the_first_picture_counts() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "lime")]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(
        describe_image(moving)[COLOURS], describe_image(encoded(frames[0]))[COLOURS], atol=0.01
    )


def test_the_rotation_that_a_camera_noted_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(scene().rotate(90), "JPEG", exif=exif, quality=95)
    wanted = describe_image(encoded(scene()))[COLOURS]
    assert np.abs(describe_image(turned)[COLOURS] - wanted).max() < 0.03


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (b"", Outcome.UNKNOWN_FORMAT),
        (b"not an image", Outcome.UNKNOWN_FORMAT),
        (b"<html>Log in</html>", Outcome.UNKNOWN_FORMAT),
        (SVG, Outcome.SVG),
        (b"\xef\xbb\xbf \n" + SVG, Outcome.SVG),
        (bomb(), Outcome.TOO_MANY_PIXELS),
        (bomb(7_000), Outcome.TOO_MANY_PIXELS),
        (bomb(3_000), Outcome.BROKEN),
        (encoded(Image.effect_noise((200, 200), 50))[:3000], Outcome.BROKEN),
        (encoded(scene(), "TIFF"), Outcome.UNKNOWN_FORMAT),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Outcome.UNKNOWN_FORMAT),
    ],
)
def test_what_is_no_readable_image_is_refused(content: bytes, outcome: Outcome) -> None:
    with pytest.raises(UnreadableError) as refused:
        describe_image(content)
    assert refused.value.outcome == outcome


def test_a_file_that_breaks_the_decoder_is_refused() -> None:
    broken = bytearray(encoded(Image.new("L", (40, 40), 200)))
    broken[37:41] = b"\xd2(JX"  # the type of the second chunk
    with pytest.raises(UnreadableError):
        describe_image(bytes(broken))
