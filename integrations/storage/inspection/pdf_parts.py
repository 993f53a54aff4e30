"""What a PDF is made of: objects that must not act, and their copy."""

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

from domain.documents import MAX_BYTES
from domain.errors.exceptions import FileContentMismatch
from integrations.storage.inspection.jpegs import MAX_SCANNED_PIXELS, bare_jpeg
from integrations.storage.inspection.pdf_actions import is_removed, pacify

MAX_OBJECTS = 20_000
MAX_DEPTH = 50
# What was packed in the file is not packed in the copy.
MAX_COPY_BYTES = 2 * MAX_BYTES

_ACTIVE = frozenset(
    "/JS /JavaScript /Launch /EmbeddedFile /EmbeddedFiles /RichMedia /RichMediaContent"
    " /RichMediaExecute /XFA /SubmitForm /ImportData /GoToE /GoToR /Movie /Sound /Rendition"
    " /Filespec /FileAttachment /Collection /3DD /OnInstantiate".split()
)
# Trees of names, which some programs write though there is nothing in them.
_TREES = frozenset(("/JavaScript", "/EmbeddedFiles"))
_TREE_KEYS = frozenset(("/Names", "/Kids", "/Limits"))
MAX_TREE_NODES = 100
# As short as names of glyphs, which are streams.
_ACTIVE_KEYS = frozenset(("/AA", "/AF", "/EF"))
_ACTING_LINK = re.compile(r"(?i)(?:javascript|vbscript|data|file):")
_SKIPPED_IN_LINKS = re.compile(r"[\0-\x20]+")
_FORGOTTEN = frozenset(("/Metadata", "/PieceInfo", "/LastModified", "/Thumb"))
_JPEG_FILTERS = frozenset(("/DCTDecode", "/DCT"))


def too_complicated() -> FileContentMismatch:
    return FileContentMismatch("The PDF is too complicated. Print it to a new one.")


