// Arguments that a person changes: what is typed outlives a reload and a lost session, and stays in its round.
"use strict";

const EDITED = "#changes [name^='edit:']";
const noteOfEdits = () => find("#dropped"); // it names the case and its round
let roundShown = noteOfEdits()?.dataset.round;

const editsOf = (note) => `${draftName(note.dataset.edits)}-edit-`;
const editsNow = (note) => `${editsOf(note)}${note.dataset.round}-`;
const editsBefore = (note) =>
  kept.names().filter((name) => name.startsWith(editsOf(note)) && !name.startsWith(editsNow(note))).sort();

// What the page showed, also where a form was refused and the field has what was typed.
function shownIn(field) {
  if (field.dataset.shown !== undefined) return field.dataset.shown;
  return field.matches("select") ? [...field.options].find((one) => one.defaultSelected)?.value : field.defaultValue;
}

function keepEdit({ target }) {
  const note = noteOfEdits();
  if (!target.matches?.(EDITED) || note.dataset.round !== roundShown) return; // a live update is half done
  const isChanged = target.value !== shownIn(target);
  const draft = isChanged ? JSON.stringify({ value: target.value, at: Date.now() }) : null;
  kept.set(`${editsNow(note)}${target.name}`, draft);
}

function putEditsBack() {
  const note = noteOfEdits();
  if (!note) return;
  showRound(note);
  for (const field of all(EDITED)) {
    const draft = draftOf(`${editsNow(note)}${field.name}`);
    if (!draft || field.value !== shownIn(field) || field === document.activeElement) continue;
    field.value = draft.value;
    field.closest("details").open = true;
  }
  offerEarlier(note);
}

// A browser keeps what was typed into an element that a live update keeps.
function showRound(note) {
  if (note.dataset.round === roundShown) return;
  roundShown = note.dataset.round;
  for (const field of all(EDITED)) field.value = shownIn(field);
}

// What was typed before the call changed is shown beside the fields, and is in none of them.
function offerEarlier(note) {
  const names = editsBefore(note);
  if (names.length === 0) return;
  find("ul", note).replaceChildren(...names.map((name) => lineOf(name, note)));
  find("[data-drop]", note).hidden = false;
  note.hidden = false;
}

function lineOf(name, note) {
  const line = document.createElement("li");
  const path = document.createElement("bdi");
  const value = document.createElement("bdi");
  path.textContent = name.slice(editsOf(note).length).replace(/^\d+-edit:/, "");
  value.textContent = draftOf(name)?.value ?? "";
  line.append(path, " = “", value, "”");
  return line;
}

function forgetEarlier(note) {
  for (const name of editsBefore(note)) kept.set(name, null);
  note.hidden = true;
  find("#decide")?.focus({ preventScroll: true });
}

document.addEventListener("input", keepEdit);
document.addEventListener("htmx:after:swap", putEditsBack);
document.addEventListener("click", ({ target }) => {
  const note = target.closest?.("[data-drop]")?.closest("#dropped");
  if (note) forgetEarlier(note);
});

putEditsBack();
