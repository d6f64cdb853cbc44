// The code of a link stands behind #, where no server sees it; this puts it into the form. The button sends it.
"use strict";

for (const form of document.querySelectorAll("form[data-link]")) {
  const [code, name] = location.hash.slice(1).split(/\.(.*)/s, 2);
  const field = form.querySelector("[data-code]");
  const input = field.querySelector("input");
  if (!field.querySelector(".mistake")) {
    input.value = input.value || code;
    const username = form.querySelector("[autocomplete=username]");
    if (username && name) username.value = decodeURIComponent(name);
    field.hidden = input.value !== "";
    const next = field.hidden ? "input:not([name=code]):not([hidden]), button" : "[name=code]";
    form.querySelector(next).focus();
  }
  // A second click would use the link a second time, and show that answer.
  form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
  window.addEventListener("pageshow", () => { form.querySelector("button").disabled = false; });
}
