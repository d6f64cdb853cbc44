// A form with data-push is sent when the browser has subscribed to be called, with what it says of that.
"use strict";

{
  async function subscription(form) {
    if (!("serviceWorker" in navigator) || !("PushManager" in window)) {
      throw new Error("This browser cannot be called here: it takes https:// or localhost. Nothing was done.");
    }
    if ((await Notification.requestPermission()) !== "granted") {
      throw new Error("Your browser does not let this page show notices. Allow them in its settings. Nothing was done.");
    }
    const worker = await navigator.serviceWorker.register(form.dataset.push);
    const options = { userVisibleOnly: true, applicationServerKey: prepared.bytesOf(form.dataset.pushKey) };
    await (await worker.pushManager.getSubscription())?.unsubscribe(); // it may be of another key
    return worker.pushManager.subscribe(options);
  }

  const whyNot = (error) => (error.name === "AbortError" ? "The push service of your browser did not answer. Nothing was done." : error.message);

  prepared.sendWhen({
    isMeant: (form) => form.dataset.push !== undefined,
    prepare: async (form) => { form.querySelector("[data-push-answer]").value = JSON.stringify(await subscription(form)); },
    whyNot,
  });
}
