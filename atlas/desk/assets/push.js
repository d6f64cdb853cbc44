// A form with data-push is sent when the browser has subscribed to be called, with what it says of that.
"use strict";

{
  const bytesOf = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const subscribed = new WeakSet(); // forms that are sent with a subscription

  function tell(text) {
    const note = document.createElement("p");
    note.className = "notice error";
    note.role = "alert";
    note.tabIndex = -1;
    note.textContent = text;
    document.querySelector("#answer")?.replaceChildren(note);
    note.focus();
  }

  async function subscription(form) {
    if (!("serviceWorker" in navigator) || !("PushManager" in window)) {
      throw new Error("This browser cannot be called here: it takes https:// or localhost. Nothing was done.");
    }
    if ((await Notification.requestPermission()) !== "granted") {
      throw new Error("Your browser does not let this page show notices. Allow them in its settings. Nothing was done.");
    }
    const worker = await navigator.serviceWorker.register(form.dataset.push);
    const options = { userVisibleOnly: true, applicationServerKey: bytesOf(form.dataset.pushKey) };
    await (await worker.pushManager.getSubscription())?.unsubscribe(); // it may be of another key
    return worker.pushManager.subscribe(options);
  }

  async function ask(form, button) {
    try {
      form.querySelector("[data-push-answer]").value = JSON.stringify(await subscription(form));
    } catch (error) {
      tell(error.name === "AbortError" ? "The push service of your browser did not answer. Nothing was done." : error.message);
      return;
    }
    subscribed.add(form);
    form.requestSubmit(button);
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.push === undefined || subscribed.delete(form)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(form, event.submitter);
  }, true);
}
