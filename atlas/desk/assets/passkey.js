// Passkeys: a form with data-passkey is sent when the person's passkey has signed what the gateway asks there.
"use strict";

{
  const { bytesOf } = prepared;
  const textOf = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  const withBytes = (list) => (list ?? []).map((one) => ({ ...one, id: bytesOf(one.id) }));

  async function optionsOf(form) {
    const answer = await fetch(form.dataset.passkey, {
      method: "POST", body: new FormData(form), redirect: "manual", cache: "no-store", headers: { "HX-Request": "true" },
    });
    if (answer.status === 401) throw new Error("You are signed out. Nothing was done. Sign in again.");
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      throw new Error(page.body.textContent.trim() || "The gateway did not answer. Nothing was done.");
    }
    return answer.json();
  }

  async function made(options) {
    const publicKey = {
      ...options,
      challenge: bytesOf(options.challenge),
      user: { ...options.user, id: bytesOf(options.user.id) },
      excludeCredentials: withBytes(options.excludeCredentials),
    };
    const { id, rawId, type, response } = await navigator.credentials.create({ publicKey });
    return { id, rawId: textOf(rawId), type, response: { clientDataJSON: textOf(response.clientDataJSON), attestationObject: textOf(response.attestationObject) } };
  }

  async function signature(options) {
    const publicKey = { ...options, challenge: bytesOf(options.challenge), allowCredentials: withBytes(options.allowCredentials) };
    const { id, rawId, type, response } = await navigator.credentials.get({ publicKey });
    const parts = ["clientDataJSON", "authenticatorData", "signature"];
    return { id, rawId: textOf(rawId), type, response: Object.fromEntries(parts.map((name) => [name, textOf(response[name])])) };
  }

  function whyNot(error) {
    if (!window.PublicKeyCredential) return "This browser has no passkeys here: it takes https:// or localhost. Nothing was done.";
    if (error.name === "InvalidStateError") return "This passkey was added before. Nothing was done.";
    if (error.name === "NotAllowedError") return "Your browser did not sign with a passkey: it was cancelled, or took too long. Nothing was done.";
    return error.message;
  }

  async function prepare(form) {
    const options = await optionsOf(form);
    const answer = await ("passkeyMakes" in form.dataset ? made(options) : signature(options));
    form.querySelector("[data-passkey-answer]").value = JSON.stringify(answer);
  }

  function isMeant(form, button) {
    const only = form.dataset.passkeyFor;
    return form.dataset.passkey !== undefined && (!only || button?.value === only);
  }

  prepared.sendWhen({ isMeant, prepare, whyNot });
}
