"""Work begun in a thread: its result, its error, and nothing left behind."""

import threading

import pytest

from freezer_agent.pipeline.ahead import begun, side_by_side


def test_work_goes_on_before_anybody_waits_for_it() -> None:
    has_run = threading.Event()

    def work() -> int:
        has_run.set()
        return 7

    result = begun(work)
    assert has_run.wait(30)
    assert (result(), result()) == (7, 7)


def test_an_error_is_raised_where_the_result_is_needed() -> None:
    def work() -> int:
        raise ValueError("from the thread")

    result = begun(work)
    with pytest.raises(ValueError, match="from the thread"):
        result()


def test_results_keep_their_order_though_later_ones_end_first() -> None:
    second_is_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(30)
        if number == 1:
            second_is_done.set()
        return number * number

    assert list(side_by_side(work, range(4), 2)) == [0, 1, 4, 9]


def test_the_first_error_in_order_is_the_one_that_is_told() -> None:
    second_has_failed = threading.Event()

    def work(number: int) -> int:
        if number == 1:
            second_has_failed.set()
        elif number == 0:
            assert second_has_failed.wait(30)
        raise ValueError(f"number {number}")

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="number 0"):
        list(side_by_side(work, range(50), 2))
    assert set(threading.enumerate()) <= before
