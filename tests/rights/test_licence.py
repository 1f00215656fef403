from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yozora.errors import YozoraError
from yozora.rights.licence import check_licence


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        ("MIT", "MIT"),
        (" cc-by-4.0 ", "CC-BY-4.0"),
        ("mit and (CC0-1.0 or Apache-2.0)", "MIT AND (CC0-1.0 OR Apache-2.0)"),
        ("LicenseRef-contract.2026-7", "LicenseRef-contract.2026-7"),
        ("MIT OR LicenseRef-ours", "MIT OR LicenseRef-ours"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
    ],
)
def test_spdx_expressions_are_taken(given_as: str, expected: str) -> None:
    assert check_licence(given_as) == expected
    assert check_licence(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["", "  ", "NONE", "NOASSERTION", "unknown", "Creative Commons", "CC-BY", "BSD", "MIT AND", "AND", "(MIT",
     "MIT WITH Apache-2.0", "MIT; rm", "LicenseRef-", "LicenseRef-a b", "MIT MIT", "all rights reserved", "\0"],
)  # fmt: skip
def test_everything_else_is_refused_with_help(text: str) -> None:
    with pytest.raises(YozoraError, match="SPDX expression such as"):
        check_licence(text)


@settings(deadline=None, max_examples=40)
@given(st.text())
def test_no_text_breaks_the_check(text: str) -> None:
    with suppress(YozoraError):
        check_licence(text)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.sampled_from(["MIT", "AND", "OR", "WITH", "(", ")", "LicenseRef-x", "CC0-1.0", "foo"])
    )
)
def test_what_is_taken_names_only_known_licences(parts: list[str]) -> None:
    try:
        checked = check_licence(" ".join(parts))
    except YozoraError:
        return
    assert set(checked.replace("(", " ").replace(")", " ").split()) <= {
        "MIT",
        "AND",
        "OR",
        "LicenseRef-x",
        "CC0-1.0",
    }
