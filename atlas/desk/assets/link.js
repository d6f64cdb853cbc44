// The code of a link stands behind #, where no server sees it; this puts it into the form. The button sends it.
"use strict";

for (const form of document.querySelectorAll("form[data-link]")) {
  const code = decodeURIComponent(location.hash.slice(1));
  const field = form.querySelector("[data-code]");
  const input = field.querySelector("input");
  if (!field.querySelector(".mistake")) {
    input.value = input.value || code;
    field.hidden = input.value !== "";
    form.querySelector("input:not([name=code]), button").focus();
  }
  // A second click would use the link a second time, and show that answer.
  form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
  window.addEventListener("pageshow", () => { form.querySelector("button").disabled = false; });
}
