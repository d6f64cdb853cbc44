// The desk's own script: live updates, single keys, drafts and times. Every page works without it.
"use strict";

const root = document.body.dataset.root;
const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// What a browser keeps: a browser may forbid it, and then nothing is kept.
const kept = {
  get(name) {
    try { return localStorage.getItem(name); } catch { return null; }
  },
  set(name, value) {
    try {
      if (value === null) localStorage.removeItem(name); else localStorage.setItem(name, value);
    } catch { /* full, or forbidden */ }
  },
  names() {
    try { return Object.keys(localStorage); } catch { return []; }
  },
};

// --- said aloud: #announcer is a polite live region ------------------------------------------------

const sayings = [];
let saying = null;

function announce(text) {
  if (!text) return;
  if (!sayings.includes(text)) sayings.push(text);
  saying ??= setTimeout(() => {
    saying = null;
    const region = find("#announcer");
    const said = sayings.splice(0);
    if (region) region.textContent = said.length > 4 ? `${said.length} calls changed.` : said.join(". ");
  }, 300);
}

// --- times ------------------------------------------------------------------------------------------

const LOCAL = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });

function lengthOf(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [["d", Math.floor(seconds / 86400)], ["h", Math.floor(seconds / 3600) % 24], ["min", Math.floor(seconds / 60) % 60]];
  const said = parts.filter(([, number]) => number).map(([unit, number]) => `${number} ${unit}`);
  return said.slice(0, 2).join(" ") || `${seconds} s`;
}

function showTime(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  let text = LOCAL.format(at);
  if ("left" in element.dataset) text = at > Date.now() ? lengthOf(at - Date.now()) : "over";
  if ("clock" in element.dataset && at.toDateString() === new Date().toDateString()) text = CLOCK.format(at);
  if ("ago" in element.dataset) text = lengthOf(Date.now() - at);
  if (element.textContent !== text) element.textContent = text;
  if ("left" in element.dataset || "ago" in element.dataset) element.title = LOCAL.format(at);
  else element.title = element.dateTime;
}

const showTimes = (within = document) => all("time[datetime]", within).forEach(showTime);

// --- drafts: the text of a field outlives a reload, a live update and a lost session -----------------

const DRAFT_DAYS = 7;
const draftName = (id) => `atlas-draft ${document.body.dataset.person ?? ""} ${id}`;

function keepDraft(field) {
  const value = field.value;
  kept.set(draftName(field.dataset.draft), value ? JSON.stringify({ value, at: Date.now() }) : null);
}

function draftOf(name) {
  try { return JSON.parse(kept.get(name)); } catch { return null; }
}

function putDraftsBack(within = document) {
  for (const done of all("[data-draft-done]", within)) forgetDraft(done);
  for (const field of all("textarea[data-draft], input[data-draft]", within)) {
    const draft = draftOf(draftName(field.dataset.draft));
    if (draft?.value && !field.value) field.value = draft.value;
  }
}

// Once for what was taken: what is written after it is another draft.
function forgetDraft(done) {
  const name = done.dataset.draftDone;
  done.removeAttribute("data-draft-done");
  kept.set(draftName(name), null);
  // And what was typed into fields of arguments, in any round.
  for (const edit of kept.names()) if (edit.startsWith(`${draftName(name)}-edit-`)) kept.set(edit, null);
  const field = find(`[data-draft="${CSS.escape(name)}"]`);
  if (field && field !== document.activeElement) field.value = "";
}

function forgetOldDrafts() {
  for (const name of kept.names()) {
    if (!name.startsWith("atlas-draft ")) continue;
    const draft = draftOf(name);
    if (!draft || Date.now() - draft.at > DRAFT_DAYS * 86400e3) kept.set(name, null);
  }
}

document.addEventListener("input", (event) => {
  if (event.target.matches?.("[data-draft]")) keepDraft(event.target);
});

// --- live: a page asks again for what changed ---------------------------------------------------------

const POLL_MILLISECONDS = 15_000;
const AWAY_MILLISECONDS = 60_000; // a leader that is not heard for so long is not waited for
const HELD = "[data-case][hx-get], [data-stops][hx-get]";
const wanted = new Map(); // the version of a case that a page should show
const behind = new Set(); // the ids of what could not be fetched: it is asked for with the next news
let position = positionOfPage();
let isSignedOut = false;

