"""A reviewer who decides with the forms of the desk, at a gateway that dies again and again."""

import asyncio
import re
from dataclasses import dataclass, field
from html import unescape

import httpx
from gateway_process import REVIEWER_KEY

from crash.gateway_load import GatewayLoad

HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
CONFIRMED = {"APPROVED": "Your approval is recorded.", "REJECTED": "Your rejection is recorded."}


@dataclass
class DeskLoad(GatewayLoad):
    """Signs in once: the session outlives every gateway. What a page confirms counts as acknowledged."""

    _cookies: httpx.Cookies = field(default_factory=httpx.Cookies)
    sign_ins: int = 0

    async def decide(self, case_id: str, decision: str) -> bool:
        """Open the case, send its form, and once more at the same moment, as a double click does."""
        async with httpx.AsyncClient(base_url=self.gateway.url, cookies=self._cookies, timeout=10) as desk:
            page = await desk.get(f"/desk/cases/{case_id}")
            if page.status_code == 303:
                await self._sign_in(desk)
                page = await desk.get(f"/desk/cases/{case_id}")
            form = {name: unescape(value) for name, value in HIDDEN.findall(page.text)}
            form |= {"verdict": decision, "reason": "crash test"}
            sent = (
                desk.post(f"/desk/cases/{case_id}/decision", data=form, headers={"HX-Request": "true"})
                for _ in range(2)
            )
            answers = await asyncio.gather(*sent, return_exceptions=True)
        said = [answer.text for answer in answers if isinstance(answer, httpx.Response)]
        return any(CONFIRMED[decision] in text for text in said)

    async def _sign_in(self, desk: httpx.AsyncClient) -> None:
        form = {"way": "key", "key": REVIEWER_KEY, "claimed": "anna"}
        answer = await desk.post("/desk/sign-in", data=form)
        assert answer.status_code == 303, answer.text
        self._cookies.update(desk.cookies)
        self.sign_ins += 1
