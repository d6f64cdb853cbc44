"""What the pages of the desk work with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from atlas.assessors.policy.in_force import PolicyInForce
from atlas.cases.figures.period import FiguresKept
from atlas.cases.store import CaseStore
from atlas.desk.live.looking import Looking
from atlas.desk.live.teller import Teller
from atlas.desk.trials import Trials
from atlas.models import Case
from atlas.people.deciding import Decides
from atlas.people.visitors import Visitors
from atlas.plans.making import PlanBook
from atlas.settings import Settings
from atlas.stop.stops import Stops


@dataclass(frozen=True)
class Parts:
    """Made once by the gateway, and handed to each page."""

    settings: Settings
    store: CaseStore
    visitors: Visitors
    decisions: Decides
    announce: Callable[[Case], None]  # tells the workflow of what was decided
    stops: Stops
    plans: PlanBook
    teller: Teller  # tells open pages of what changed
    figures: FiguresKept
    policy: PolicyInForce
    trials: Trials
    looking: Looking = field(default_factory=Looking)  # who has which case open