function positionOfPage() {
  const said = find("[data-position]")?.dataset.position;
  if (said !== undefined) return Number(said);
  return Math.max(0, ...all("[data-version]").map((element) => Number(element.dataset.version)));
}

// What could not be fetched, such as the line of a new call, is asked for again with what is heard next.
const isMissingSome = () => behind.size > 0 || waitsToArrive.size > 0;
const isLive = () => find(`${HELD}, [data-arrivals]`) !== null;

// It alone, and not what it stands in: who looks at a case is a line of its page.
function askAgain(element) {
  if (window.htmx) htmx.trigger(element, "changed", {}, false);
}

// News is what the stream says of the entries after `after` up to `at`:
// {after, at, cases: {reference: version}, waits: [reference], looks: [reference], stops, all}.
function takeNews(news) {
  const { cases = {}, waits = [], looks = [] } = news;
  for (const [reference, version] of Object.entries(cases)) {
    wanted.set(reference, Math.max(version, wanted.get(reference) ?? 0));
  }
  for (const element of all(HELD)) {
    const { case: reference, version } = element.dataset;
    const isBehind = behind.delete(element.id);
    // A stop freezes calls, and its end sets their time right; the ledger has one entry for all of them.
    if (isBehind || news.all || news.stops || cases[reference] > Number(version)) askAgain(element);
    else if ("looks" in element.dataset && looks.includes(reference)) setTimeout(askAgain, Math.random() * 2000, element);
  }
  const isCountBehind = behind.has(find("[data-counts]")?.id);
  behind.clear(); // of what is gone from the page
  position = news.all ? news.at : Math.max(position, news.at);
  arrive(waits, news);
  if (news.all || isCountBehind || Object.keys(cases).length) countAgain();
}

// All open desks hear of a change in the same instant; they need not all count in the same instant.
let counting = null;
function countAgain() {
  const counts = find("[data-counts]");
  if (counts) counting ??= setTimeout(() => { counting = null; askAgain(counts); }, 500 + Math.random() * 1500);
}

// What the page asked for without a person says so: it does not keep a session alive.
const AUTOMATIC = { "Desk-Automatic": "true" };
// For whom the page was made: nothing that is for another person comes into it.
const WHOSE = document.body.dataset.whose ? { "Desk-Person": document.body.dataset.whose } : {};

const ask = (address) => fetch(address, {
  headers: { "HX-Request": "true", ...AUTOMATIC, ...WHOSE }, redirect: "manual", cache: "no-store",
});

function isAnswered({ status, headers, ok }) {
  if (status === 401) tellSignedOut();
  if (headers.has("HX-Refresh")) loadAgain();
  return ok;
}

// Where the ledger stands: a page that is behind asks for what it missed.
async function catchUp(at) {
  if (!isLive() || (at === position && !isMissingSome())) return;
  let answer;
  try {
    answer = await ask(`${root}/desk/live/newer?after=${position}`);
  } catch { return; } // the gateway is not there; the next reconnect asks again
  if (!isAnswered(answer)) return;
  if (isSignedOut) { isSignedOut = false; find("#signed-out")?.remove(); }
  takeNews(await answer.json());
}

function tellSignedOut() {
  if (isSignedOut) return;
  isSignedOut = true;
  closeStream();
  channel?.postMessage({ kind: "out" });
  const here = location.pathname.slice(root.length) + location.search;
  const address = `${root}/desk/sign-in?then=${encodeURIComponent(here)}`;
  tellAbove("signed-out", "You are signed out, so this page shows nothing new. What you wrote is kept. ", "Sign in again", address);
  announce("You are signed out. This page shows nothing new.");
}

function tellAbove(id, text, words, address) {
  const note = document.createElement("p");
  note.id = id;
  note.className = "notice warning";
  const link = document.createElement("a");
  link.href = address;
  link.textContent = words;
  note.append(text, link, ".");
  find("#main")?.prepend(note);
}

