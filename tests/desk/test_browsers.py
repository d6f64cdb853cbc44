"""A person lets a browser call them: the page of the account, a real worker, and what it shows.

No push service of Chromium answers here, so the subscription is one of a service on loopback, and a browser
without windows shows no notices. The page, the worker and the event are Chromium's.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from desk_browser import browser, faults_of, person
from desk_office import extension, office
from gateway_process import GatewayProcess, eventually
from passkeys import desk_at, signed_in
from playwright.async_api import Page, Worker, expect
from push_service import PushService, push_service

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBSCRIBES = """
  PushManager.prototype.getSubscription = async () => null;
  PushManager.prototype.subscribe = async (options) => {
    if (!options.userVisibleOnly || options.applicationServerKey.length !== 65) throw new Error("Wrong key");
    return { toJSON: () => ({ endpoint: ENDPOINT, keys: { p256dh: "x", auth: "y" } }) };
  };
"""
REGISTERED = """async () => {
  const worker = document.querySelector("form[data-push]").dataset.push;
  const made = await navigator.serviceWorker.register(worker);
  while (!made.active) await new Promise((done) => setTimeout(done, 20));
  return made.scope;
}"""
NOTES_WHAT_IT_SHOWS = """() => {
  self.shown = [];
  const note = async (title, { body }) => { self.shown.push([title, body]); };
  ServiceWorkerRegistration.prototype.showNotification = note;
}"""
ADD = "Call me in this browser"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service() -> AsyncIterator[PushService]:
    """A push service."""
    async with push_service() as here:
        yield here


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(
    service: PushService, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayProcess]:
    """A gateway that knows it."""
    process = office(tmp_path_factory.mktemp("browsers"), ATLAS_PUSH_SERVICES=service.origin)
    await process.start()
    yield process
    await process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anna(service: PushService, gateway: GatewayProcess) -> AsyncIterator[Page]:
    """Anna's browser, which may show notices."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(browser())
        context = await person(running)
        await context.grant_permissions(["notifications"], origin=desk_at(gateway))
        await context.add_init_script(SUBSCRIBES.replace("ENDPOINT", json.dumps(service.endpoint)))
        page = await context.new_page()
        await signed_in(page, gateway)
        yield page


async def test_a_browser_that_was_added_is_called_and_can_be_ended(
    anna: Page, gateway: GatewayProcess, service: PushService
) -> None:
    """The worker is the page's own file; the push service is called when a call waits."""
    await anna.goto(f"{desk_at(gateway)}/desk/account")
    await anna.get_by_role("button", name=ADD).click()
    row = anna.locator("#browsers ~ div tr", has_text="127.0.0.1")
    await row.wait_for()
    await expect(anna.locator("form[data-push]")).to_have_count(1)
    await extension(gateway, 3)
    (call, *_) = await service.called()
    assert call["body"] == b"" and "claims" in call
    assert await faults_of(anna) == []
    await row.get_by_role("button", name="End").click()
    await anna.get_by_text("None calls you.").wait_for()


async def test_the_worker_shows_one_constant_sentence(anna: Page, gateway: GatewayProcess) -> None:
    """The event is Chromium's, and brings a text that the worker does not read."""
    await anna.goto(f"{desk_at(gateway)}/desk/account")
    scope = await anna.evaluate(REGISTERED)
    assert scope == f"{desk_at(gateway)}/desk/assets/"

    async def workers() -> list[Worker]:
        return anna.context.service_workers

    (worker,) = await eventually(workers)
    assert worker.url == f"{desk_at(gateway)}/desk/assets/push-worker.js"
    await worker.evaluate(NOTES_WHAT_IT_SHOWS)
    await push(anna, gateway, "evt_0123456789abcdef")

    async def shown() -> list[list[str]]:
        told: list[list[str]] = await worker.evaluate("() => self.shown")
        return told

    assert await eventually(shown) == [
        ["ATLAS", "A call waits for a person, or waited a moment ago. Open the desk."]
    ]
    assert await worker.evaluate("() => desk.href") == f"{desk_at(gateway)}/desk/"


async def push(page: Page, gateway: GatewayProcess, text: str) -> None:
    """Have Chromium bring a push to the worker of a page."""
    protocol = await page.context.new_cdp_session(page)
    registrations: list[str] = []
    protocol.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(one["registrationId"] for one in event["registrations"]),
    )
    await protocol.send("ServiceWorker.enable")

    async def are_known() -> bool:
        return bool(registrations)

    await eventually(are_known)
    told = {"origin": desk_at(gateway), "registrationId": registrations[-1], "data": text}
    await protocol.send("ServiceWorker.deliverPushMessage", told)
