"""People see who else looks at a case, for two minutes."""

from atlas.desk.live.looking import MOST_KEPT, SECONDS, Looking


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now


def test_the_others_are_told_and_no_one_is_told_of_herself() -> None:
    """By name, in order, for each case on its own."""
    looking = Looking(Clock())
    for name in ("ben", "anna", "anna"):
        looking.note("evt_1", name)
    assert looking.others("evt_1", "anna") == ("ben",)
    assert looking.others("evt_1", "carl") == ("anna", "ben")
    assert looking.others("evt_2", "carl") == ()
    assert looking.everywhere("carl") == {"evt_1": ("anna", "ben")}


def test_a_look_is_over_after_two_minutes_and_a_new_one_begins_them_again() -> None:
    """A page that was closed says so by saying nothing more."""
    clock = Clock()
    looking = Looking(clock)
    looking.note("evt_1", "anna")
    looking.note("evt_1", "ben")
    clock.now = SECONDS - 1
    looking.note("evt_1", "ben")
    clock.now = SECONDS + 1
    assert looking.others("evt_1", "carl") == ("ben",)
    looking.leave("evt_1", "ben")
    assert looking.others("evt_1", "carl") == ()


def test_only_so_many_are_kept() -> None:
    """The oldest are forgotten first, so that memory has an end."""
    looking = Looking(Clock())
    for number in range(MOST_KEPT + 1):
        looking.note(f"evt_{number}", "anna")
    assert len(looking.everywhere("ben")) == MOST_KEPT
    assert looking.others("evt_0", "ben") == ()


def test_lists_are_told_when_a_look_begins_and_when_it_is_over() -> None:
    """That it is over is told when the list of looks is asked for next; a look that goes on tells nothing."""
    clock, told = Clock(), list[str]()
    looking = Looking(clock)
    looking.changed = told.append
    looking.note("evt_1", "anna")
    looking.note("evt_1", "anna")
    looking.note("evt_2", "anna")
    looking.leave("evt_2", "anna")
    assert told == ["evt_1", "evt_2", "evt_2"]
    clock.now = SECONDS + 1
    assert looking.case_ids() == frozenset()
    assert told == ["evt_1", "evt_2", "evt_2", "evt_1"]