// Another person has signed in in this browser, and the gateway gives this page nothing of theirs. It is loaded again as
// theirs, unless that loses what was written: a draft keeps it, and an answer to a form cannot be loaded again.
const WRITTEN = "main form[method=post] :is(textarea, input:not([type=hidden], [type=checkbox], [type=radio])):not([data-draft], [name^='edit:'])";
const wouldLose = () => "answer" in document.body.dataset || all(WRITTEN).some((field) => field.value.trim() !== "");

function loadAgain() {
  if (find("#another-person")) return;
  if (!wouldLose()) { location.reload(); return; }
  const said = "Another person has signed in in this browser. This page shows nothing new and takes no form.";
  tellAbove("another-person", `${said} Copy what you wrote, then `, "go to the inbox", `${root}/desk`);
  announce(said);
}

// What the page asked for without a person is never an error page.
const isAutomatic = (context) => context.sourceElement?.matches?.(`${HELD}, [data-counts], [data-automatic]`) ?? false;

document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
  ctx.askedAt = performance.now();
  Object.assign(ctx.request.headers, WHOSE, isAutomatic(ctx) ? AUTOMATIC : {});
});

document.addEventListener("htmx:before:response", (event) => {
  const { ctx } = event.detail;
  if (ctx.response.status < 300) return;
  if (ctx.response.headers.has("HX-Refresh")) {
    event.preventDefault();
    loadAgain();
    return;
  }
  if (!isAutomatic(ctx)) {
    if (isOurs(ctx.response)) return;
    event.preventDefault();
    tellFailed(ctx.sourceElement, ctx.response.status);
    return;
  }
  event.preventDefault();
  if (ctx.response.status === 401) tellSignedOut(); else fallBehind(ctx.sourceElement);
});

document.addEventListener("htmx:error", ({ detail }) => {
  if (!detail.ctx) return;
  if (isAutomatic(detail.ctx)) fallBehind(detail.ctx.sourceElement); else tellNoAnswer(detail.ctx.sourceElement);
});

document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
  if (!isAutomatic(ctx)) find("#answer")?.replaceChildren();
});

// What is no page of the desk, such as the error of a proxy, never takes the place of one.
const isOurs = ({ headers }) => headers.has("Desk-Page") || headers.has("HX-Redirect");

// A form may have been taken. Its key lets it be sent again.
const sendAgain = (form) => find("[name=key]", form) ? "Send it again: it counts once." : "Load the page again and look.";

function tellNoAnswer(element) {
  tellProblem(element.matches("form")
    ? `No answer came. It is not known whether this was recorded. ${sendAgain(element)}`
    : "No answer came. Try again.");
}

function tellFailed(element, status) {
  const isUnknown = element.matches("form") && status >= 500;
  const said = isUnknown ? `It is not known whether this was recorded. ${sendAgain(element)}` : "Nothing was done. Try again.";
  tellProblem(`The answer was an error (${status}). ${said}`);
}

function tellProblem(text) {
  const note = document.createElement("p");
  note.className = "notice error";
  note.role = "alert";
  note.tabIndex = -1;
  note.textContent = text;
  find("#answer")?.replaceChildren(note);
  note.focus();
}

// What could not be fetched is asked for with the next news, or when the stream is heard next.
function fallBehind(element) {
  behind.add(element.id);
}

// Which calls are chosen: a live update brings its line without a mark. A call that changed has another id.
const chosen = new Set();

document.addEventListener("change", ({ target }) => {
  if (!(target instanceof Element && target.matches(".choose input"))) return;
  if (target.checked) chosen.add(target.id); else chosen.delete(target.id);
});

// Why a form was not taken stays, also where the refusal itself is the news that brings the page again. That it was taken
// stays too where the deed was news before its answer was here, and the page that was asked for then comes after it.
// Two answers can come at the same moment, so each request has its own.
const beforeSwap = new WeakMap();
let answeredAt = 0;

document.addEventListener("htmx:before:swap", (event) => {
  const { ctx } = event.detail ?? {};
  if (!ctx || !isAutomatic(ctx)) { answeredAt = performance.now(); return; }
  if (isOvertaken(ctx)) { event.preventDefault(); return; }
  focusFirst();
  beforeSwap.set(ctx, {
    mistake: find("#case .deciding > .card > [role=alert]")?.cloneNode(true),
    done: ctx.askedAt < answeredAt ? find("#done")?.cloneNode(true) : undefined,
    focused: document.activeElement?.id,
  });
});

