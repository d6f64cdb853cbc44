// Wakes up when the gateway calls this browser: there is no content, so it says the same each time.
"use strict";

const desk = new URL("../", self.location.href); // of /desk/assets/, also behind the path of a proxy

self.addEventListener("push", (event) => {
  const shown = { body: "A call waits for a person, or waited a moment ago. Open the desk.", tag: "atlas", renotify: true };
  event.waitUntil(self.registration.showNotification("ATLAS", shown));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow(desk.href));
});
