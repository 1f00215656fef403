from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.service.tenants import AT

from yozora.errors import YozoraError
from yozora.service import prices
from yozora.service.database import Database
from yozora.service.prices import Price


def test_where_no_price_is_set_videos_are_free(database: Database) -> None:
    with database.read() as tx:
        assert prices.price(tx, "nano", "112x64", "4", AT) == (0, None)
        assert prices.listing(tx) == []


def test_the_particular_goes_before_the_general_and_the_new_before_the_old(
    database: Database,
) -> None:
    with database.write() as tx:

        def add(model: str, size: str, each: int, at: int, valid_from: int | None = None) -> int:
            made = prices.set_price(
                tx,
                model=model,
                size=size,
                per_video=each,
                valid_from=valid_from,
                by="test",
                at=at,
            )
            return made.version

        def cost(model: str, size: str, at: int) -> tuple[int, int | None]:
            return prices.price(tx, model, size, 1, at)

        all_ = add("*", "*", 1, AT)
        size = add("*", "8x8", 2, AT)
        model = add("nano", "*", 3, AT)
        assert cost("large", "9x9", AT) == (1, all_)
        assert cost("large", "8x8", AT) == (2, size)
        assert cost("nano", "8x8", AT) == (3, model)
        both = add("nano", "8x8", 4, AT)
        assert cost("nano", "8x8", AT) == (4, both)
        assert cost("nano", "8x8", AT - 1) == (0, None)

        planned = add("nano", "8x8", 5, AT + 1, valid_from=AT + 100)
        corrected = add("nano", "8x8", 6, AT + 2)
        assert cost("nano", "8x8", AT + 99) == (6, corrected)
        assert cost("nano", "8x8", AT + 100) == (5, planned)
        assert add("nano", "8x8", 7, AT + 100) > planned
        assert cost("nano", "8x8", AT + 100)[0] == 7
        assert [row.per_video for row in prices.listing(tx)] == [7, 6, 5, 4, 3, 2, 1]


@given(
    per_second=st.integers(0, prices.MOST),
    per_video=st.integers(0, prices.MOST),
    ms=st.integers(0, 10**6),
)
def test_a_price_is_exact_and_rounded_up(per_second: int, per_video: int, ms: int) -> None:
    price = Price(1, "*", "*", per_second, per_video, 0, "test")
    seconds = f"{ms / 1000:.3f}"
    exact = per_video + Fraction(per_second * ms, 1000)
    if -(-exact // 1) > prices.MOST:
        with pytest.raises(YozoraError, match="costs more"):
            price.of(seconds)
    else:
        assert 0 <= price.of(seconds) - exact < 1


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [("4", 4000), (2.125, 2125), (0.1, 100), ("0.0001", 1), ("1e-999", 1), (0, 0)],
)
def test_a_length_is_in_whole_milliseconds(seconds: float | str, ms: int) -> None:
    assert prices.milliseconds(seconds) == ms


@pytest.mark.parametrize(
    "seconds", ["", "four", "nan", "inf", "-1", "1e9", "1e999999999", float("nan"), "4" * 10000]
)
def test_what_is_no_length_is_said(seconds: float | str, database: Database) -> None:
    with database.read() as tx, pytest.raises(YozoraError, match="no length") as caught:
        prices.price(tx, "nano", "8x8", seconds, AT)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"per_second": -1}, "between 0"),
        ({"per_video": prices.MOST + 1}, "between 0"),
        ({"valid_from": AT - 1}, "in the past"),
    ],
)
def test_a_price_that_cannot_be_is_said(
    database: Database, wrong: dict[str, int], said: str
) -> None:
    with database.write() as tx, pytest.raises(YozoraError, match=said):
        prices.set_price(tx, **wrong, by="test", at=AT)