// A browser obeys autofocus with the first picture of a page. News that comes before brings the element without it.
function focusFirst() {
  const first = find("main [autofocus]");
  first?.removeAttribute("autofocus");
  if (document.activeElement === document.body) first?.focus();
}

// It was asked for before a form was answered, and is older than what the answer shows: its buttons are gone for good.
function isOvertaken({ askedAt, text, sourceElement }) {
  const version = Number(/ data-version="(\d+)"/.exec(text)?.[1]);
  return askedAt < answeredAt && version < Number(sourceElement.dataset.version);
}

document.addEventListener("htmx:after:swap", ({ target: asking, detail }) => {
  const { mistake, done, focused } = beforeSwap.get(detail?.ctx ?? asking) ?? {};
  if (mistake && !find("#case .deciding [role=alert]")) find("#decide")?.after(mistake);
  if (done && !find("#done")) find("#decide")?.after(done);
  // An element that is moved, or put back, has lost the focus.
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus({ preventScroll: true });
  // What was swapped is not always around the form that asked: a comment is answered beside the decision.
  const target = detail?.ctx?.target ?? asking;
  const within = target instanceof Element && target.isConnected ? target.parentElement ?? document : document;
  showTimes(within);
  putDraftsBack(within);
  // What a form was answered with; a live update brings none.
  const answer = find("[data-focus]", within);
  answer?.removeAttribute("data-focus");
  answer?.focus();
  for (const element of all(HELD, within)) settle(element);
  for (const box of all(".choose input", within)) box.checked = chosen.has(box.id);
  chooseKeys();
});

const saidOf = new Map(); // what each element says, by its id

function settle(element) {
  const { case: reference, version, said } = element.dataset;
  if (saidOf.get(element.id) !== said) {
    if (saidOf.has(element.id)) announce(said);
    saidOf.set(element.id, said);
  }
  if (reference === undefined) return;
  // It changed once more while it was asked for.
  if ((wanted.get(reference) ?? 0) > Number(version)) {
    wanted.delete(reference);
    askAgain(element);
  }
}

// --- live: one stream a browser -------------------------------------------------------------------------

const channel = "BroadcastChannel" in window ? new BroadcastChannel(`atlas-desk ${root}`) : null;
const canShare = channel !== null && navigator.locks !== undefined; // only where the page came securely
let stream = null;
let lastHeard = Date.now();

function hear(message) {
  lastHeard = Date.now();
  if (document.visibilityState !== "visible") return; // it catches up when it comes back into view
  const { kind, news } = message;
  if (kind === "out") { tellSignedOut(); return; }
  // A page that missed a message does not take the next one for all that happened.
  if (kind === "news" && news.after <= position) takeNews(news);
  else if (news.at > position || kind === "hello" || isMissingSome()) catchUp(news.at);
}

function openStream() {
  if (stream !== null || isSignedOut) return;
  stream = new EventSource(`${root}/desk/live`);
  for (const kind of ["hello", "news", "beat"]) {
    stream.addEventListener(kind, (event) => {
      const message = { kind, news: JSON.parse(event.data) };
      hear(message);
      channel?.postMessage(message);
    });
  }
  stream.addEventListener("error", () => {
    if (stream?.readyState === EventSource.CLOSED) {
      closeStream(); // refused: too many, signed out, or a proxy's error; the clock below tries again
      catchUp(null);
    }
  });
}

function closeStream() {
  stream?.close();
  stream = null;
}

function follow() {
  if (!isLive()) return;
  if (canShare) {
    channel.addEventListener("message", ({ data }) => hear(data));
    // The lock is kept as long as this page is there; then the next page gets it.
    navigator.locks.request(`atlas-desk ${root}`, () => { openStream(); isLeader = true; return new Promise(() => {}); });
  } else if (document.visibilityState === "visible") {
    openStream();
  }
  catchUp(null);
}
let isLeader = false;

document.addEventListener("visibilitychange", () => {
  if (!isLive()) return;
  const isSeen = document.visibilityState === "visible";
  if (!canShare) { if (isSeen) openStream(); else closeStream(); }
  if (isSeen) { showTimes(); catchUp(null); }
});

