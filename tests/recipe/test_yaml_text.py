"""YAML as a person means it."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shortlist.recipe.yaml_text import YamlTextError, dump_yaml, line_of, load_yaml, written


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("012", "012"),
        ("1_000", "1_000"),
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
    ],
)
def test_plain_words(written: str, meant: object) -> None:
    found = load_yaml(f"a: {written}\n")["a"]
    assert found == meant
    assert type(found) is type(meant)


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]))
_VALUE = _TEXT | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)


@given(st.dictionaries(_TEXT, _VALUE))
def test_what_is_dumped_comes_back(data: dict[str, object]) -> None:
    text = dump_yaml(data)
    found = load_yaml(text)
    assert found == data
    assert [type(value) for value in found.values()] == [type(value) for value in data.values()]


@given(_TEXT)
def test_other_readers_find_the_same_text(word: str) -> None:
    assert yaml.safe_load(dump_yaml({"a": word})) == {"a": word}


def test_keys_are_text_as_they_are_written() -> None:
    assert load_yaml("on: 1\n2020: 2\n1e3: 3\n") == {"on": 1, "2020": 2, "1e3": 3}


def test_merged_mappings() -> None:
    assert load_yaml("base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n")["more"] == {"a": 1, "b": 3}


def test_a_key_that_is_there_twice() -> None:
    with pytest.raises(YamlTextError, match="line 3: the key 'seed' occurs twice, first in line 1"):
        load_yaml("seed: 1\nname: a\nseed: 2\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: 1\n", "line 2, column 1: .*; indent with spaces, not with tabs"),
        (
            "a: b: c\n",
            "line 1, column 5: mapping values are not allowed here, at 'a: b: c'; write text that contains ': '",
        ),
        ('a: "\\d"\n', "unknown escape character 'd'.*; write a backslash twice within double quotes"),
        ("a: [1\n", "inside { } and \\[ \\], write text"),
        ("a: {b: x = 'y', z}\nc: {d: 'a' = b}\n", "line 2, column 12: .*write text with one of"),
        ('a: "unit price" > 0\n', """enclose it in other quotes, like '"a b" > 0'"""),
        ('a: "unit price" = b\n', "enclose it in other quotes"),
        ("a: %b\n", "write text that begins with it in quotes"),
        ("a: *\n", "write text that begins with \\* or & in quotes"),
        ("a: !b\n", "write text that begins with ! in quotes"),
        ("a: 'b\n", "the quotes before it are not closed"),
        ("a: 1\n  b: 2\n", "mapping values|indent it like its neighbours"),
        ("a: 1\n---\na: 2\n", "a recipe is one document"),
    ],
)
def test_text_that_is_no_yaml(text: str, said: str) -> None:
    with pytest.raises(YamlTextError, match=said):
        load_yaml(text)


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: {c: *x}}"])
def test_a_value_within_itself(text: str) -> None:
    with pytest.raises(YamlTextError, match=r"line 1: the anchor .* contains itself"):
        load_yaml(text)


def test_aliases_do_not_multiply_without_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(YamlTextError, match="more than 100,000 values"):
        load_yaml("\n".join(lines))


def test_a_plain_word_as_it_is_written() -> None:
    assert written("a: {b: [1_000, 'x']}", ["a", "b", 0]) == "1_000"
    assert written("a: {b: [1_000, 'x']}", ["a", "b", 1]) is None


def test_the_line_of_a_path() -> None:
    text = "a:\n  b:\n    - c: 1\n    - c: 2\n"
    assert line_of(text, ["a", "b", 1, "c"]) == 4
    assert line_of(text, ["a", "missing"]) == 1
