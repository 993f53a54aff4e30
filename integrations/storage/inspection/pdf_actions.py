"""Actions of a PDF (ISO 32000-2, 12.6): rewrite harmless ones, remove all others.

Harmless actions run only on a click on a link or bookmark, and open a page of the document, a web
page, or a mail or telephone program.
"""

import re
from collections.abc import Callable

from pypdf.generic import (
    ArrayObject,
    ByteStringObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    PdfObject,
    StreamObject,
    TextStringObject,
)

_ACTIONS = frozenset(
    "/GoTo /GoToR /GoToE /GoToDp /Launch /Thread /URI /Sound /Movie /Hide /Named /SubmitForm"
    " /ResetForm /ImportData /JavaScript /SetOCGState /Rendition /Trans /GoTo3DView"
    " /RichMediaExecute /SetState /NOP".split()
)
_PAGE_TURNS = frozenset("/NextPage /PrevPage /FirstPage /LastPage".split())
_LINK = re.compile(r"(?i)(?:https?://[^/\\]|mailto:|tel:)[!-\[\]-~]*")
# Annotations without behaviour of their own.
_STATIC_ANNOTATIONS = frozenset(
    "/Link /Text /FreeText /Line /Square /Circle /Polygon /PolyLine /Highlight /Underline"
    " /Squiggly /StrikeOut /Stamp /Caret /Ink /Popup /Widget /PrinterMark /Watermark"
    " /Redact".split()
)
# Entries that run automatically or name files and addresses.
_REMOVED = frozenset(
    "/OpenAction /URI /URL /URLS /PresSteps /Threads /SpiderInfo /NeedsRendering"
    " /Requirements /DestOutputProfileRef /OPI /FFilter /FDecodeParms /SigFlags".split()
)
_REMOVED_FROM_STREAMS = frozenset("/A /PA /AA /AF /EF /Ref".split())
# Active keys, unless the values are streams: a dictionary of glyphs may have the same keys.
ACTIVE_UNLESS_GLYPHS = frozenset("/AA /AF /EF".split())
_AUTOMATIC_PAGE_MODES = frozenset("/FullScreen /UseAttachments".split())


class SafeAction(DictionaryObject):
    """A rewritten, harmless action."""


def is_forbidden(value: object) -> bool:
    """Return whether a copy must not contain the object: an action or a PostScript XObject."""
    if not isinstance(value, DictionaryObject) or isinstance(value, SafeAction):
        return False
    if isinstance(value, StreamObject) and _name(value, "/Subtype") == "/PS":
        return True
    return _name(value, "/Type") == "/Action" or _name(value, "/S") in _ACTIONS


def remove_actions(holder: DictionaryObject) -> None:
    """Remove or rewrite all entries that act or refer to the outside. Resolves references."""
    if isinstance(holder, SafeAction):
        return
    for key in _keys_to_remove(holder):
        del holder[key]
    if "/A" in holder:
        _rewrite_action(holder, _resolve(holder, "/A"))
    if isinstance(annotations := _resolve(holder, "/Annots"), ArrayObject):
        static = [entry for entry in list.__iter__(annotations) if _is_static(entry)]
        holder[NameObject("/Annots")] = ArrayObject(static)
    if isinstance(names := _resolve(holder, "/Names"), DictionaryObject):
        remaining = [key for key in names if key == "/Dests"]
        holder[NameObject("/Names")] = DictionaryObject(
            {key: names.raw_get(key) for key in remaining}
        )


def _keys_to_remove(holder: DictionaryObject) -> set[str]:
    keys = {
        key
        for key, is_unwanted in _CHECKS.items()
        if key in holder and is_unwanted(holder, _resolve(holder, key))
    }
    keys |= _REMOVED.intersection(holder)
    if isinstance(holder, StreamObject):
        keys |= _REMOVED_FROM_STREAMS.intersection(holder)
    elif not (ACTIVE_UNLESS_GLYPHS.isdisjoint(holder) or _has_only_streams(holder)):
        keys |= ACTIVE_UNLESS_GLYPHS.intersection(holder)
    return keys


def _is_text(value: PdfObject | None) -> bool:
    return isinstance(value, (TextStringObject, ByteStringObject))


