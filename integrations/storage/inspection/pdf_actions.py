"""Actions of a PDF: the few that a reader may keep, written anew; all others are taken out.

An action is only followed when somebody clicks on a link or a bookmark, and leads to a page of the
document, to a web page, or to a mail or telephone program (ISO 32000-2, 12.6).
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
_TURNS = frozenset("/NextPage /PrevPage /FirstPage /LastPage".split())
_LINK = re.compile(r"(?i)(?:https?://[^/\\]|mailto:|tel:)[!-\[\]-~]*")
# Of annotations: those that only show something.
_SHOWN = frozenset(
    "/Link /Text /FreeText /Line /Square /Circle /Polygon /PolyLine /Highlight /Underline"
    " /Squiggly /StrikeOut /Stamp /Caret /Ink /Popup /Widget /PrinterMark /Watermark"
    " /Redact".split()
)
# Start something, show something by themselves, or name files and addresses.
_DROPPED = frozenset(
    "/OpenAction /URI /URL /URLS /PresSteps /Threads /SpiderInfo /NeedsRendering"
    " /Requirements /DestOutputProfileRef /OPI /FFilter /FDecodeParms /SigFlags".split()
)
_DROPPED_OF_STREAMS = frozenset("/A /PA /AA /AF /EF /Ref".split())
# As short as the names of glyphs, which are streams among streams.
_SHORT = frozenset("/AA /AF /EF".split())
_BY_ITSELF = frozenset("/FullScreen /UseAttachments".split())


class SafeAction(DictionaryObject):
    """An action that was written anew."""


def is_removed(value: object) -> bool:
    """Whether the object must not be in a copy: an action, or a program for printers."""
    if not isinstance(value, DictionaryObject) or isinstance(value, SafeAction):
        return False
    if isinstance(value, StreamObject) and _named(value, "/Subtype") == "/PS":
        return True
    return _named(value, "/Type") == "/Action" or _named(value, "/S") in _ACTIONS


def pacify(holder: DictionaryObject) -> None:
    """Take out or write anew all entries that act or lead outside. Looks at objects it names."""
    if isinstance(holder, SafeAction):
        return
    for key in _dropped_keys(holder):
        del holder[key]
    if "/A" in holder:
        _settle_action(holder, _target(holder, "/A"))
    if isinstance(annotations := _target(holder, "/Annots"), ArrayObject):
        shown = [one for one in list.__iter__(annotations) if _is_shown(one)]
        holder[NameObject("/Annots")] = ArrayObject(shown)
    if isinstance(names := _target(holder, "/Names"), DictionaryObject):
        kept = [key for key in names if key == "/Dests"]
        holder[NameObject("/Names")] = DictionaryObject({key: names.raw_get(key) for key in kept})


def _dropped_keys(holder: DictionaryObject) -> set[str]:
    keys = {key for key in _CHECKS if key in holder and _CHECKS[key](holder, _target(holder, key))}
    keys |= _DROPPED.intersection(holder)
    if isinstance(holder, StreamObject):
        keys |= _DROPPED_OF_STREAMS.intersection(holder)
    elif not (_SHORT.isdisjoint(holder) or _has_only_streams(holder)):
        keys |= _SHORT.intersection(holder)
    return keys


def _is_text(value: PdfObject | None) -> bool:
    return isinstance(value, (TextStringObject, ByteStringObject))


def _has_any(value: PdfObject | None, *keys: str) -> bool:
    return isinstance(value, DictionaryObject) and any(key in value for key in keys)


def _is_page(holder: DictionaryObject) -> bool:
    return any(key in holder for key in ("/Contents", "/MediaBox", "/Parent"))


# By key, whether an entry is taken out. Resources of a page may have any of these names. Signatures
# of the original do not fit the copy, and readers would call it altered.
_CHECKS: dict[str, Callable[[DictionaryObject, PdfObject | None], bool]] = {
    "/Dest": lambda _, value: isinstance(value, DictionaryObject),
    "/DSS": lambda holder, _: "/Pages" in holder,
    "/Dur": lambda _, value: isinstance(value, (int, float)),
    # A file by its name; for annotations their flags.
    "/F": lambda _, value: _is_text(value),
    "/UF": lambda _, value: _is_text(value),
    "/FS": lambda _, value: _is_text(value) or _has_any(value, "/F", "/UF", "/FS"),
    "/PA": lambda holder, value: _is_page(holder) or "/Subtype" in holder or _has_any(value, "/S"),
    "/PageMode": lambda _, value: str(value) in _BY_ITSELF,
    "/Perms": lambda holder, _: "/Pages" in holder,
    "/V": lambda _, value: _has_any(value, "/ByteRange"),
    "/Trans": lambda holder, value: _is_page(holder) or _has_any(value, "/S"),
}


def _settle_action(holder: DictionaryObject, value: PdfObject | None) -> None:
    """Attributes of structure have the same key, and no kind of action."""
    attributes = list(value) if isinstance(value, ArrayObject) else [value]
    found = [one.get_object() if isinstance(one, IndirectObject) else one for one in attributes]
    if not any(isinstance(one, DictionaryObject) and "/S" in one for one in found):
        return
    is_link = _named(holder, "/Subtype") == "/Link"
    action = _rewritten(value, is_link=is_link) if is_link or "/Title" in holder else None
    if action is None:
        del holder["/A"]
    else:
        holder[NameObject("/A")] = action


def _rewritten(value: PdfObject | None, *, is_link: bool) -> SafeAction | None:
    """The safe rest of an action, without actions that follow it; None without one."""
    if not isinstance(value, DictionaryObject):
        return None
    kind = _named(value, "/S")
    if kind == "/GoTo":
        target = _target(value, "/D")
        if isinstance(target, (NameObject, TextStringObject, ByteStringObject, ArrayObject)):
            return _action(kind, "/D", value.raw_get("/D"))
    if kind == "/Named" and (turn := _named(value, "/N")) in _TURNS:
        return _action(kind, "/N", NameObject(turn))
    if kind == "/URI" and is_link and (link := _link(_target(value, "/URI"))) is not None:
        return _action(kind, "/URI", TextStringObject(link))
    return None


def _action(kind: str, key: str, value: PdfObject) -> SafeAction:
    return SafeAction({NameObject("/S"): NameObject(kind), NameObject(key): value})


def _link(value: PdfObject | None) -> str | None:
    """The address of a web page, a mailbox or a telephone, in plain characters."""
    if isinstance(value, ByteStringObject):
        text = value.decode("latin-1")
    elif isinstance(value, TextStringObject):
        text = str(value)
    else:
        return None
    link = text.strip(" \t\r\n")
    return link if _LINK.fullmatch(link) else None


def _is_shown(annotation: PdfObject) -> bool:
    found = annotation.get_object()
    return isinstance(found, DictionaryObject) and _named(found, "/Subtype") in _SHOWN


def _has_only_streams(holder: DictionaryObject) -> bool:
    """Resolves entries only where it matters."""
    return _SHORT.isdisjoint(holder) or all(
        isinstance(_target(holder, key), StreamObject) for key in holder
    )


def _target(holder: DictionaryObject, key: str) -> PdfObject | None:
    """The entry's value, wherever it is written."""
    if key not in holder:
        return None
    value: PdfObject | None = holder.raw_get(key).get_object()
    return value


def _named(holder: DictionaryObject, key: str) -> str:
    """The entry's value if it is a name, else nothing."""
    value = _target(holder, key)
    return str(value) if isinstance(value, NameObject) else ""
