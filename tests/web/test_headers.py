"""Headers of requests and responses as ASGI has them."""

import pytest

from web.headers import content_length, encoded, get_header, header_index


def scope_with(*headers):
    return {"headers": list(headers)}


def test_headers_are_found_by_name_in_the_order_in_which_they_came():
    scope = scope_with((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))

    assert header_index(scope) == {b"a": (b"1", b"3"), b"b": (b"2",)}
    assert get_header(scope, b"a") == "1"
    assert get_header(scope, b"c") is None


def test_index_is_made_once():
    scope = scope_with((b"a", b"1"))

    assert header_index(scope) is header_index(scope)


@pytest.mark.parametrize(
    "change",
    [
        lambda headers: [*headers, (b"b", b"2")],
        lambda headers: headers.append((b"b", b"2")) or headers,
    ],
    ids=["another list", "the same list"],
)
def test_header_that_a_middleware_adds_is_found(change):
    scope = scope_with((b"a", b"1"))
    header_index(scope)

    scope["headers"] = change(scope["headers"])

    assert get_header(scope, b"b") == "2"


def test_value_that_a_middleware_replaces_in_place_is_found():
    scope = scope_with((b"a", b"1"))
    header_index(scope)

    scope["headers"][0] = (b"a", b"2")

    assert get_header(scope, b"a") == "2"


@pytest.mark.parametrize(
    ("values", "length"),
    [([], None), ([b"12"], 12), ([b"0"], 0), ([b"x"], None), ([b"-1"], None), ([b""], None)],
)
def test_declared_length_of_a_body(values, length):
    assert content_length(scope_with(*[(b"content-length", value) for value in values])) == length


def test_declared_length_of_many_digits_is_cut():
    assert content_length(scope_with((b"content-length", b"9" * 5_000))) == 10**18 - 1


def test_names_are_encoded_in_lower_case():
    assert encoded({"X-Name": "Value"}) == [(b"x-name", b"Value")]
