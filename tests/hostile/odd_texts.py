"""Texts in place of secrets: modified valid values and arbitrary texts."""

from collections.abc import Iterator

ODD = (
    "é", "ñ" * 43, "€", "😀", "\u0301", "\u200d", "\u202e", "ﬁ", "İ", "Ａ", "９", "٣", "\u3164",
    "\0", "\n", "\r\n", "\t", " ", "\x7f", "\x85", "\xa0", "\ufeff", "\ufffd", "\ud83d", "\udfff",
    ".", "..", "-", "_", "=", "%", "/", "\\", "'", '"', "{", "}",
)  # fmt: skip


def odd_texts(real: str) -> Iterator[str]:
    """Yield each odd text alone and at each end and the middle of the real text."""
    return (text for text in _texts(real) if text != real)


def _texts(real: str) -> Iterator[str]:
    middle = len(real) // 2
    for odd in ODD:
        yield odd
        yield odd + real
        yield real + odd
        yield real[:middle] + odd + real[middle + 1 :]
        yield real[:-1] + odd
    yield ""
    yield real[:-1]
    yield real * 2
    yield real[:5] + "é" * (len(real) - 5)
    yield real[: len(real) - 43] + "é" * 43
    yield real[: len(real) - 43] + "９" * 43
    yield real.swapcase()
    for character in ("a", "é", "\ud800", "\0", "."):
        yield character * 100_000
        yield real + character * 100_000
