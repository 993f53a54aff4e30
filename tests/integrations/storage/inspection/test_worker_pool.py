"""Detection of formats, refusal of invalid files, and the inspection queue."""

import errno
import os
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from domain.documents import IMAGE_FORMATS, DocumentFormat, upload_advice
from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.worker_pool import (
    DEFAULT_OPTIONS,
    inspection_queue,
    sanitize_file,
)
from tests import sample_files
from tests.integrations.storage.inspection.files import (
    PNG_START,
    black_png,
    encode,
    image,
    pdf_action,
    pdf_document,
    pdf_with_open_action,
    png,
    zip_archive,
)

ANY = tuple(DocumentFormat)
NOTHING_KNOWN = f"The file is no PNG, JPEG or PDF. {upload_advice(ANY)}"
OTHER_TYPES = {
    "a program": b"MZ\x90\0" + b"\0" * 500,
    "a page": b"<!doctype html><script>alert(1)</script>",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "a GIF": encode(image("P"), "GIF"),
    "a WebP": encode(image(), "WEBP"),
    "a TIFF": encode(image(), "TIFF"),
    "a BMP": encode(image(), "BMP"),
    "a HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100,
    "an AVIF": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0" * 100,
    "a film": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 100,
    "an empty zip": b"PK\5\6" + b"\0" * 18,
    "a text document": zip_archive(),
    "a shell script": b"#!/bin/sh\necho",
    "nothing that is known": bytes(range(256)),
    "a single byte": b"x",
    "more than a kilobyte before the PDF": b"\n" * 1025 + sample_files.pdf(),
    "a JPEG after something": b"\0" + sample_files.jpeg(),
}
HOSTILE = OTHER_TYPES | {
    "a bomb": black_png(30_000, 30_000),
    "nothing but a start of PNG": PNG_START,
    "nothing but a start of JPEG": b"\xff\xd8\xff\xe0",
    "nothing but a start of PDF": b"%PDF-1.7\n",
    "half a JPEG": encode(image(size=(640, 480)), "JPEG")[:-2000],
    "half a PNG": encode(image(size=(640, 480)), "PNG")[:-500],
    "a PNG with nothing in it": png((10, 10, 8, 2)),
    "a PDF with a script": pdf_document(
        pdf_with_open_action(pdf_action("/JavaScript", JS="app.alert(1)"))
    ),
    "a PDF and a zip": sample_files.pdf() + zip_archive(),
    "a zip before a PDF": zip_archive() + sample_files.pdf(),
    "a PDF that is damaged": sample_files.pdf()[:200],
}


async def sanitized_copy(folder: Path, content: bytes, allowed=ANY) -> DocumentFormat:
    (folder / "source").write_bytes(content)
    return await sanitize_file(folder / "source", folder / "target", allowed=allowed)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_invalid_file_is_refused_without_a_copy(tmp_path, content):
    with pytest.raises(FileContentMismatch) as refused:
        await sanitized_copy(tmp_path, content)

    assert (refused.value.message == NOTHING_KNOWN) == (content in OTHER_TYPES.values())
    assert refused.value.details == {}
    assert not (tmp_path / "target").exists()
    assert (tmp_path / "source").read_bytes() == content


async def test_pdf_is_refused_if_only_images_are_allowed(tmp_path):
    with pytest.raises(FileContentMismatch) as refused:
        await sanitized_copy(tmp_path, sample_files.pdf(), allowed=IMAGE_FORMATS)

    assert refused.value.message == f"The file is no PNG or JPEG. {upload_advice(IMAGE_FORMATS)}"
    assert "Send a PNG or JPEG of at most 5 MB. On an iPhone" in refused.value.message
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (sample_files.png(), DocumentFormat.PNG),
        (sample_files.jpeg(), DocumentFormat.JPEG),
        (sample_files.pdf(), DocumentFormat.PDF),
    ],
)
async def test_format_is_detected_from_the_content(tmp_path, content, found):
    (tmp_path / "photo.jpg").write_bytes(content)

    answer = await sanitize_file(tmp_path / "photo.jpg", tmp_path / "letter.pdf", allowed=ANY)

    assert answer == found
    assert (tmp_path / "letter.pdf").exists()
    assert (tmp_path / "photo.jpg").read_bytes() == content


@pytest.mark.parametrize(
    "before",
    [
        *(b"\n", b"\r\n\r\n", bytes(9), b"\xef\xbb\xbf", b"<html>", b"%!PS-Adobe-3.0 PDF\n"),
        *(b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n", b"GIF89a", b"x" * 1024),
    ],
)
async def test_bytes_before_a_pdf_are_removed(tmp_path, before):
    answer = await sanitized_copy(tmp_path, before + sample_files.pdf())

    clean = (tmp_path / "target").read_bytes()
    await sanitized_copy(tmp_path, sample_files.pdf())
    assert answer == DocumentFormat.PDF
    assert clean == (tmp_path / "target").read_bytes()


async def test_sanitizing_a_copy_again_changes_nothing(tmp_path):
    for content in (sample_files.png(), sample_files.jpeg(), sample_files.pdf()):
        await sanitized_copy(tmp_path, content)
        once = (tmp_path / "target").read_bytes()

        await sanitized_copy(tmp_path, once)

        assert (tmp_path / "target").read_bytes() == once


async def test_damaged_files_are_not_logged(tmp_path, caplog, capfd):
    for content in HOSTILE.values():
        with pytest.raises(FileContentMismatch):
            await sanitized_copy(tmp_path, content)

    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


async def test_at_most_two_files_are_inspected_at_once(tmp_path):
    pipes = [tmp_path / str(number) for number in range(6)]
    for pipe in pipes:
        os.mkfifo(pipe)

    async with anyio.create_task_group() as tasks:
        for pipe in pipes:
            copy = pipe.with_suffix(".copy")
            tasks.start_soon(partial(sanitize_file, pipe, copy, allowed=ANY, client=pipe.name))
        try:
            while inspection_queue().waiting + inspection_queue()._running.total() < len(pipes):
                await checkpoint()
            for number, pipe in enumerate(pipes):
                # Blocks until the pipe is read.
                with await anyio.to_thread.run_sync(pipe.open, "wb") as writer:
                    assert inspection_queue()._running.total() <= DEFAULT_OPTIONS.processes
                    later = pipes[number + DEFAULT_OPTIONS.processes :]
                    assert [item.name for item in later if has_reader(item)] == []
                    writer.write(sample_files.png())
        finally:
            release(pipes)

    assert DEFAULT_OPTIONS.processes == 2
    assert [pipe.with_suffix(".copy").read_bytes() for pipe in pipes] == [sample_files.png()] * 6


def has_reader(pipe: Path) -> bool:
    """Try to open the pipe for writing, which fails without a reader."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno != errno.ENXIO
    return True


def release(pipes: list[Path]) -> None:
    """Unblock readers of the pipe with an empty content."""
    for pipe in pipes:
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


async def test_each_event_loop_has_its_own_queue():
    first = inspection_queue()

    async def of_another_loop():
        return inspection_queue()

    other = await anyio.to_thread.run_sync(anyio.run, of_another_loop)

    assert first is inspection_queue()
    assert first is not other
