import math
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xaibench.errors import UsageError
from xaibench.references import Reference, parse, split_list

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
values = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ["true", "None", "12", "1e5", "-.5", "inf", "nan", "a b", "a,b", "(", '"', "'", "\\", '\\"', "\n"]
    )
)
targets = st.text(min_size=1).filter(str.strip)
references = st.builds(Reference, targets, st.dictionaries(names, values, max_size=4))


def types(reference):
    return {name: type(value) for name, value in reference.params.items()}


@given(references)
def test_what_is_written_is_read_back_with_the_same_types(reference):
    again = parse(str(reference))
    assert again == reference
    assert types(again) == types(reference)
    assert str(again) == str(reference)


@given(st.lists(references, max_size=4))
def test_a_list_is_split_into_what_it_was_joined_from(several):
    texts = [str(reference) for reference in several]
    assert [parse(part) for part in split_list(", ".join(texts))] == several


@given(st.text(string.ascii_letters + "()=,'\"\\ .0:") | st.text())
def test_any_text_is_a_reference_or_a_usage_error(text):
    for read in (parse, split_list):
        try:
            read(text)
        except UsageError as error:
            assert "^" in str(error)  # noqa: PT017  # every refusal points at a place


def test_every_kind_of_value_is_read():
    text = "lime(samples=500, alpha=1e-3, mode=fast, flag=true, off=False, x=none, path='a, (b)', negative=-2, s=\"7\")"
    assert parse(text) == Reference(
        "lime",
        {
            "samples": 500,
            "alpha": 0.001,
            "mode": "fast",
            "flag": True,
            "off": False,
            "x": None,
            "path": "a, (b)",
            "negative": -2,
            "s": "7",
        },
    )
    assert types(parse("a(i=1, f=1.0, b=true)")) == {"i": int, "f": float, "b": bool}


@pytest.mark.parametrize("text", ["lime", "dist:lime", "pkg.mod:make", "some dir/my-file.py:Mine", "/a/b.py:C.d"])
def test_every_kind_of_target_is_taken_whole(text):
    assert parse(f"  {text} ") == Reference(text)
    assert parse(f"{text}()") == Reference(text)


def test_parameters_have_one_order_in_writing():
    assert str(parse("a(z=1,b=x)")) == str(parse("a( b = x , z = 1 )")) == "a(b=x, z=1)"


def test_backslashes_of_a_path_stay_as_typed():
    assert parse(r'a(path="C:\data\new")').params == {"path": r"C:\data\new"}


def test_numbers_beyond_floats_stay_text_and_never_become_infinite():
    assert parse("a(x=1e999)").params == {"x": "1e999"}
    assert math.isfinite(parse("a(x=1e308)").params["x"])


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("", 0, "expected the name of a plugin"),
        ("(a=1)", 0, "expected the name of a plugin"),
        ("lime(", 5, "expected parameter=value"),
        ("lime(500)", 5, "expected parameter=value"),
        ("lime(samples)", 12, 'expected "=" after parameter samples'),
        ("lime(samples=)", 13, "expected a value for samples"),
        ("lime(samples=500", 16, 'expected "," after parameter samples, or ")"'),
        ("lime(a=1 b=2)", 9, 'expected "," after parameter a'),
        ("lime(a=1,a=2)", 10, "parameter a is given twice"),
        ("lime(a=1)x", 9, "expected the reference to end here"),
        ("lime(a='x)", 7, "expected a value for a"),
    ],
)
def test_a_mistake_is_pointed_at(text, column, what):
    with pytest.raises(UsageError) as caught:
        parse(text)
    complaint, shown, marker, *_ = str(caught.value).splitlines()
    assert what in complaint
    assert shown == f"    {text}"
    assert marker.index("^") == 4 + column


def test_a_file_of_weights_after_the_parameters_is_told_to_come_before():
    with pytest.raises(UsageError) as caught:
        parse('my_net.py:build(outputs="1,0")@trained.pt')
    better = 'my_net.py:build@trained.pt(outputs="1,0")'
    assert f"the file comes before the parameters: {better}" in str(caught.value)
    assert parse(better) == Reference("my_net.py:build@trained.pt", {"outputs": "1,0"})


def test_lists_respect_parentheses_and_quotes():
    assert split_list("a, b(c=1,d=2),e(f='x),y')") == ["a", "b(c=1,d=2)", "e(f='x),y')"]
    assert split_list("  ") == []


@pytest.mark.parametrize("text", ["a,,b", "a,", ",a", "a,'b"])
def test_lists_with_holes_or_open_quotes_are_refused(text):
    with pytest.raises(UsageError, match=r"nothing between two commas|never closed"):
        split_list(text)
