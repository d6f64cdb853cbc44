// A decision is for what the page showed: where a call changes on an open page, its buttons wait until a person has looked.
"use strict";

const CALL = "#case[data-shown]";
const VERDICTS = "form.decision button[name=verdict]";
const REST_MILLISECONDS = 1_000; // in which a click that was meant for something else does nothing
const looked = new Map(); // what a person has seen of each call, as a digest by its reference
let unseen = { shown: null, since: 0 };

const isUnseen = (article) => looked.get(article.dataset.case) !== article.dataset.shown;
const noteOf = (article) => find("[data-changed]", article);

function look(article) {
  looked.set(article.dataset.case, article.dataset.shown);
}

// What a person changed here or in another window is known to them.
function compare() {
  const article = find(CALL);
  if (!article) return;
  if (!looked.has(article.dataset.case) || "own" in article.dataset) look(article);
  if (isUnseen(article)) disarm(article);
}

function disarm(article) {
  const note = noteOf(article);
  if (!note) return; // no one can decide on it now
  const buttons = all(VERDICTS, article);
  const hadFocus = buttons.includes(document.activeElement);
  for (const button of buttons) button.disabled = true;
  note.hidden = false;
  if (unseen.shown !== article.dataset.shown) tellChange(article, note);
  if (hadFocus) note.focus();
  rest();
}

function tellChange(article, note) {
  unseen = { shown: article.dataset.shown, since: Date.now() };
  announce(find("p", note).textContent.replace(/\s+/g, " ").trim());
  const place = find(".actions.row", note.closest("form")).getBoundingClientRect();
  if (place.bottom > 0 && place.top < innerHeight) note.scrollIntoView({ block: "nearest" });
}

function rest() {
  const button = find(`${CALL} [data-look]`);
  const left = unseen.since + REST_MILLISECONDS - Date.now();
  if (!button) return;
  button.disabled = left > 0;
  if (left > 0) setTimeout(rest, left + 20);
}

function arm(article) {
  look(article);
  noteOf(article).hidden = true;
  for (const button of all(VERDICTS, article)) button.disabled = false;
  find("#decide")?.focus({ preventScroll: true }); // and no button: Enter decides nothing
  announce("You can decide now.");
}

// Also where a click or a form that is sent is quicker than the page.
function guard(event) {
  const button = event.type === "submit" ? event.submitter : event.target.closest?.("button");
  const article = button?.matches(VERDICTS) ? button.closest(CALL) : null;
  if (!article || !isUnseen(article)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  disarm(article);
  noteOf(article)?.focus();
}

document.addEventListener("click", guard, true);
document.addEventListener("submit", guard, true);
document.addEventListener("htmx:after:swap", compare);
document.addEventListener("click", ({ target }) => {
  const article = target.closest?.("[data-look]")?.closest(CALL);
  if (article) arm(article);
});

compare();