addEventListener("pagehide", closeStream);
addEventListener("pageshow", (event) => { if (event.persisted) follow(); });

setInterval(() => {
  if (!isLive() || (document.visibilityState !== "visible" && !isLeader)) return;
  const isSilent = Date.now() - lastHeard > AWAY_MILLISECONDS;
  if (isLeader || !canShare) {
    // A connection may be lost without a word: while the machine slept, or behind a proxy that keeps the stream back.
    if (isSilent) { closeStream(); lastHeard = Date.now(); }
    if (stream === null) { openStream(); catchUp(null); }
  } else if (isSilent) catchUp(null);
}, POLL_MILLISECONDS);

// --- live: new calls come into the list, and move nothing that is read --------------------------------------

const waitsToArrive = new Set();
let arriving = null;

function arrive(waits, news) {
  const list = find("[data-arrivals]");
  if (!list) return;
  for (const reference of waits) if (!find(`[data-case="${reference}"]`)) waitsToArrive.add(reference);
  if (news.all) list.dataset.missed = "true";
  if (waitsToArrive.size || news.all) arriving ??= setTimeout(fetchArrivals, 200 + Math.random() * 800, list);
}

async function fetchArrivals(list) {
  arriving = null;
  const asked = [...waitsToArrive].slice(0, 50);
  const query = new URLSearchParams(asked.map((reference) => ["case", reference]));
  let answer;
  try {
    answer = await ask(`${list.dataset.arrivals}&${query}`);
  } catch { return; } // asked for again with what is heard next
  if (!isAnswered(answer)) return;
  asked.forEach((reference) => waitsToArrive.delete(reference));
  showArrivals(list, await answer.text());
  if (waitsToArrive.size) arriving ??= setTimeout(fetchArrivals, 500, list);
}

function showArrivals(list, text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const lines = all("li[data-case]", page).filter((line) => !document.getElementById(line.id));
  const line = find("#arrived");
  if (list.dataset.atEnd === "true" && !list.dataset.missed) {
    find("#nothing")?.remove();
    for (const each of lines) {
      const added = document.importNode(each, true);
      added.classList.add("arrived");
      list.append(added);
      if (window.htmx) htmx.process(added);
      settle(added);
      showTimes(added);
    }
    list.hidden = list.children.length === 0;
  } else if (line) {
    for (const each of lines) arrived.add(each.id);
    const said = list.dataset.missed ? "Calls have changed" : arrived.size === 1 ? "1 new call waits" : `${arrived.size} new calls wait`;
    if (arrived.size || list.dataset.missed) { find("span", line).textContent = said; line.hidden = false; }
  }
  if (lines.length > 0) announce(lines.length === 1 ? `New call: ${lines[0].dataset.said}` : `${lines.length} new calls wait.`);
}
const arrived = new Set();

// --- keys: J and K move, Enter opens, and what has data-key is activated ----------------------------------------

const KEYS = "atlas-keys";
const areKeysOn = () => kept.get(KEYS) !== "off";
const isShown = (element) => element.getClientRects().length > 0;
const openers = () => all("[data-list] .open, [data-list] summary").filter(isShown);

function chosenLine() {
  return document.activeElement?.closest?.("[data-list] li[data-case]") ?? find("[data-list] li.chosen");
}

function move(step) {
  const lines = openers();
  if (lines.length === 0) return;
  const now = lines.indexOf(document.activeElement) >= 0 ? lines.indexOf(document.activeElement)
    : lines.findIndex((line) => line.closest("li")?.classList.contains("chosen"));
  const next = now < 0 ? (step > 0 ? 0 : lines.length - 1) : Math.min(lines.length - 1, Math.max(0, now + step));
  lines[next].focus();
}

document.addEventListener("focusin", ({ target }) => {
  const line = target.closest?.("[data-list] li");
  if (!line) return;
  all("[data-list] li.chosen").forEach((other) => other.classList.remove("chosen"));
  line.classList.add("chosen");
});

function isTyping(target) {
  return target instanceof Element && (target.isContentEditable || target.closest("input:not([type=checkbox], [type=radio], [type=submit], [type=button]), textarea, select") !== null);
}

