"""Images: whole ones keep every pixel and lose everything else; others are refused."""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps

from domain.errors import FileContentMismatch
from resilience.jpegs import cleaned_jpeg
from resilience.pngs import cleaned_png
from tests.resilience.files import (
    MODES,
    PLACE,
    PNG_START,
    SECRETS,
    black_png,
    chunk,
    image,
    interlaced_png,
    packed,
    png,
    saved,
    segment,
    telling_jpeg,
    telling_png,
)

DAMAGED = "The image is damaged. Take or save it again."
TOO_MANY_PIXELS = "The image has more than 40 megapixels."
CLEANED = {"JPEG": cleaned_jpeg, "PNG": cleaned_png}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def opened(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
    return picture


GOOD = {
    f"{mode} {name} {' '.join(options)}": (name, saved(image(mode), name, **options))
    for name, modes in MODES.items()
    for mode in modes
    for options in ({}, {"progressive": True} if name == "JPEG" else {"dpi": (72, 72)})
} | {
    "JPEG with restarts": ("JPEG", saved(image(), "JPEG", restart_marker_rows=1)),
    "JPEG of one pixel": ("JPEG", saved(image(size=(1, 1)), "JPEG")),
    "JPEG of full colour": ("JPEG", saved(image(), "JPEG", subsampling=0, quality=100)),
    "PNG of two bits": ("PNG", saved(image("P"), "PNG", bits=2)),
    "PNG with a clear colour": ("PNG", saved(image("P"), "PNG", transparency=7)),
    "PNG of 16 bits and three colours": (
        "PNG",
        png((2, 1, 16, 2), chunk(b"IDAT", packed([b"\0" + bytes(range(12))]))),
    ),
    "interlaced PNG": ("PNG", interlaced_png(image("L", (31, 23)))),
    "interlaced PNG of three pixels": ("PNG", interlaced_png(image("L", (3, 1)))),
}


@pytest.mark.parametrize(("name", "content"), GOOD.values(), ids=GOOD.keys())
def test_pixels_stay_as_they_are(name, content):
    clean = CLEANED[name](content)

    before, after = opened(content), opened(clean)
    assert (after.format, after.mode, after.size) == (name, before.mode, before.size)
    assert after.tobytes() == before.tobytes()
    assert after.info.get("transparency") == before.info.get("transparency")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "telling"), [("JPEG", telling_jpeg), ("PNG", telling_png)], ids=["JPEG", "PNG"]
)
def test_the_orientation_is_all_that_stays_of_the_metadata(name, telling, orientation):
    content = telling(orientation)

    clean = CLEANED[name](content)

    before, after = opened(content), opened(clean)
    assert dict(after.getexif()) == ({0x0112: orientation} if orientation > 1 else {})
    assert (b"Exif" in clean or b"eXIf" in clean) == (orientation > 1)
    upright = [ImageOps.exif_transpose(one) for one in (before, after)]
    assert upright[0].size == upright[1].size
    assert ImageChops.difference(*upright).getbbox() is None


@pytest.mark.parametrize(
    ("name", "telling"), [("JPEG", telling_jpeg), ("PNG", telling_png)], ids=["JPEG", "PNG"]
)
def test_nothing_that_was_written_beside_the_pixels_is_in_the_copy(name, telling):
    content = telling()
    gps = opened(content).getexif().get_ifd(0x8825)
    told = [secret for secret in (*SECRETS, PLACE.encode()) if secret in content]

    clean = CLEANED[name](content)

    assert gps[2] == (11.0, 1.0, 0.48)
    assert len(told) >= 7
    assert [secret for secret in told if secret in clean] == []
    assert opened(clean).getexif().get_ifd(0x8825) == {}


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_colour_profile_is_kept(name):
    content = saved(image(), name, icc_profile=PROFILE, exif=b"Exif\0\0nonsense")

    clean = CLEANED[name](content)

    assert opened(clean).info["icc_profile"] == PROFILE


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_the_orientation_is_understood_in_both_orders_of_bytes(byte_order):
    head = {"<": b"II*\0", ">": b"MM\0*"}[byte_order]
    tag = struct.pack(f"{byte_order}IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    content = saved(image(), "JPEG")
    told = content[:2] + segment(0xE1, b"Exif\0\0" + head + tag) + content[2:]

    clean = cleaned_jpeg(told)

    assert opened(clean).getexif()[0x0112] == 6


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"MM\0*",
        b"MM\0*\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 9, 0, 0),
    ],
)
def test_an_orientation_that_makes_no_sense_is_none(tiff):
    content = saved(image(), "JPEG")
    told = content[:2] + segment(0xE1, b"Exif\0\0" + tiff) + content[2:]

    assert cleaned_jpeg(told) == content


def test_of_an_animation_the_first_picture_stays():
    pictures = [image("L"), ImageOps.invert(image("L"))]
    content = saved(pictures[0], "PNG", save_all=True, append_images=pictures[1:])
    assert opened(content).is_animated

    clean = cleaned_png(content)

    after = opened(clean)
    assert not getattr(after, "is_animated", False)
    assert after.tobytes() == pictures[0].tobytes()
    assert b"fdAT" not in clean


@pytest.mark.parametrize(
    "content",
    [saved(image(size=(300, 200)), name) for name in CLEANED]
    + [
        saved(Image.effect_noise((600, 400), 90), "PNG", dpi=(72, 72), icc_profile=PROFILE),
        saved(image("P"), "PNG", transparency=7),
    ],
    ids=["JPEG", "PNG", "PNG in many chunks", "PNG with a clear colour"],
)
def test_a_clean_image_is_kept_byte_for_byte(content):
    clean = cleaned_png if content.startswith(PNG_START) else cleaned_jpeg

    assert clean(content) == content


