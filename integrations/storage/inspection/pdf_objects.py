"""Objects of a PDF: refuse active content, copy the rest."""

import re
from collections.abc import Callable, Collection, Iterator
from io import BytesIO
from math import prod

from pypdf import apply_configuration
from pypdf.generic import (
    ArrayObject,
    ByteStringObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    NullObject,
    PdfObject,
    StreamObject,
    TextStringObject,
)

from domain.documents import MAX_FILE_BYTES
from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.jpegs import MAX_SCANNED_PIXELS, sanitize_embedded_jpeg
from integrations.storage.inspection.pdf_actions import (
    ACTIVE_UNLESS_GLYPHS,
    is_forbidden,
    remove_actions,
)

MAX_OBJECTS = 20_000
MAX_DEPTH = 50
# The copy has no object streams and may therefore be larger than the original.
MAX_COPY_BYTES = 2 * MAX_FILE_BYTES

_ACTIVE = frozenset(
    "/JS /JavaScript /Launch /EmbeddedFile /EmbeddedFiles /RichMedia /RichMediaContent"
    " /RichMediaExecute /XFA /SubmitForm /ImportData /GoToE /GoToR /Movie /Sound /Rendition"
    " /Filespec /FileAttachment /Collection /3DD /OnInstantiate".split()
)
# Name trees that some programs write although they are empty.
_TREES = frozenset(("/JavaScript", "/EmbeddedFiles"))
_TREE_KEYS = frozenset(("/Names", "/Kids", "/Limits"))
MAX_TREE_NODES = 100
_ACTIVE_LINK = re.compile(r"(?i)(?:javascript|vbscript|data|file):")
_LINK_WHITESPACE = re.compile(r"[\0-\x20]+")
_METADATA = frozenset(("/Metadata", "/PieceInfo", "/LastModified", "/Thumb"))
_JPEG_FILTERS = frozenset(("/DCTDecode", "/DCT"))


def too_complicated() -> FileContentMismatch:
    return FileContentMismatch("The PDF is too complicated. Print it to a new one.")


