"""What the scripts of this folder share: the crates, and Rust source without comments and tests."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def crates(names):
    """Returns the crate folders of the workspace, or those that are named."""
    if names:
        return [Path(name) for name in names]
    return sorted(path.parent for path in ROOT.glob("crates/*/Cargo.toml"))


def is_test(path):
    """Returns whether a file holds only tests."""
    return path.stem == "tests" or "tests" in path.parts or "models" in path.parts + (path.stem,)


def files(crate):
    """Returns the source files of a crate that are not tests."""
    source = crate / "src"
    return [path for path in sorted(source.rglob("*.rs")) if not is_test(path.relative_to(source))]


def without_tests(text):
    """Removes inline test modules, which are last in a file."""
    match = re.search(r"^#\[cfg\((?:test|all\(test[^\n]*)\)\]\nmod \w+ \{", text, re.M)
    return text[: match.start()] if match else text


def blank(text):
    """Replaces comments, strings and characters by spaces. Lines keep their numbers."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"'
        r"|b?'(?:\\(?:x[0-9a-f]{2}|u\{\w+\}|.)|[^'\\\n])'",
        re.S,
    )
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
