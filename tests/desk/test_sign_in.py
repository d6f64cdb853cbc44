"""The ways in, in a real browser: by keyboard, with and without JavaScript, and what axe-core finds."""

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from desk_browser import LOOKS, faults_of, person
from desk_visitor import code_in, operator
from gateway_process import AGENT_KEY, REVIEWER_KEY, GatewayProcess
from kept import acts, entries_in
from playwright.async_api import Browser, Page, expect

# A browser under load takes its time.
pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]
PASSWORD = "a long word and another"
NAMED = f"anna:{REVIEWER_KEY}"


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway with a named key."""
    process = GatewayProcess(tmp_path, ATLAS_REVIEWER_KEY=NAMED)
    await process.start()
    yield process
    await process.kill()


async def new_page(running: Browser, said: list[str], **options: object) -> Page:
    """A page of a new person; what the browser complains of is added to `said`."""
    page = await (await person(running, **options)).new_page()  # type: ignore[arg-type]

    def note(text: str) -> None:
        if "status of 40" not in text:  # an answer that the test asks for
            said.append(text)

    page.on("console", lambda message: note(message.text))
    page.on("pageerror", lambda error: note(str(error)))
    return page


async def press(page: Page, *keys: str) -> None:
    """Type on the keyboard; what has more than one letter and is no name of a key is a text."""
    names = ("Tab", "Enter", "Shift+Tab")
    for key in keys:
        if key in names:
            await page.keyboard.press(key)
        else:
            await page.keyboard.insert_text(key)  # all at once, as pasted: a browser under load types slowly


async def is_in(page: Page, gateway: GatewayProcess, name: str) -> None:
    """Fails unless the page is the inbox of this person."""
    await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    await expect(page.locator(".who")).to_contain_text(name)
    await expect(page).to_have_url(re.compile(rf"{re.escape(gateway.url)}/desk[^#]*$"))


async def focus_until(page: Page, text: str) -> None:
    """Press Tab until what has the focus says a text; fails after a few."""
    for _ in range(25):
        await page.keyboard.press("Tab")
        if text in await page.evaluate("document.activeElement.textContent.trim()"):
            return
    raise AssertionError(f"The keyboard does not reach {text}")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
async def test_each_way_in_by_keyboard_alone(
    gateway: GatewayProcess, running: Browser, scripts: bool
) -> None:
    """A link of setup, a first password, the password, a key; and out again."""
    said: list[str] = []
    page = await new_page(running, said, scripts=scripts)
    owner = code_in(await operator(gateway, "enter"))
    await page.goto(f"{gateway.url}/desk/enter#{owner}")
    if not scripts:
        await focus_until(page, "")  # the link to skip, then the brand
        await page.get_by_label("Code").focus()
        await press(page, f"{gateway.url}/desk/enter#{owner}")
    else:
        await expect(page.get_by_label("Code")).to_be_hidden()
    await press(page, "Enter")
    await is_in(page, gateway, "anna")
    await focus_until(page, "Sign out")
    await press(page, "Enter")
    await expect(page.get_by_text("You are signed out.")).to_be_visible()

    first = code_in(await operator(gateway, "add", "sarah", "--groups", "desk"))
    await page.goto(f"{gateway.url}/desk/password#{first}.sarah")
    if not scripts:
        await page.get_by_label("Code").focus()
        await press(page, f"{first}.sarah", "Tab")
    else:
        await expect(page.locator("[autocomplete=username]")).to_have_value("sarah")
        await expect(page.get_by_label("New password")).to_be_focused()
    await press(page, "too short", "Enter")  # the browser itself says so, and nothing is sent
    await expect(page.get_by_role("heading", name="Your password")).to_be_visible()
    await page.get_by_label("New password").fill("")
    await page.get_by_label("New password").focus()
    await press(page, PASSWORD, "Enter")
    await is_in(page, gateway, "sarah")
    await page.context.clear_cookies()

    await page.goto(f"{gateway.url}/desk/account")
    await expect(page).to_have_url(f"{gateway.url}/desk/sign-in?then=/desk/account")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await press(page, "sarah", "Tab", PASSWORD, "Enter")
    await expect(page.get_by_role("heading", name="Account")).to_be_visible()
    await expect(page.get_by_role("row")).to_have_count(3)  # the head, this session, and the one before
    await focus_until(page, "End all my sessions")
    await press(page, "Enter")
    await expect(page.get_by_text("You are signed out.")).to_be_visible()

    await page.goto(f"{gateway.url}/desk/sign-in")
    await page.get_by_label("Key", exact=True).focus()
    await press(page, REVIEWER_KEY, "Enter")
    await is_in(page, gateway, "anna")
    assert said == []


async def test_a_mistake_is_told_at_its_field_and_loses_nothing_else(
    gateway: GatewayProcess, running: Browser
) -> None:
    """The name stays, the place to go to stays, and a reader of screens hears the mistake."""
    await operator(gateway, "add", "sarah")
    page = await new_page(running, [])
    await page.goto(f"{gateway.url}/desk/sign-in?then=/desk/account")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await press(page, "sarah", "Tab", "not the password", "Enter")
    await expect(page.get_by_role("alert")).to_have_text("The name and the password do not belong together.")
    await expect(page).to_have_title(re.compile("^Not signed in"))
    password = page.get_by_label("Password", exact=True)
    await expect(password).to_be_focused()
    await expect(password).to_have_attribute("aria-invalid", "true")
    described = await password.get_attribute("aria-describedby")
    await expect(page.locator(f"#{described}")).to_have_text(
        "The name and the password do not belong together."
    )
    await expect(page.get_by_label("Name", exact=True)).to_have_value("sarah")
    await page.get_by_label("Key", exact=True).fill(AGENT_KEY)
    await press(page, "Enter")
    await expect(page.get_by_role("alert")).to_contain_text("This is the key of an agent.")
    await page.get_by_label("Key", exact=True).fill(REVIEWER_KEY)
    await press(page, "Enter")
    await expect(page.get_by_role("heading", name="Account")).to_be_visible()


async def test_a_page_elsewhere_can_neither_post_nor_read_nor_frame(
    gateway: GatewayProcess, running: Browser, tmp_path: Path
) -> None:
    """From another port of this machine, whose pages the browser takes for the same site."""
    page = await new_page(running, [])
    await page.goto(f"{gateway.url}/desk/sign-in")
    await page.get_by_label("Key", exact=True).fill(REVIEWER_KEY)
    await press(page, "Enter")
    await is_in(page, gateway, "anna")
    token = await page.locator("[name=form_token]").first.get_attribute("value")
    evil = await page.context.new_page()
    await evil.route(
        "http://127.0.0.1:9/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f"""<form method=post action="{gateway.url}/desk/sign-out">
            <input name=form_token value="{token}"><button>Win a prize</button></form>
            <iframe src="{gateway.url}/desk"></iframe>""",
        ),
    )
    await evil.goto("http://127.0.0.1:9/")
    framed = evil.frame_locator("iframe").get_by_role("heading", name="Inbox")
    await expect(framed).to_have_count(0)
    read_out = await evil.evaluate(
        f"fetch({json.dumps(gateway.url + '/desk/account')}, {{credentials: 'include'}})"
        ".then(answer => answer.text()).catch(error => 'refused')"
    )
    assert read_out == "refused"
    await evil.get_by_role("button").click()
    await expect(evil.get_by_text("It came from a page of another origin.")).to_be_visible()
    await page.reload()
    await is_in(page, gateway, "anna")


async def test_opening_a_link_spends_nothing_and_its_code_is_in_no_log(
    gateway: GatewayProcess, running: Browser
) -> None:
    """A mail scanner opens a link, scripts and all; two clicks of its owner sign in once."""
    code = code_in(await operator(gateway, "enter"))
    scanner = await new_page(running, [])
    for _ in range(3):
        await scanner.goto(f"{gateway.url}/desk/enter#{code}")
        await scanner.reload()
        await expect(scanner.get_by_role("button", name="Open the desk")).to_be_focused()
    page = await new_page(running, [])
    await page.goto(f"{gateway.url}/desk/enter#{code}")
    await page.get_by_role("button").dblclick()
    await is_in(page, gateway, "anna")
    await page.go_back()
    await scanner.get_by_role("button").click()
    await expect(scanner.get_by_role("alert")).to_contain_text("This link was used already.")
    assert acts(entries_in(gateway.data)) == ["people.link_made", "people.signed_in"]
    assert code not in gateway.log.read_text()


async def test_axe_finds_nothing_light_and_dark_small_and_large(
    gateway: GatewayProcess, running: Browser
) -> None:
    """On each page of the sign-in, with and without a mistake."""
    await operator(gateway, "add", "sarah")
    found: list[str] = []
    for dark, size in LOOKS:
        page = await new_page(running, found, dark=dark, size=size)
        look = f"{'dark' if dark else 'light'}-{size['width']}"

        async def check(name: str, page: Page = page, look: str = look) -> None:
            if folder := os.environ.get("ATLAS_TEST_PICTURES"):
                await page.screenshot(path=f"{folder}/sign-in-{name}-{look}.png", full_page=True)
            found.extend(f"{name} {look} {fault}" for fault in await faults_of(page))
            width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert width <= 0, f"{name} is wider than the window"

        for path in ("sign-in", "enter", "password", "enter#code", "password#code"):
            await page.goto("about:blank")
            await page.goto(f"{gateway.url}/desk/{path}")
            await check(path.replace("#", "-with-"))
        await page.get_by_label("New password").fill(PASSWORD)
        await press(page, "Enter")
        await expect(page.get_by_role("alert")).to_contain_text("This code is not known.")
        await check("password-mistake")
        await page.goto(f"{gateway.url}/desk/sign-in")
        await expect(page.get_by_label("Name")).to_be_focused()
        await press(page, "sarah", "Tab", "wrong", "Enter")
        await expect(page.get_by_role("alert")).to_contain_text("do not belong together")
        await check("sign-in-mistake")
        await page.get_by_label("Key", exact=True).fill(REVIEWER_KEY)
        await press(page, "Enter")
        await is_in(page, gateway, "anna")
        await page.goto(f"{gateway.url}/desk/account")
        await check("account")
        await page.evaluate(
            "document.querySelector('form[action$=end-sessions] [name=form_token]').value = 'x'"
        )
        await page.get_by_role("button", name="End all my sessions").click()
        await expect(page.get_by_role("alert")).to_contain_text("was not taken")
        await check("form-refused")
    assert found == []
