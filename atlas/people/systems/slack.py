"""The buttons of messages in Slack decide here: POST /webhook/slack.

What a rule asks more of an approval than a press of a button, the person does at the desk: they are told so,
in an answer that they alone see.
"""

import logging
from collections.abc import Callable

from fastapi import APIRouter, BackgroundTasks, FastAPI, Request, Response

from atlas.agents.keys import AgentKeys
from atlas.errors import AlreadyDecided, AtlasError, NotDelivered, SignatureRefused
from atlas.models import Verdict
from atlas.outbox.channels.slack_api import SlackApi, escaped
from atlas.outbox.messages import CASE_PAGE
from atlas.outbox.rewriting import Rewriter
from atlas.people.deciding import Deciding, Receipt, decide
from atlas.people.systems.gate import PeopleThere, refuse_keys
from atlas.people.systems.slack_wire import Pressed, check_signature, pressed_in
from atlas.settings import Settings
from atlas.settings.systems import SLACK

SLACK_PATH = "/webhook/slack"

logger = logging.getLogger(__name__)


class SlackButtons:
    """Takes what was pressed, and tells the person what became of it, where the message does not."""

    def __init__(
        self,
        settings: Settings,
        agents: AgentKeys,
        people: PeopleThere,
        parts: Deciding,
        api: SlackApi,
        rewriter: Rewriter | None,
    ) -> None:
        self._secrets = settings.slack_signing_secrets
        self._agents = agents
        self._people = people
        self._parts = parts
        self._api = api
        self._rewriter = rewriter

    async def pressed(self, request: Request) -> Pressed:
        """What Slack says was pressed; raises SignatureRefused, NotPermitted and RequestInvalid."""
        refuse_keys(request, self._agents)
        if not self._secrets:
            raise SignatureRefused(reason="ATLAS_SLACK_SIGNING_SECRET is not set.")
        return pressed_in(await check_signature(request, self._secrets))

    async def decide(self, pressed: Pressed, *, url: str) -> str | None:
        """Decide, and return what the person has to read; None: the message itself will say it."""
        if pressed.verdict is None:
            return None
        try:
            receipt = await self._decided(pressed, pressed.verdict)
        except AlreadyDecided as quicker:
            return str(quicker)
        except AtlasError as error:
            return f"{error} At the desk: {url}{CASE_PAGE}{pressed.case_id}"
        if receipt.approvals is None:
            return None
        given, needed = receipt.approvals.given, receipt.approvals.needed
        which = f"It is one of {needed}" if given is None else f"It is {given} of {needed}"
        return f"Your approval is recorded. {which}, and the call waits for the others."

    async def _decided(self, pressed: Pressed, verdict: Verdict) -> Receipt:
        person = await self._people.person(SLACK, pressed.user)
        return await decide(
            self._parts,
            person,
            case_id=pressed.case_id,
            verdict=verdict,
            round_number=pressed.round_number,
            seen_sha256=pressed.seen_sha256,
            idempotency_key=pressed.message_id,
        )

    async def let_go(self, pressed: Pressed) -> None:
        """Take dead buttons away where the pressed message is a copy that the gateway does not know."""
        if self._rewriter is not None and pressed.verdict is not None and pressed.receipt is not None:
            await self._rewriter.let_go(
                pressed.receipt, case_id=pressed.case_id, round_number=pressed.round_number
            )

    async def tell(self, pressed: Pressed, text: str) -> None:
        """Tell the person, and no one else in the channel."""
        said = {"channel": pressed.channel, "user": pressed.user, "text": escaped(text)}
        try:
            await self._api.call("chat.postEphemeral", said)
        except NotDelivered as error:  # the desk shows what became of it
            logger.warning("A person in Slack was not told why a button did nothing (%s)", error.reason)


def add_slack(app: FastAPI, buttons: SlackButtons, *, url: Callable[[], str]) -> None:
    """Serve the buttons; Slack wants an answer within three seconds, so the person is told after it."""
    router = APIRouter(include_in_schema=False)

    @router.post(SLACK_PATH)
    async def slack(request: Request, later: BackgroundTasks) -> Response:
        """Take a button that was pressed."""
        pressed = await buttons.pressed(request)
        text = await buttons.decide(pressed, url=url())
        if text is not None:
            later.add_task(buttons.tell, pressed, text)
        later.add_task(buttons.let_go, pressed)
        return Response(status_code=200)

    app.router.routes.extend(router.routes)
