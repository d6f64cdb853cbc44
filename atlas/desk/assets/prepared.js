// What passkey.js and push.js share: a form is sent when the browser has given something for it.
"use strict";

const prepared = {
  bytesOf: (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0)),

  tell(text) {
    const note = document.createElement("p");
    note.className = "notice error";
    note.role = "alert";
    note.tabIndex = -1;
    note.textContent = text;
    document.querySelector("#answer")?.replaceChildren(note);
    note.focus();
  },

  // `isMeant` says of a form and its button whether this is for it, `prepare` fills the form,
  // and `whyNot` says for a person why that failed.
  sendWhen({ isMeant, prepare, whyNot }) {
    const ready = new WeakSet(); // forms that are sent with what was just given

    async function ask(form, button) {
      try {
        await prepare(form);
      } catch (error) {
        prepared.tell(whyNot(error));
        return;
      }
      if (!button.isConnected) return; // the page has another call now
      ready.add(form);
      form.requestSubmit(button);
      ready.delete(form); // also where it was kept back: the next one is asked for again
    }

    document.addEventListener("submit", (event) => {
      const form = event.target;
      if (!isMeant(form, event.submitter)) return;
      if (ready.delete(form)) return; // once: the next one is asked for again
      event.preventDefault();
      event.stopImmediatePropagation();
      ask(form, event.submitter);
    }, true);
  },
};
