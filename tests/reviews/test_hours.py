"""The arithmetic of working time, against the clock on the wall, minute by minute."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atlas.instants import LONGEST
from atlas.people.records.hours import DAYS
from atlas.reviews.hours import WorkingTime, read_hours

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
# Near the changes of summer time of these zones in 2026, where one of Lord Howe is half an hour.
CHANGES = (
    datetime(2026, 3, 29, tzinfo=timezone.utc),
    datetime(2026, 10, 25, tzinfo=timezone.utc),
    datetime(2026, 3, 8, tzinfo=timezone.utc),
    datetime(2026, 11, 1, tzinfo=timezone.utc),
    datetime(2026, 4, 4, tzinfo=timezone.utc),
    datetime(2026, 10, 3, tzinfo=timezone.utc),
)

of_day = st.integers(0, 24 * 60 - 1)
part = st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS), of_day, of_day).filter(lambda p: p[2] != p[3])
person = st.tuples(st.sampled_from(ZONES), st.lists(part, min_size=1, max_size=3))
moments = st.builds(
    lambda change, minutes: change + minutes * MINUTE, st.sampled_from(CHANGES), st.integers(-3000, 3000)
)


def written(parts: list[tuple[str, str, int, int]]) -> str:
    return ", ".join(f"{a}-{b} {clock(begin)}-{clock(end)}" for a, b, begin, end in parts)


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def works_at(people: list[tuple[str, list[tuple[str, str, int, int]]]], moment: datetime) -> bool:
    """Whether the clock on the wall of one of them shows one of their hours."""
    for zone, parts in people:
        wall = moment.astimezone(ZoneInfo(zone))
        today, minutes = wall.weekday(), wall.hour * 60 + wall.minute
        for first, last, begin, end in parts:
            length = (DAYS.index(last) - DAYS.index(first)) % 7
            is_today, is_yesterday = (
                (day - DAYS.index(first)) % 7 <= length for day in (today, (today - 1) % 7)
            )
            if begin < end and is_today and begin <= minutes < end:
                return True
            if begin > end and ((is_today and minutes >= begin) or (is_yesterday and minutes < end)):
                return True
    return False


def working(people: list[tuple[str, list[tuple[str, str, int, int]]]]) -> WorkingTime:
    return WorkingTime(frozenset(read_hours(written(parts), zone=zone) for zone, parts in people))


@settings(max_examples=150, deadline=None)
@given(people=st.lists(person, min_size=1, max_size=3), begin=moments, minutes=st.integers(0, 3000))
@example(people=[("Europe/Berlin", [("sun", "sun", 90, 210)])], begin=CHANGES[0], minutes=600)
@example(people=[("Europe/Berlin", [("sun", "sun", 150, 170)])], begin=CHANGES[1], minutes=600)
@example(people=[("Australia/Lord_Howe", [("sat", "sun", 100, 130)])], begin=CHANGES[4], minutes=2000)
def test_working_time_between_two_moments_is_what_the_clocks_on_the_wall_count(
    people: list[tuple[str, list[tuple[str, str, int, int]]]], begin: datetime, minutes: int
) -> None:
    """Each minute is working time in which at least one of the people works, also where clocks change."""
    counted = sum(works_at(people, begin + step * MINUTE) for step in range(minutes))
    assert working(people).between(begin, begin + minutes * MINUTE) == counted * MINUTE


@settings(max_examples=150, deadline=None)
@given(people=st.lists(person, min_size=1, max_size=3), begin=moments, minutes=st.integers(1, 900))
def test_a_length_of_working_time_ends_with_its_last_minute(
    people: list[tuple[str, list[tuple[str, str, int, int]]]], begin: datetime, minutes: int
) -> None:
    """What lies before the end is the length, and the minute before it is working time."""
    there = working(people)
    end = there.after(begin, minutes * MINUTE)
    if end == begin + LONGEST:
        assert there.between(begin, end) < minutes * MINUTE
        return
    assert there.between(begin, end) == minutes * MINUTE
    assert works_at(people, end - MINUTE)


@pytest.mark.parametrize(
    ("begin", "length", "end"),
    [
        ("2026-11-27T15:30+01:00", HOUR, "2026-11-27T16:30+01:00"),  # within one day
        ("2026-11-27T16:00+01:00", 2 * HOUR, "2026-11-30T10:00+01:00"),  # over a weekend
        ("2026-11-28T12:00+01:00", 8 * HOUR, "2026-11-30T17:00+01:00"),  # from a weekend to the end of a day
        ("2026-03-27T16:00+01:00", 2 * HOUR, "2026-03-30T10:00+02:00"),  # clocks are put forward meanwhile
        ("2026-10-23T16:00+02:00", 2 * HOUR, "2026-10-26T10:00+01:00"),  # and back
    ],
)
def test_hours_of_an_office_go_on_where_they_ended(begin: str, length: timedelta, end: str) -> None:
    """What does not fit into a day goes on the next working day."""
    office = WorkingTime(frozenset({read_hours("mon-fri 09:00-17:00", zone="Europe/Berlin")}))
    assert office.after(datetime.fromisoformat(begin), length) == datetime.fromisoformat(end)


def test_several_people_work_when_at_least_one_of_them_does() -> None:
    """Berlin from 9 to 17 and New York from 9 to 17 are fourteen hours, not sixteen."""
    weeks = (read_hours("mon-fri 09:00-17:00", zone=zone) for zone in ("Europe/Berlin", "America/New_York"))
    monday = datetime(2026, 11, 30, tzinfo=timezone.utc)
    assert WorkingTime(frozenset(weeks)).between(monday, monday + DAY) == 14 * HOUR


def test_without_hours_of_anyone_all_time_counts() -> None:
    """An hour is an hour then, at night too."""
    night = datetime(2026, 11, 29, 2, tzinfo=timezone.utc)
    assert WorkingTime().after(night, HOUR) == night + HOUR
    assert WorkingTime().between(night, night + DAY) == DAY


def test_what_no_year_of_working_time_holds_ends_after_a_year() -> None:
    """One minute a week does not make a day in a year; the count ends all the same."""
    rare = WorkingTime(frozenset({read_hours("mon 09:00-09:01", zone="UTC")}))
    begin = datetime(2026, 11, 27, tzinfo=timezone.utc)
    assert rare.after(begin, DAY) == begin + LONGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "mon-fri",
        "mon-fri 9-17",
        "mon-fri 09:00-09:00",  # nothing, or a whole day
        "mon-fri 09:00-24:01",
        "mon-fri 24:00-25:00",
        "mon-fri 09:60-17:00",
        "day-fri 09:00-17:00",
        "mon-fri 09:00-17:00,",
    ],
)
def test_what_says_no_hours_is_refused(text: str) -> None:
    """The refusal shows the form that is wanted."""
    with pytest.raises(ValueError, match="mon-fri 09:00-17:00"):
        read_hours(text, zone="UTC")


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../etc/passwd", "Berlin Time"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    """It is a name of the IANA database."""
    with pytest.raises(ValueError, match="IANA"):
        read_hours("mon-fri 09:00-17:00", zone=zone)


def test_a_whole_day_is_written_to_its_end() -> None:
    """24:00 is the end of a day."""
    whole = WorkingTime(frozenset({read_hours("sun 00:00-24:00", zone="UTC")}))
    assert (
        whole.between(datetime(2026, 11, 27, tzinfo=timezone.utc), datetime(2026, 12, 4, tzinfo=timezone.utc))
        == DAY
    )
