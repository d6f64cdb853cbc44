"""What a page says of a fault: of the gateway's own, and of what stands between it and the browser."""

from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import pytest_asyncio
from desk_browser import person
from desk_case import Desk, desk, field
from gateway_process import eventually, status_of
from kept import store_by_hand
from playwright.async_api import Browser, Route, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway whose calls wait for people."""
    async with desk(tmp_path_factory.mktemp("faults")) as one:
        yield one


async def test_a_fault_of_the_gateway_is_told_on_a_page_that_says_what_is_known(at: Desk) -> None:
    """A case whose row is broken: to look did nothing, and of a form it is not known."""
    reference = await at.ask(invoice_id="F-1")
    with closing(store_by_hand(at.gateway.data)) as connection, connection:
        connection.execute("UPDATE cases SET arguments = '{' WHERE case_id = ?", (reference,))
    async with at.person() as person:
        looked = await person.get(f"/desk/cases/{reference}")
        form = {"form_token": field((await person.get("/desk/account")).text, "form_token"), "text": "x"}
        sent = await person.post(
            f"/desk/cases/{reference}/comments", data=form, headers={"HX-Request": "true"}
        )
    assert looked.status_code == sent.status_code == 500
    assert "Nothing was done." in looked.text and "<html" in looked.text
    assert (
        "It is not known whether this was recorded" in sent.text and sent.headers["HX-Retarget"] == "#answer"
    )


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, "Internal Server Error", "It is not known whether this was recorded. Send it again"),
        (502, "<html><body>Bad Gateway</body></html>", "It is not known whether this was recorded."),
        (413, "too large", "Nothing was done."),
    ],
)
async def test_an_error_that_is_no_page_of_the_desk_never_takes_the_place_of_one(
    at: Desk, chromium: Browser, status: int, body: str, said: str
) -> None:
    """What stands between, or a fault: the page stays, and says what is known."""
    reference = await at.ask(invoice_id=f"E-{status}")
    page = await at.sign_in(await person(chromium))
    await page.goto(at.case(reference))

    async def fail(route: Route) -> None:
        await route.fulfill(status=status, body=body)

    await page.route("**/decision", fail)
    await page.locator("#reason").fill("kept")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("alert")).to_contain_text(said)
    await expect(page.locator("#reason")).to_have_value("kept")
    await page.unroute_all(behavior="ignoreErrors")
    await page.get_by_role("button", name="Reject").click()

    async def is_rejected() -> bool:
        return status_of(at.gateway, reference) == "REJECTED"

    await eventually(is_rejected)
    await page.context.close()