def test_forty_megapixels_are_allowed():
    clean = cleaned_png(black_png(8_000, 5_000))

    with Image.open(io.BytesIO(clean)) as picture:
        assert picture.size == (8_000, 5_000)


def test_texts_and_profiles_that_grow_enormously_are_left_out():
    enormous = zlib.compress(bytes(50_000_000))
    start, end = png((64, 48, 8, 0)).split(chunk(b"IEND"))
    pixels = chunk(b"IDAT", packed(b"\0" + bytes(64) for _ in range(48)))
    bombs = (chunk(b"iCCP", b"x\0\0" + enormous), chunk(b"zTXt", b"x\0\0" + enormous))

    clean = cleaned_png(start + b"".join(bombs) + pixels + chunk(b"IEND") + end)

    assert clean == png((64, 48, 8, 0), pixels)


ROWS = [b"\0" + bytes(30)] * 10
WHOLE = chunk(b"IDAT", packed(ROWS))
HEADER = (10, 10, 8, 2)
REFUSED_PNGS = {
    "a bomb": (black_png(30_000, 30_000), TOO_MANY_PIXELS),
    "one row too many": (black_png(8_000, 5_001), TOO_MANY_PIXELS),
    "of no width": (png((0, 10, 8, 2), WHOLE), DAMAGED),
    "without pixels": (png(HEADER), DAMAGED),
    "with a part of the pixels": (png(HEADER, chunk(b"IDAT", packed(ROWS)[:-8])), DAMAGED),
    "without the checksum of the pixels": (
        png(HEADER, chunk(b"IDAT", packed(ROWS)[:-2])),
        DAMAGED,
    ),
    "with fewer rows": (png(HEADER, chunk(b"IDAT", packed(ROWS[1:]))), DAMAGED),
    "with more rows": (png(HEADER, chunk(b"IDAT", packed([*ROWS, *ROWS]))), DAMAGED),
    "that goes on for long": (png(HEADER, chunk(b"IDAT", packed(ROWS * 1_000_000))), DAMAGED),
    "with something behind the pixels": (
        png(HEADER, chunk(b"IDAT", packed(ROWS) + b"PK\3\4")),
        DAMAGED,
    ),
    "with pixels in two places": (png(HEADER, WHOLE, chunk(b"tEXt", b"a\0b"), WHOLE), DAMAGED),
    "with an unknown filter": (
        png(HEADER, chunk(b"IDAT", packed([b"\5" + bytes(30)] * 10))),
        DAMAGED,
    ),
    "with an unknown depth": (png((10, 10, 7, 2), WHOLE), DAMAGED),
    "without its palette": (png((30, 10, 8, 3), WHOLE), DAMAGED),
    "with a wrong checksum": (png(HEADER, WHOLE[:-1] + b"?"), DAMAGED),
    "with an unknown chunk that is needed": (png(HEADER, chunk(b"CgBI"), WHOLE), DAMAGED),
    "with two headers": (png(HEADER, png(HEADER)[8:33], WHOLE), DAMAGED),
    "with a text for a resolution": (png(HEADER, chunk(b"pHYs", b"Secret" * 9), WHOLE), DAMAGED),
    "with its palette behind the pixels": (png(HEADER, WHOLE, chunk(b"PLTE", b"abc")), DAMAGED),
    "without an end": (png(HEADER, WHOLE)[:-12], DAMAGED),
    "with a length beyond its end": (png(HEADER)[:33] + b"\xff\xff\xff\xffIDAT", DAMAGED),
}


@pytest.mark.parametrize(("content", "message"), REFUSED_PNGS.values(), ids=REFUSED_PNGS.keys())
def test_a_png_is_refused(content, message):
    with pytest.raises(FileContentMismatch) as refused:
        cleaned_png(content)

    assert refused.value.message == message


JPEG = saved(image(size=(640, 480)), "JPEG")
PROGRESSIVE = saved(image(size=(640, 480)), "JPEG", progressive=True, subsampling=0)
FRAME = JPEG[JPEG.index(b"\xff\xc0") :][:19]
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]


def sized(content: bytes, width: int, height: int) -> bytes:
    """The same, but for what the frame says."""
    said = struct.pack(">HH", 480, 640)
    assert content.count(said) == 1
    return content.replace(said, struct.pack(">HH", height, width))


REFUSED_JPEGS = {
    "cut in half": (JPEG[: len(JPEG) // 2], DAMAGED),
    "without its end": (JPEG[:-2], DAMAGED),
    "cut in a table": (JPEG[:40], DAMAGED),
    "without scans": (JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", DAMAGED),
    "of more than 40 megapixels": (sized(JPEG, 8_000, 5_001), TOO_MANY_PIXELS),
    "of no height": (sized(JPEG, 640, 0), DAMAGED),
    "with two frames": (JPEG[:2] + FRAME + JPEG[2:], DAMAGED),
    "with an unknown marker": (JPEG[:2] + segment(0xF0, b"x") + JPEG[2:], DAMAGED),
    "with more scans than anybody needs": (
        PROGRESSIVE[:-2] + LAST_SCAN * 64 + b"\xff\xd9",
        DAMAGED,
    ),
    "with too many segments": (JPEG[:2] + segment(0xFE, b"") * 10_000 + JPEG[2:], DAMAGED),
    "too large to be kept in memory": (
        sized(PROGRESSIVE, 8_000, 5_000),
        "The image is too large for a progressive JPEG.",
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED_JPEGS.values(), ids=REFUSED_JPEGS.keys())
def test_a_jpeg_is_refused(content, message):
    with pytest.raises(FileContentMismatch) as refused:
        cleaned_jpeg(content)

    assert refused.value.message == message
