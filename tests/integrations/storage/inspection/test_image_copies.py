"""Sanitized images: valid ones keep every pixel and lose all metadata; others are refused."""

import io
import re
import struct
import time
import zlib

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps

from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.jpegs import sanitize_jpeg
from integrations.storage.inspection.pngs import sanitize_png
from tests.integrations.storage.inspection.files import (
    MODES,
    PLACE,
    PNG_START,
    SECRETS,
    black_png,
    chunk,
    compress,
    encode,
    image,
    interlaced_png,
    jpeg_with_metadata,
    png,
    png_with_metadata,
    repeated_scan_jpeg,
    resize_header,
    segment,
    zip_archive,
)

DAMAGED = "The image is damaged. Take or save it again."
TOO_MANY_PIXELS = (
    "The image has more than 40 megapixels. Send a smaller copy or a screenshot of it."
)
TOO_LARGE = (
    "The image is too large for a progressive JPEG. Send a smaller copy or a screenshot of it."
)
CLEANED = {"JPEG": sanitize_jpeg, "PNG": sanitize_png}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def open_image(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
    return picture


GOOD = {
    f"{mode} {name} {' '.join(options)}": (name, encode(image(mode), name, **options))
    for name, modes in MODES.items()
    for mode in modes
    for options in ({}, {"progressive": True} if name == "JPEG" else {"dpi": (72, 72)})
} | {
    "JPEG with restarts": ("JPEG", encode(image(), "JPEG", restart_marker_rows=1)),
    "JPEG of one pixel": ("JPEG", encode(image(size=(1, 1)), "JPEG")),
    "JPEG of full colour": ("JPEG", encode(image(), "JPEG", subsampling=0, quality=100)),
    "PNG of two bits": ("PNG", encode(image("P"), "PNG", bits=2)),
    "PNG with a clear colour": ("PNG", encode(image("P"), "PNG", transparency=7)),
    "PNG of 16 bits and three colours": (
        "PNG",
        png((2, 1, 16, 2), chunk(b"IDAT", compress([b"\0" + bytes(range(12))]))),
    ),
    "interlaced PNG": ("PNG", interlaced_png(image("L", (31, 23)))),
    "interlaced PNG of three pixels": ("PNG", interlaced_png(image("L", (3, 1)))),
}


@pytest.mark.parametrize(("name", "content"), GOOD.values(), ids=GOOD.keys())
def test_copy_has_the_same_pixels(name, content):
    clean = CLEANED[name](content)

    before, after = open_image(content), open_image(clean)
    assert (after.format, after.mode, after.size) == (name, before.mode, before.size)
    assert after.tobytes() == before.tobytes()
    assert after.info.get("transparency") == before.info.get("transparency")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "telling"),
    [("JPEG", jpeg_with_metadata), ("PNG", png_with_metadata)],
    ids=["JPEG", "PNG"],
)
def test_copy_keeps_only_the_orientation_of_metadata(name, telling, orientation):
    content = telling(orientation)

    clean = CLEANED[name](content)

    before, after = open_image(content), open_image(clean)
    assert dict(after.getexif()) == ({0x0112: orientation} if orientation > 1 else {})
    assert (b"Exif" in clean or b"eXIf" in clean) == (orientation > 1)
    upright = [ImageOps.exif_transpose(item) for item in (before, after)]
    assert upright[0].size == upright[1].size
    assert ImageChops.difference(*upright).getbbox() is None