def require_no_active_content(value: PdfObject | None) -> None:
    """Check an object and all objects directly in it, but no references.

    Raises FileContentMismatch.
    """
    pending: list[tuple[object, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise too_complicated()
        if _is_active_content(item):
            raise FileContentMismatch(
                "The PDF has scripts, forms or files in it. Print it to a new one."
            )
        pending += [(child, depth + 1) for child in _children(item, skipped=_empty_keys(item))]


def _children(value: object, *, skipped: Collection[str] = ()) -> Iterator[object]:
    if isinstance(value, DictionaryObject):
        for key, entry in value.items():
            if key not in skipped:
                yield from (key, entry)
    elif isinstance(value, ArrayObject):
        yield from list.__iter__(value)


def _empty_keys(value: object) -> list[str]:
    """List active keys with null or an empty tree as value. Resolves references of these."""
    if not isinstance(value, DictionaryObject):
        return []
    return [key for key in _ACTIVE.intersection(value) if _is_empty(key, value.raw_get(key))]


def _is_empty(key: str, value: PdfObject) -> bool:
    target = value.get_object()
    is_null = target is None or isinstance(target, NullObject)
    return is_null or (key in _TREES and _is_empty_tree(target))


def _is_empty_tree(root: PdfObject | None) -> bool:
    """Return whether a name tree is empty (ISO 32000-1, 7.9.6); False for a large one."""
    pending = [root]
    for _ in range(MAX_TREE_NODES):
        if not pending:
            return True
        node = pending.pop()
        target = None if node is None else node.get_object()
        if not isinstance(target, DictionaryObject) or isinstance(target, StreamObject):
            return False
        if not _TREE_KEYS.issuperset(target):
            return False
        names, kids = (target.get(key, NullObject()).get_object() for key in ("/Names", "/Kids"))
        if isinstance(kids, ArrayObject):
            pending += list.__iter__(kids)
        if not isinstance(kids, (ArrayObject, NullObject)) or names not in ([], NullObject()):
            return False
    return False


def _is_active_content(value: object) -> bool:
    if isinstance(value, NameObject):
        return value in _ACTIVE
    if not isinstance(value, DictionaryObject):
        return False
    # A stream with /F has its content in another file.
    is_external = isinstance(value, StreamObject) and "/F" in value
    return (
        is_external
        or _is_active_link(value.get("/URI"))
        or any(
            not isinstance(value[key], StreamObject)
            for key in ACTIVE_UNLESS_GLYPHS.intersection(value)
        )
    )


def _is_active_link(link: PdfObject | None) -> bool:
    target = None if link is None else link.get_object()
    if isinstance(target, ByteStringObject):
        text = target.decode("latin-1")
    elif isinstance(target, TextStringObject):
        text = str(target)
    else:
        return False
    return _ACTIVE_LINK.match(_LINK_WHITESPACE.sub("", text)) is not None


class PdfCopy:
    """Copy of all objects reachable from the root, renumbered. Changes the original objects."""

    def __init__(self, root: PdfObject, *, check_time: Callable[[], None]) -> None:
        """Collect and sanitize the objects.

        `check_time` is called before each object and may raise to abort.
        """
        self._objects: list[PdfObject] = []
        self._numbers: dict[int, int] = {}
        self._copies: list[PdfObject] = []
        self._check_time = check_time
        self._number(root)
        # The list grows during the loop. References are renumbered only after all objects are
        # sanitized, because sanitizing resolves the original references.
        for item in self._objects:
            check_time()
            self._sanitize(item)
        for item in self._objects:
            check_time()
            copy = _sanitize_photo(item)
            self._renumber(copy)
            self._copies.append(copy)

    def to_bytes(self) -> bytes:
        """Raises FileContentMismatch."""
        file, offsets = BytesIO(), []
        file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        for number, copy in enumerate(self._copies, start=1):
            self._check_time()
            offsets.append(file.tell())
            file.write(b"%d 0 obj\n" % number)
            copy.write_to_stream(file)
            file.write(b"\nendobj\n")
            if file.tell() > MAX_COPY_BYTES:
                raise too_complicated()
        table_offset, size = file.tell(), len(offsets) + 1
        file.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
        file.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
        file.write(b"trailer\n<< /Size %d /Root 1 0 R >>\n" % size)
        file.write(b"startxref\n%d\n%%%%EOF\n" % table_offset)
        return file.getvalue()

    def _sanitize(self, item: PdfObject) -> None:
        """Remove metadata and actions from an object, and number the objects it refers to."""
        pending: list[object] = [item]
        while pending:
            holder = pending.pop()
            if isinstance(holder, IndirectObject):
                self._reference(holder)
            elif isinstance(holder, DictionaryObject):
                for key in (*_METADATA.intersection(holder), *_empty_keys(holder)):
                    del holder[key]
                remove_actions(holder)
                for name in [key for key, value in holder.items() if is_forbidden(value)]:
                    holder[name] = NullObject()
            elif isinstance(holder, ArrayObject):
                values = list.__iter__(holder)
                holder[:] = [NullObject() if is_forbidden(value) else value for value in values]
            pending += _children(holder)

    def _renumber(self, copy: PdfObject) -> None:
        pending: list[object] = [copy]
        while pending:
            holder = pending.pop()
            if isinstance(holder, DictionaryObject):
                for name, value in list(holder.items()):
                    holder[name] = self._renumbered(value)
            elif isinstance(holder, ArrayObject):
                holder[:] = [self._renumbered(value) for value in list.__iter__(holder)]
            pending += _children(holder)

    def _renumbered(self, value: PdfObject) -> PdfObject:
        return self._reference(value) if isinstance(value, IndirectObject) else value

    def _reference(self, reference: IndirectObject) -> IndirectObject:
        """Return the reference to the copy of an object."""
        target = reference.get_object()
        number = self._number(NullObject() if target is None else target)
        return IndirectObject(number, 0, None)

    def _number(self, item: PdfObject) -> int:
        """Return the number of an object in the copy; add the object if it is new."""
        number = self._numbers.get(id(item))
        if number is not None:
            return number
        if len(self._objects) == MAX_OBJECTS:
            raise too_complicated()
        self._objects.append(NullObject() if is_forbidden(item) else item)
        self._numbers[id(item)] = len(self._objects)
        return len(self._objects)


def _sanitize_photo(item: PdfObject) -> PdfObject:
    """Remove a JPEG's EXIF data. Raises FileContentMismatch."""
    if not isinstance(item, StreamObject):
        return item
    sides = [item.get(key) for key in ("/Width", "/Height")]
    if prod(side for side in sides if isinstance(side, int)) > MAX_SCANNED_PIXELS:
        raise too_complicated()
    filters = _values(item, "/Filter")
    if not filters or str(filters[-1]) not in _JPEG_FILTERS:
        return item
    with apply_configuration(zlib_maximum_output_length=MAX_FILE_BYTES):
        photo = sanitize_embedded_jpeg(item.get_data())
    entries = {key: value for key, value in item.items() if key != "/DecodeParms"}
    parameters = _values(item, "/DecodeParms")
    if len(parameters) == len(filters):
        entries[NameObject("/DecodeParms")] = parameters[-1]
    entries |= {NameObject("/Filter"): NameObject("/DCTDecode"), "__streamdata__": photo}
    return StreamObject.initialize_from_dictionary(entries)


def _values(stream: StreamObject, key: str) -> list[PdfObject]:
    """Return the values of an entry that is a single value or an array."""
    if key not in stream:
        return []
    value = stream[key]
    return list(value) if isinstance(value, ArrayObject) else [value]