def require_passive(found: PdfObject | None) -> None:
    """Look at all that is in it, but at nothing that it refers to. Raises FileContentMismatch."""
    waiting: list[tuple[object, int]] = [(found, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise too_complicated()
        if _is_active_content(value):
            raise FileContentMismatch(
                "The PDF has scripts, forms or files in it. Print it to a new one."
            )
        waiting += [(part, depth + 1) for part in _parts(value, skipped=_empty_keys(value))]


def _parts(value: object, *, skipped: Collection[str] = ()) -> Iterator[object]:
    if isinstance(value, DictionaryObject):
        for key, entry in value.items():
            if key not in skipped:
                yield from (key, entry)
    elif isinstance(value, ArrayObject):
        yield from list.__iter__(value)


def _empty_keys(value: object) -> list[str]:
    """Keys of what would act, with nothing behind them. Resolves them."""
    if not isinstance(value, DictionaryObject):
        return []
    return [key for key in _ACTIVE.intersection(value) if _is_empty(key, value.raw_get(key))]


def _is_empty(key: str, value: PdfObject) -> bool:
    target = value.get_object()
    is_null = target is None or isinstance(target, NullObject)
    return is_null or (key in _TREES and _is_empty_tree(target))


def _is_empty_tree(root: PdfObject | None) -> bool:
    """Whether there are no names in it (ISO 32000-1, 7.9.6). False for a large one."""
    waiting = [root]
    for _ in range(MAX_TREE_NODES):
        if not waiting:
            return True
        tree = waiting.pop()
        target = None if tree is None else tree.get_object()
        if not isinstance(target, DictionaryObject) or isinstance(target, StreamObject):
            return False
        if not _TREE_KEYS.issuperset(target):
            return False
        names, kids = (target.get(key, NullObject()).get_object() for key in ("/Names", "/Kids"))
        if isinstance(kids, ArrayObject):
            waiting += list.__iter__(kids)
        if not isinstance(kids, (ArrayObject, NullObject)) or names not in ([], NullObject()):
            return False
    return False


def _is_active_content(value: object) -> bool:
    if isinstance(value, NameObject):
        return value in _ACTIVE
    if not isinstance(value, DictionaryObject):
        return False
    # The content of a stream with a file is in that file.
    is_elsewhere = isinstance(value, StreamObject) and "/F" in value
    return (
        is_elsewhere
        or _is_acting_link(value.get("/URI"))
        or any(not isinstance(value[key], StreamObject) for key in _ACTIVE_KEYS.intersection(value))
    )


def _is_acting_link(link: PdfObject | None) -> bool:
    target = None if link is None else link.get_object()
    if isinstance(target, ByteStringObject):
        text = target.decode("latin-1")
    elif isinstance(target, TextStringObject):
        text = str(target)
    else:
        return False
    return _ACTING_LINK.match(_SKIPPED_IN_LINKS.sub("", text)) is not None


class PdfCopy:
    """All that can be reached from the root, with numbers of its own. Changes what it copies."""

    def __init__(self, root: PdfObject, *, look: Callable[[], None]) -> None:
        """`look` is called before each object and ends it all by raising."""
        self._found: list[PdfObject] = []
        self._numbers: dict[int, int] = {}
        self._copies: list[PdfObject] = []
        self._look = look
        self._number_of(root)
        # Grows on the way. All is settled before the first reference gets its new number.
        for found in self._found:
            look()
            self._explore(found)
        for found in self._found:
            look()
            copy = _without_exif(found)
            self._renumber(copy)
            self._copies.append(copy)

    def written(self) -> bytes:
        """Raises FileContentMismatch."""
        file, places = BytesIO(), []
        file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        for number, copy in enumerate(self._copies, start=1):
            self._look()
            places.append(file.tell())
            file.write(b"%d 0 obj\n" % number)
            copy.write_to_stream(file)
            file.write(b"\nendobj\n")
            if file.tell() > MAX_COPY_BYTES:
                raise too_complicated()
        table, size = file.tell(), len(places) + 1
        file.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
        file.writelines(b"%010d 00000 n \n" % place for place in places)
        file.write(b"trailer\n<< /Size %d /Root 1 0 R >>\n" % size)
        file.write(b"startxref\n%d\n%%%%EOF\n" % table)
        return file.getvalue()

    def _explore(self, found: PdfObject) -> None:
        """Leave out what is to be forgotten or acts, and find what is referred to."""
        waiting: list[object] = [found]
        while waiting:
            holder = waiting.pop()
            if isinstance(holder, IndirectObject):
                self._reference(holder)
            elif isinstance(holder, DictionaryObject):
                for key in (*_FORGOTTEN.intersection(holder), *_empty_keys(holder)):
                    del holder[key]
                pacify(holder)
                for name in [key for key, value in holder.items() if is_removed(value)]:
                    holder[name] = NullObject()
            elif isinstance(holder, ArrayObject):
                values = list.__iter__(holder)
                holder[:] = [NullObject() if is_removed(one) else one for one in values]
            waiting += _parts(holder)

    def _renumber(self, copy: PdfObject) -> None:
        waiting: list[object] = [copy]
        while waiting:
            holder = waiting.pop()
            if isinstance(holder, DictionaryObject):
                for name, value in list(holder.items()):
                    holder[name] = self._numbered(value)
            elif isinstance(holder, ArrayObject):
                holder[:] = [self._numbered(value) for value in list.__iter__(holder)]
            waiting += _parts(holder)

    def _numbered(self, value: PdfObject) -> PdfObject:
        return self._reference(value) if isinstance(value, IndirectObject) else value

    def _reference(self, reference: IndirectObject) -> IndirectObject:
        found = reference.get_object()
        number = self._number_of(NullObject() if found is None else found)
        return IndirectObject(number, 0, None)

    def _number_of(self, found: PdfObject) -> int:
        known = self._numbers.get(id(found))
        if known is not None:
            return known
        if len(self._found) == MAX_OBJECTS:
            raise too_complicated()
        self._found.append(NullObject() if is_removed(found) else found)
        self._numbers[id(found)] = len(self._found)
        return len(self._found)


def _without_exif(found: PdfObject) -> PdfObject:
    """A photo in the document has what its camera wrote. Raises FileContentMismatch."""
    if not isinstance(found, StreamObject):
        return found
    sides = [found.get(key) for key in ("/Width", "/Height")]
    if prod(one for one in sides if isinstance(one, int)) > MAX_SCANNED_PIXELS:
        raise too_complicated()
    filters = _listed(found, "/Filter")
    if not filters or str(filters[-1]) not in _JPEG_FILTERS:
        return found
    with apply_configuration(zlib_maximum_output_length=MAX_BYTES):
        photo = bare_jpeg(found.get_data())
    entries = {key: value for key, value in found.items() if key != "/DecodeParms"}
    parameters = _listed(found, "/DecodeParms")
    if len(parameters) == len(filters):
        entries[NameObject("/DecodeParms")] = parameters[-1]
    entries |= {NameObject("/Filter"): NameObject("/DCTDecode"), "__streamdata__": photo}
    return StreamObject.initialize_from_dictionary(entries)


def _listed(found: StreamObject, key: str) -> list[PdfObject]:
    """One value, or many in an array."""
    if key not in found:
        return []
    value = found[key]
    return list(value) if isinstance(value, ArrayObject) else [value]