@pytest.mark.parametrize(
    ("name", "telling"),
    [("JPEG", jpeg_with_metadata), ("PNG", png_with_metadata)],
    ids=["JPEG", "PNG"],
)
def test_copy_has_no_metadata(name, telling):
    content = telling()
    gps = open_image(content).getexif().get_ifd(0x8825)
    modified = [secret for secret in (*SECRETS, PLACE.encode()) if secret in content]

    clean = CLEANED[name](content)

    assert gps[2] == (11.0, 1.0, 0.48)
    assert len(modified) >= 7
    assert [secret for secret in modified if secret in clean] == []
    assert open_image(clean).getexif().get_ifd(0x8825) == {}


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_copy_keeps_a_colour_profile(name):
    content = encode(image(), name, icc_profile=PROFILE, exif=b"Exif\0\0nonsense")

    clean = CLEANED[name](content)

    assert open_image(clean).info["icc_profile"] == PROFILE


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_orientation_is_read_in_both_byte_orders(byte_order):
    head = {"<": b"II*\0", ">": b"MM\0*"}[byte_order]
    tag = struct.pack(f"{byte_order}IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    content = encode(image(), "JPEG")
    modified = content[:2] + segment(0xE1, b"Exif\0\0" + head + tag) + content[2:]

    clean = sanitize_jpeg(modified)

    assert open_image(clean).getexif()[0x0112] == 6


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
def test_invalid_orientation_is_ignored(tiff):
    content = encode(image(), "JPEG")
    modified = content[:2] + segment(0xE1, b"Exif\0\0" + tiff) + content[2:]

    assert sanitize_jpeg(modified) == content


def test_copy_of_an_animation_has_its_default_image():
    pictures = [image("L"), ImageOps.invert(image("L"))]
    content = encode(pictures[0], "PNG", save_all=True, append_images=pictures[1:])
    assert open_image(content).is_animated

    clean = sanitize_png(content)

    after = open_image(clean)
    assert not getattr(after, "is_animated", False)
    assert after.tobytes() == pictures[0].tobytes()
    assert b"fdAT" not in clean


@pytest.mark.parametrize(
    "content",
    [encode(image(size=(300, 200)), name) for name in CLEANED]
    + [
        encode(Image.effect_noise((600, 400), 90), "PNG", dpi=(72, 72), icc_profile=PROFILE),
        encode(image("P"), "PNG", transparency=7),
    ],
    ids=["JPEG", "PNG", "PNG in many chunks", "PNG with a clear colour"],
)
def test_image_without_metadata_is_copied_unchanged(content):
    clean = sanitize_png if content.startswith(PNG_START) else sanitize_jpeg

    assert clean(content) == content


def test_forty_megapixels_are_accepted():
    clean = sanitize_png(black_png(8_000, 5_000))

    with Image.open(io.BytesIO(clean)) as picture:
        assert picture.size == (8_000, 5_000)


def test_decompression_bombs_in_metadata_are_removed():
    enormous = zlib.compress(bytes(50_000_000))
    start, end = png((64, 48, 8, 0)).split(chunk(b"IEND"))
    pixels = chunk(b"IDAT", compress(b"\0" + bytes(64) for _ in range(48)))
    bombs = (chunk(b"iCCP", b"x\0\0" + enormous), chunk(b"zTXt", b"x\0\0" + enormous))

    clean = sanitize_png(start + b"".join(bombs) + pixels + chunk(b"IEND") + end)

    assert clean == png((64, 48, 8, 0), pixels)


ROWS = [b"\0" + bytes(30)] * 10
WHOLE = chunk(b"IDAT", compress(ROWS))
HEADER = (10, 10, 8, 2)
NOISE = encode(Image.effect_noise((60, 40), 90), "PNG")
HALVES = compress(bytes((0, number % 251)) for number in range(999))
PARTS = [(b"IDAT", HALVES[:200]), (b"tEXt", b"a\0b"), (b"IDAT", HALVES[200:])]
REFUSED_PNGS = {
    "a bomb": (black_png(30_000, 30_000), TOO_MANY_PIXELS),
    "one row too many": (black_png(8_000, 5_001), TOO_MANY_PIXELS),
    "of no width": (png((0, 10, 8, 2), WHOLE), DAMAGED),
    "without pixels": (png(HEADER), DAMAGED),
    "with a part of the pixels": (png(HEADER, chunk(b"IDAT", compress(ROWS)[:-8])), DAMAGED),
    "with fewer rows": (png(HEADER, chunk(b"IDAT", compress(ROWS[1:]))), DAMAGED),
    "with an unknown filter": (
        png(HEADER, chunk(b"IDAT", compress([b"\5" + bytes(30)] * 10))),
        DAMAGED,
    ),
    "with an unknown depth": (png((10, 10, 7, 2), WHOLE), DAMAGED),
    "without its palette": (png((30, 10, 8, 3), WHOLE), DAMAGED),
    "with a wrong checksum": (png(HEADER, WHOLE[:-1] + b"?"), DAMAGED),
    "with an unknown chunk that is needed": (png(HEADER, chunk(b"CgBI"), WHOLE), DAMAGED),
    "with two headers": (png(HEADER, png(HEADER)[8:33], WHOLE), DAMAGED),
    "with its palette behind the pixels": (
        png((30, 10, 8, 3), WHOLE, chunk(b"PLTE", b"abc")),
        DAMAGED,
    ),
    "with two palettes": (png((30, 10, 8, 3), *[chunk(b"PLTE", b"abc")] * 2, WHOLE), DAMAGED),
    "with half a colour": (png((30, 10, 8, 3), chunk(b"PLTE", b"ab"), WHOLE), DAMAGED),
    "with a palette whose checksum is wrong": (
        png((30, 10, 8, 3), chunk(b"PLTE", b"abc")[:-1] + b"?", WHOLE),
        DAMAGED,
    ),
    "with pixels around a text": (
        png((1, 999, 8, 0), *(chunk(kind, body) for kind, body in PARTS)),
        DAMAGED,
    ),
    "with another way to pack": (
        png(HEADER, chunk(b"IDAT", b"\x77" + compress(ROWS)[1:])),
        DAMAGED,
    ),
    "with an end alone": (PNG_START + chunk(b"IEND"), DAMAGED),
    "cut in its pixels": (NOISE[: len(NOISE) // 2], DAMAGED),
    "with a header that is too long": (
        PNG_START + chunk(b"IHDR", bytes(14)) + WHOLE + chunk(b"IEND"),
        DAMAGED,
    ),
    "with a text in the place of its header": (
        PNG_START + chunk(b"tEXt", b"a\0b") + png(HEADER, WHOLE)[8:],
        DAMAGED,
    ),
    "with a length beyond its end": (png(HEADER)[:33] + b"\xff\xff\xff\xffIDAT", DAMAGED),
}


@pytest.mark.parametrize(("content", "message"), REFUSED_PNGS.values(), ids=REFUSED_PNGS.keys())
def test_invalid_png_is_refused(content, message):
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_png(content)

    assert refused.value.message == message


JPEG = encode(image(size=(640, 480)), "JPEG")
PROGRESSIVE = encode(image(size=(640, 480)), "JPEG", progressive=True, subsampling=0)
FRAME = JPEG[JPEG.index(b"\xff\xc0") :][:19]
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
RESTARTING = encode(Image.new("RGB", (640, 480)), "JPEG", restart_marker_blocks=4)


def with_frame_size(content: bytes, width: int, height: int) -> bytes:
    """Change only the size in the frame header."""
    header = struct.pack(">HH", 480, 640)
    assert content.count(header) == 1
    return content.replace(header, struct.pack(">HH", height, width))


REFUSED_JPEGS = {
    "cut in half": (JPEG[: len(JPEG) // 2], DAMAGED),
    "without an eighth of it": (JPEG[: -len(JPEG) // 8], DAMAGED),
    "without its last two scans and its end": (
        PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda", 0, PROGRESSIVE.rindex(b"\xff\xda"))],
        DAMAGED,
    ),
    "without half of its last scan and its end": (PROGRESSIVE[: -len(LAST_SCAN) // 2], DAMAGED),
    "of one colour, cut between two restarts": (
        RESTARTING[: RESTARTING.index(b"\xff\xd0", len(RESTARTING) // 2)],
        DAMAGED,
    ),
    "cut in a table": (JPEG[:40], DAMAGED),
    "without scans": (JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", DAMAGED),
    "of more than 40 megapixels": (with_frame_size(JPEG, 8_000, 5_001), TOO_MANY_PIXELS),
    "of no height": (with_frame_size(JPEG, 640, 0), DAMAGED),
    "with two frames": (JPEG[:2] + FRAME + JPEG[2:], DAMAGED),
    "with an unknown marker": (JPEG[:2] + segment(0xF0, b"x") + JPEG[2:], DAMAGED),
    "with more scans than anybody needs": (
        PROGRESSIVE[:-2] + LAST_SCAN * 64 + b"\xff\xd9",
        DAMAGED,
    ),
    "with too many segments": (JPEG[:2] + segment(0xFE, b"") * 10_000 + JPEG[2:], DAMAGED),
    "too large to be kept in memory": (
        with_frame_size(PROGRESSIVE, 8_000, 5_000),
        TOO_LARGE,
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED_JPEGS.values(), ids=REFUSED_JPEGS.keys())
def test_invalid_jpeg_is_refused(content, message):
    with pytest.raises(FileContentMismatch) as refused:
        sanitize_jpeg(content)

    assert refused.value.message == message


PAYLOADS = {
    "a script": b"<script>alert(1)</script>" * 3,
    "an archive": zip_archive(),
    "a program": b"MZ\x90\0" * 30,
    "text": b"Secret of mine" * 9,
    "zeros and a word": bytes(500) + b"Secret of mine",
    "all bytes but markers": bytes(range(1, 255)) * 5,
}
CARRIERS = {
    f"{mode} {' '.join(options)} {size[0]}": encode(image(mode, size), "JPEG", **options)
    for mode in MODES["JPEG"]
    for options in ({}, {"restart_marker_rows": 1}, {"progressive": True}, {"subsampling": 0})
    for size in ((17, 9), (160, 120))
}


@pytest.mark.parametrize("content", CARRIERS.values(), ids=CARRIERS.keys())
def test_bytes_between_scan_and_end_marker_are_removed(content):
    for payload in PAYLOADS.values():
        clean = sanitize_jpeg(content[:-2] + payload + content[-2:])

        assert open_image(clean).tobytes() == open_image(content).tobytes()
        assert len(clean) <= len(content)
        assert sanitize_jpeg(clean) == clean


def test_bytes_between_scans_of_a_progressive_jpeg_are_removed():
    content = encode(image(size=(160, 120)), "JPEG", progressive=True)
    offsets = [result.start() for result in re.finditer(rb"\xff[\xc4\xda\xd9]", content)][2:]
    payload = PAYLOADS["a script"]

    for offset in offsets:
        clean = sanitize_jpeg(content[:offset] + payload + content[offset:])

        assert payload not in clean
        assert open_image(clean).tobytes() == open_image(content).tobytes()


def test_large_progressive_jpeg_with_surplus_bytes_is_refused():
    content = repeated_scan_jpeg(4_500, 3_000, 10)
    payload = PAYLOADS["a script"]

    with pytest.raises(FileContentMismatch) as refused:
        sanitize_jpeg(content[:-2] + payload + content[-2:])

    assert refused.value.message == DAMAGED
    assert open_image(sanitize_jpeg(content)).size == (4_500, 3_000)


def test_bytes_after_the_image_are_removed():
    for payload in PAYLOADS.values():
        assert sanitize_jpeg(JPEG + payload) == JPEG


def with_profile(profile: bytes, count: int = 1) -> bytes:
    size = -(-len(profile) // count)
    segments = b"".join(
        segment(
            0xE2,
            b"ICC_PROFILE\0"
            + bytes((number + 1, count))
            + profile[number * size : (number + 1) * size],
        )
        for number in range(count)
    )
    return JPEG[:20] + segments + JPEG[20:]


def changed(offset: int, value: bytes) -> bytes:
    return PROFILE[:offset] + value + PROFILE[offset + len(value) :]


NO_PROFILES = {
    "text": b"Secret of mine" * 40,
    "nothing": b"",
    "a header alone": PROFILE[:128],
    "another signature": changed(36, b"acsq"),
    "another size": changed(0, struct.pack(">I", len(PROFILE) - 1)),
    "a size that is larger": changed(0, struct.pack(">I", 1 << 30)),
    "other colours": changed(16, b"CMYK"),
    "gray for colours": changed(16, b"GRAY"),
    "an unknown kind": changed(12, b"link"),
    "no tags": changed(128, struct.pack(">I", 0)),
    "a million tags": changed(128, struct.pack(">I", 1_000_000)),
    "a tag beyond its end": changed(136, struct.pack(">I", 1 << 31)),
    "a tag in its header": changed(136, struct.pack(">I", 0)),
    "a program behind it": struct.pack(">I", len(PROFILE) + 400) + PROFILE[4:] + b"MZ\x90\0" * 100,
    "more than a megabyte": struct.pack(">I", 2 << 20)
    + PROFILE[4:]
    + bytes((2 << 20) - len(PROFILE)),
}


@pytest.mark.parametrize("profile", NO_PROFILES.values(), ids=NO_PROFILES.keys())
def test_invalid_colour_profile_is_removed(profile):
    count = max(1, -(-len(profile) // 60_000))
    packed_profile = chunk(b"iCCP", b"Secret\0\0" + zlib.compress(profile))
    start, end = encode(image(), "PNG")[:33], encode(image(), "PNG")[33:]

    assert sanitize_jpeg(with_profile(profile, count)) == JPEG
    assert sanitize_png(start + packed_profile + end) == start + end


def test_colour_profile_in_several_segments_is_kept():
    content = with_profile(PROFILE, 3)

    clean = sanitize_jpeg(content)

    assert open_image(clean).info["icc_profile"] == PROFILE
    assert clean == content


@pytest.mark.parametrize("numbers", [(1, 1), (2, 1, 1), (0, 1), (1, 3), (2,)])
def test_colour_profile_with_inconsistent_segments_is_removed(numbers):
    *order, total = (*numbers, 2)
    count = b"".join(
        segment(0xE2, b"ICC_PROFILE\0" + bytes((number, total)) + PROFILE) for number in order
    )

    assert sanitize_jpeg(JPEG[:20] + count + JPEG[20:]) == JPEG


def test_profile_name_in_a_png_is_replaced():
    content = encode(image(), "PNG", icc_profile=PROFILE)
    named = chunk(b"iCCP", b"Secret of mine\0\0" + zlib.compress(PROFILE, 1))
    offset = content.index(b"IDAT") - 4

    clean = sanitize_png(content[:33] + named + content[offset:])

    assert clean == content


def test_repeated_segments_are_kept_once():
    jfif, adobe = JPEG[2:20], segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")

    assert sanitize_jpeg(JPEG[:2] + jfif * 50 + adobe * 50 + JPEG[20:]).count(b"JFIF") == 1
    assert sanitize_jpeg(JPEG[:2] + jfif + adobe * 50 + JPEG[20:]).count(b"Adobe") == 1


@pytest.mark.parametrize(
    ("size", "scans", "mode"),
    [
        ((8_000, 5_000), 64, "L"),
        ((8_000, 5_000), 30, "L"),
        ((7_000, 4_000), 60, "RGB"),
        ((6_000, 6_000), 45, "RGB"),
        ((40_000, 1_000), 64, "L"),
        ((65_535, 600), 40, "RGB"),
        ((5_000, 4_000), 64, "L"),
    ],
)
def test_progressive_jpeg_with_slow_scans_is_refused_without_decoding(size, scans, mode):
    content = resize_header(repeated_scan_jpeg(64, 48, scans, mode), *size)
    began = time.process_time()

    with pytest.raises(FileContentMismatch) as refused:
        sanitize_jpeg(content)

    assert refused.value.message == TOO_LARGE
    # Decoding the first file takes three seconds.
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(("size", "scans"), [((4_000, 3_000), 10), ((1_600, 1_200), 64)])
def test_ordinary_progressive_jpeg_is_accepted(size, scans):
    content = repeated_scan_jpeg(*size, scans)

    with Image.open(io.BytesIO(sanitize_jpeg(content))) as kept:
        assert kept.size == size


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB])
def test_jpeg_with_arithmetic_coding_is_refused(marker):
    offset = JPEG.index(b"\xff\xc0")

    with pytest.raises(FileContentMismatch):
        sanitize_jpeg(JPEG[: offset + 1] + bytes([marker]) + JPEG[offset + 2 :])


def test_jpeg_with_too_many_tables_is_refused():
    offset = JPEG.index(b"\xff\xdb")
    table = segment(0xDB, b"\0" + b"Secret!!" * 8)

    with pytest.raises(FileContentMismatch):
        sanitize_jpeg(JPEG[:offset] + table * 2_000 + JPEG[offset:])


@pytest.mark.parametrize("size", [(1, 40_000_000), (2, 65_536), (65_536, 1), (40_000_000, 1)])
def test_png_with_too_long_pixel_data_is_refused(size):
    with pytest.raises(FileContentMismatch):
        sanitize_png(png((*size, 1, 0), WHOLE))