function activate(element) {
  if (element.matches("input, textarea, select")) element.focus();
  else if (element.matches("form, section, fieldset, h2")) find("input, textarea, select, button", element)?.focus();
  else element.click();
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.repeat && !"jk".includes(event.key)) return;
  if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target) || find("dialog[open]")) return;
  if (!areKeysOn() || (event.shiftKey && /^\p{L}$/u.test(event.key))) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "?") showKeys();
  else if (key === "j") move(1);
  else if (key === "k") move(-1);
  else if (key === "Enter" || key === " " || key === "Tab" || key === "Escape") return; // the browser's own
  else {
    const line = chosenLine();
    const target = (line && find(`[data-key="${CSS.escape(key)}"]`, line)) ?? all(`[data-key="${CSS.escape(key)}"]`).find((element) => isShown(element) && !element.closest("[data-list]"));
    if (!target) return;
    if (target.disabled) find("[data-changed]:not([hidden])")?.focus(); else activate(target);
  }
  event.preventDefault();
});

function showKeys() {
  const dialog = find("#keys");
  if (!dialog) return;
  const rows = find("#keys-here");
  rows.replaceChildren(...keysHere().map(([key, does]) => {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    const name = document.createElement("kbd");
    name.textContent = key;
    term.append(name);
    const said = document.createElement("dd");
    said.textContent = does;
    row.append(term, said);
    return row;
  }));
  dialog.showModal();
}

function keysHere() {
  const here = find("[data-list]") ? [["J", "the next call"], ["K", "the call before"], ["Enter", "open the chosen call"]] : [];
  const seen = new Set();
  for (const element of all("[data-key]")) {
    const key = element.dataset.key;
    if (seen.has(key)) continue;
    seen.add(key);
    const does = element.dataset.does ?? element.getAttribute("aria-label") ?? (element.labels?.[0] ?? element).textContent;
    here.push([key.length === 1 ? key.toUpperCase() : key, does.replace(/\s+/g, " ").trim()]);
  }
  return [...here, ["?", "this list"]];
}

function chooseKeys() {
  const isOn = areKeysOn();
  document.body.classList.toggle("keys-on", isOn);
  for (const element of all("[data-key]")) {
    if (isOn) element.setAttribute("aria-keyshortcuts", element.dataset.key);
    else element.removeAttribute("aria-keyshortcuts");
  }
}

function prepareKeys() {
  const button = find("#keys-button");
  const box = find("#keys-switch");
  if (!button || !box) return;
  button.hidden = false;
  button.addEventListener("click", showKeys);
  box.checked = areKeysOn();
  box.addEventListener("change", () => { kept.set(KEYS, box.checked ? null : "off"); chooseKeys(); });
  chooseKeys();
}

// Enter that is held since the list opens a case, and decides nothing there: a decision is a press of its own.
document.addEventListener("keydown", (event) => {
  if (event.repeat && (event.key === "Enter" || event.key === " ") && event.target.matches?.("form.decision button")) event.preventDefault();
}, true);

// From the list A and R come to the form of a case: its button or field has the focus, and nothing is done.
const NAMED = { "#approve": "a", "#reject": "r" };

function focusWhatIsNamed() {
  if (location.hash === "#done") find("#done")?.focus(); // a browser does so later, and news can come before
  const key = NAMED[location.hash];
  if (!key) return;
  const target = find(`main [data-key="${key}"]`) ?? find("#decide");
  target?.focus({ preventScroll: true });
  target?.scrollIntoView({ block: "nearest" }); // where the form stands beside it, what will happen stays in sight
}

// --- at the start -------------------------------------------------------------------------------------------

document.documentElement.classList.add("has-script");
if (matchMedia("(max-width: 40rem)").matches) all("details[data-fold]").forEach((box) => { box.open = false; });
showTimes();
setInterval(showTimes, 20_000);
setInterval(() => all("time[data-countdown]").forEach(showTime), 1_000);
forgetOldDrafts();
putDraftsBack();
prepareKeys();
all(HELD).forEach(({ id, dataset }) => saidOf.set(id, dataset.said));
focusWhatIsNamed();
setTimeout(follow); // htmx knows the page one task after its script: before, what is asked for again is not heard