def _has_any(value: PdfObject | None, *keys: str) -> bool:
    return isinstance(value, DictionaryObject) and any(key in value for key in keys)


def _is_page(holder: DictionaryObject) -> bool:
    return any(key in holder for key in ("/Contents", "/MediaBox", "/Parent"))


# Entries to remove under a condition, because resources of a page may have any of these names.
# Signatures are removed, because they do not match the copy and readers would report a change.
_CHECKS: dict[str, Callable[[DictionaryObject, PdfObject | None], bool]] = {
    "/Dest": lambda _, value: isinstance(value, DictionaryObject),
    "/DSS": lambda holder, _: "/Pages" in holder,
    "/Dur": lambda _, value: isinstance(value, (int, float)),
    # A file name; in annotations a number of flags.
    "/F": lambda _, value: _is_text(value),
    "/UF": lambda _, value: _is_text(value),
    "/FS": lambda _, value: _is_text(value) or _has_any(value, "/F", "/UF", "/FS"),
    "/PA": lambda holder, value: _is_page(holder) or "/Subtype" in holder or _has_any(value, "/S"),
    "/PageMode": lambda _, value: str(value) in _AUTOMATIC_PAGE_MODES,
    "/Perms": lambda holder, _: "/Pages" in holder,
    "/V": lambda _, value: _has_any(value, "/ByteRange"),
    "/Trans": lambda holder, value: _is_page(holder) or _has_any(value, "/S"),
}


def _rewrite_action(holder: DictionaryObject, value: PdfObject | None) -> None:
    """Rewrite or remove /A, unless it has structure attributes, which use the same key."""
    entries = list(value) if isinstance(value, ArrayObject) else [value]
    targets = [
        entry.get_object() if isinstance(entry, IndirectObject) else entry for entry in entries
    ]
    if not any(isinstance(target, DictionaryObject) and "/S" in target for target in targets):
        return
    is_link = _name(holder, "/Subtype") == "/Link"
    action = _safe_action(value, is_link=is_link) if is_link or "/Title" in holder else None
    if action is None:
        del holder["/A"]
    else:
        holder[NameObject("/A")] = action


def _safe_action(value: PdfObject | None, *, is_link: bool) -> SafeAction | None:
    """Return the harmless part of an action without its /Next; None if there is none."""
    if not isinstance(value, DictionaryObject):
        return None
    kind = _name(value, "/S")
    if kind == "/GoTo":
        target = _resolve(value, "/D")
        if isinstance(target, (NameObject, TextStringObject, ByteStringObject, ArrayObject)):
            return _action(kind, "/D", value.raw_get("/D"))
    if kind == "/Named" and (turn := _name(value, "/N")) in _PAGE_TURNS:
        return _action(kind, "/N", NameObject(turn))
    if kind == "/URI" and is_link and (link := _link(_resolve(value, "/URI"))) is not None:
        return _action(kind, "/URI", TextStringObject(link))
    return None


def _action(kind: str, key: str, value: PdfObject) -> SafeAction:
    return SafeAction({NameObject("/S"): NameObject(kind), NameObject(key): value})


def _link(value: PdfObject | None) -> str | None:
    """Return an http, https, mailto or tel URI in ASCII; None for any other."""
    if isinstance(value, ByteStringObject):
        text = value.decode("latin-1")
    elif isinstance(value, TextStringObject):
        text = str(value)
    else:
        return None
    link = text.strip(" \t\r\n")
    return link if _LINK.fullmatch(link) else None


def _is_static(annotation: PdfObject) -> bool:
    target = annotation.get_object()
    return isinstance(target, DictionaryObject) and _name(target, "/Subtype") in _STATIC_ANNOTATIONS


def _has_only_streams(holder: DictionaryObject) -> bool:
    return all(isinstance(_resolve(holder, key), StreamObject) for key in holder)


def _resolve(holder: DictionaryObject, key: str) -> PdfObject | None:
    """Return the entry's value, following a reference; None without the entry."""
    if key not in holder:
        return None
    value: PdfObject | None = holder.raw_get(key).get_object()
    return value


def _name(holder: DictionaryObject, key: str) -> str:
    """Return the entry's value if it is a name, else an empty string."""
    value = _resolve(holder, key)
    return str(value) if isinstance(value, NameObject) else ""
