"""The report in sentences, which the terminal and the desk share."""

from collections.abc import Iterator

from atlas.instants import moment
from atlas.replay.report import Change, Load, Report
from atlas.replay.verdicts import Verdict

WORDS = {
    Verdict.APPROVED: "approved without a person",
    Verdict.ASKED: "put before a person",
    Verdict.DENIED: "denied",
}
NEVER_HERE = "A call that a stop or a limit refused has no case, so it is not among these."


def compared(report: Report) -> str:
    """How many calls were compared, of when, and how many change."""
    if report.first is None or report.last is None:
        return "No call was compared."
    when = f"from {moment(report.first)} to {moment(report.last)}"
    what = "It changes none of them" if not report.changed else f"It changes {_calls(report.changed)}"
    return f"{_calls(report.calls)} compared, {when}. {what}."


def heading(change: Change) -> str:
    """What a change is."""
    return f"{_calls(change.calls)} {WORDS[change.before]} then, and {WORDS[change.after]} by this policy"


def decided(change: Change) -> str | None:
    """What people decided on the calls of a change; None: they decided on none."""
    if not (change.approved_by_people or change.rejected_by_people):
        return None
    yes, no = change.approved_by_people, change.rejected_by_people
    return f"People approved {yes:,} of them and rejected {no:,}."


def load(said: Load) -> str:
    """What people have to decide, a day and on the busiest one."""
    if said.busiest_day is None:
        return "no decision"
    busiest = f"{said.on_busiest_day:,} on the busiest day, {said.busiest_day.isoformat()}"
    return f"{said.a_day:,.1f} decisions a day on average, {busiest} ({_calls(said.calls)} in all)"


def notes(report: Report) -> Iterator[str]:
    """What the comparison does not know, or counts in a way that a reader has to be told."""
    said = report.notes
    if report.left_out:
        yield (
            f"The time was up: {_calls(report.left_out)} were not looked at, the newest of the span. "
            "All figures are about the others."
        )
    told = {
        "{} ended, or still stand, before they were judged, and are left out.": said.not_judged,
        "{} are older than traces, and were judged by this policy without one.": said.without_trace,
        "Of {} the trace could not be made then: a person decides on them now too.": said.lost_trace,
        "Of {} the definition of the tool is not on record: the policy saw its name alone.": (
            said.without_definition
        ),
        "Of {} the tags of the tool are not on record, unless it is built in; a condition names them.": (
            said.without_tags
        ),
        "{} could not be judged then, by the policy or by a model, so that a person was asked.": (
            said.failed_then
        ),
        "On {} this policy fails, and a person is asked.": said.failed_now,
        "{} were judged again later; their first judgement is compared.": said.reopened,
        "{} were taken back by their agent; they count as they were judged.": said.withdrawn,
        "{} are held by a stop now; they count as they were judged.": said.frozen,
        f"{{}} were judged with another threshold than {report.threshold}, which counts for this policy.": (
            said.other_threshold
        ),
        "{} are of a tool of which this policy says otherwise for whom it speaks (trust). What was recorded"
        " counts for the calls behind them.": said.other_trust,
        "{} were denied then and would not be: what would have become of them is not known.": (
            said.denied_then_asked
        ),
    }
    yield from (_sentence(text, count) for text, count in told.items() if count)
    yield from _about_models(report)
    yield NEVER_HERE


def _about_models(report: Report) -> Iterator[str]:
    said = report.notes
    if not said.model_used:
        yield "No model's score is on record for these calls, so that the policy counts alone."
        return
    yield "No model was asked again: the score that it gave then counts."
    if said.model_missing:
        yield _sentence(
            "Of {} no model's score is on record, though a model could have been asked:"
            " where it failed a person decides, else the policy's own score counts.",
            said.model_missing,
        )


def _sentence(text: str, count: int) -> str:
    said = text.format(_calls(count))
    return said if count != 1 else said.replace(" are ", " is ").replace(" were ", " was ")


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"
