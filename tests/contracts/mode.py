"""What every mode promises: subclass it and say how to make one."""

from collections.abc import Iterator

import pytest

from freezer_agent.modes.base import Mode


class ModeContract:
    """`mode` makes an application quiet; `is_quiet` says whether it is now (None: no such state)."""

    @pytest.fixture
    def mode(self) -> Iterator[Mode]:
        raise NotImplementedError

    def is_quiet(self) -> bool | None:
        """Whether the application of the fixture is quiet now."""
        raise NotImplementedError

    def test_it_is_named_like_its_option(self, mode: Mode) -> None:
        assert mode.name
        assert mode.name == mode.name.lower()

    def test_nothing_happens_before_the_block_is_entered(self, mode: Mode) -> None:
        mode.quiet()
        assert self.is_quiet() in {False, None}

    def test_it_is_quiet_inside_and_runs_after(self, mode: Mode) -> None:
        with mode.quiet():
            assert self.is_quiet() in {True, None}
        assert self.is_quiet() in {False, None}

    def test_it_runs_after_an_error_too(self, mode: Mode) -> None:
        with pytest.raises(KeyError), mode.quiet():
            raise KeyError
        assert self.is_quiet() in {False, None}

    def test_leaving_twice_does_nothing_more(self, mode: Mode) -> None:
        moment = mode.quiet()
        moment.__enter__()
        moment.__exit__(None, None, None)
        moment.__exit__(None, None, None)
        assert self.is_quiet() in {False, None}

    def test_it_can_be_made_quiet_again(self, mode: Mode) -> None:
        for _ in range(2):
            with mode.quiet():
                pass
        assert self.is_quiet() in {False, None}
