"""Plugin references as people type them: `lime`, `lime(samples=500)`, `dist:lime`, `pkg.mod:make`, `my.py:Mine`.

    reference := target [ "(" [ name "=" value { "," name "=" value } ] ")" ]
    target    := quoted text, or text without any of ( ) , ' "
    value     := int | float | true | false | none | quoted text | bare text

Quoted text stands in '...' or "..."; within it a backslash may precede a quote or a backslash.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from xaibench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

Value: TypeAlias = int | float | str | bool | None

WORDS: dict[str, Value] = {
    "true": True, "True": True, "false": False, "False": False, "none": None, "None": None,
}  # fmt: skip
INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][+-]?[0-9]+)?")
BARE = re.compile(r"[^\s(),='\"]+")
NAME = re.compile(r"[^\W\d]\w*")
QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
UNQUOTED_TARGET = re.compile(r"[^(),'\"]+")
ESCAPE = re.compile(r"""\\(['"\\])""")
PIECE = re.compile(rf"{QUOTED.pattern}|[(),]|[^(),'\"]+", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """A plugin and the parameters it is to be made with."""

    target: str
    params: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        """One spelling for one meaning; `parse` reads it back."""
        safe = UNQUOTED_TARGET.fullmatch(self.target) and self.target == self.target.strip()
        target = self.target if safe else quote(self.target)
        params = ", ".join(f"{name}={spell(value)}" for name, value in sorted(self.params.items()))
        return f"{target}({params})" if params else target


def parse(text: str) -> Reference:
    """Read one reference; a UsageError shows where it stops making sense."""
    reader = Reader(text)
    target = reader.target()
    params = reader.params() if reader.take("(") else {}
    reader.expect_end()
    return Reference(target, params)


def split_list(text: str) -> list[str]:
    """Split `a,b(c=1,d=2),e` at the commas which are outside of parentheses and quotes. Nothing in, nothing out."""
    if not text.strip():
        return []
    parts, depth, position = [""], 0, 0
    while position < len(text):
        piece = PIECE.match(text, position)
        if piece is None:
            fail(text, position, "this quote is never closed")
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
        if piece[0] == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece[0]
        position = piece.end()
    if any(not part.strip() for part in parts):
        fail(text, len(text), "there is nothing between two commas, or after the last")
    return [part.strip() for part in parts]


def spell(value: Value) -> str:
    """Write a value so that it is read back as the same value of the same type."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    return value if BARE.fullmatch(value) and interpret(value) is value else quote(value)


def quote(text: str) -> str:
    """Put text in double quotes."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def unquote(text: str) -> str:
    """Take the quotes off. A backslash before anything else stays: Windows paths read as typed."""
    return ESCAPE.sub(r"\1", text[1:-1])


def interpret(text: str) -> Value:
    """Read bare text as a number or one of the words, else leave it the very text it is."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def fail(text: str, position: int, what: str) -> NoReturn:
    """Point at the place."""
    shown = text.replace("\n", " ")
    raise UsageError(
        f"{what}:\n    {shown}\n    {' ' * position}^\n"
        f"  A plugin is given as name, name(parameter=value, ...), distribution:name, module:factory or file.py:Class."
    )


class Reader:
    """Reads a reference from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Step over what the pattern matches here."""
        found = pattern.match(self.text, self.position)
        if found is None:
            return None
        self.position = found.end()
        return found[0]

    def blanks(self) -> None:
        """Step over white space."""
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def take(self, mark: str) -> bool:
        """Step over a punctuation mark if it is here."""
        self.blanks()
        found = self.text.startswith(mark, self.position)
        self.position += found
        return found

    def expect(self, mark: str, after: str) -> None:
        """Step over a punctuation mark which must be here."""
        if not self.take(mark):
            fail(self.text, self.position, f'expected "{mark}" after {after}')

    def expect_end(self) -> None:
        """Nothing may follow."""
        self.blanks()
        if self.position < len(self.text):
            fail(self.text, self.position, f"expected the reference to end here{self.file_first()}")

    def file_first(self) -> str:
        """The right order, where a file with weights comes after the parameters."""
        before, rest = self.text[: self.position].rstrip(), self.text[self.position :]
        if not rest.startswith("@") or "(" not in before:
            return ""
        target, _, params = before.partition("(")
        return f"; the file comes before the parameters: {target.strip()}{rest.strip()}({params}"

    def target(self) -> str:
        """What comes before the parameters."""
        self.blanks()
        quoted = self.match(QUOTED)
        target = unquote(quoted) if quoted else (self.match(UNQUOTED_TARGET) or "").strip()
        if not target.strip():
            fail(self.text, self.position, "expected the name of a plugin")
        return target

    def params(self) -> dict[str, Value]:
        """What is in the parentheses, and the closing one."""
        params: dict[str, Value] = {}
        name = ""
        while not self.take(")"):
            if params:
                self.expect(",", f'parameter {name}, or ")"')
            name = self.param_name()
            if name in params:
                fail(self.text, self.position, f"parameter {name} is given twice")
            self.expect("=", f"parameter {name}")
            params[name] = self.value(name)
        return params

    def param_name(self) -> str:
        """The name of a parameter."""
        self.blanks()
        name = self.match(NAME)
        if name is None:
            fail(self.text, self.position, 'expected parameter=value or ")"')
        return name

    def value(self, name: str) -> Value:
        """The value of a parameter."""
        self.blanks()
        if (quoted := self.match(QUOTED)) is not None:
            return unquote(quoted)
        bare = self.match(BARE)
        if bare is None:
            fail(self.text, self.position, f"expected a value for {name}, in quotes if it holds special characters")
        return interpret(bare)
