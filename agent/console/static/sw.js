// Says that Bleedwatch cannot be reached, where the browser would show its own page. It keeps nothing of the page itself.

const OFFLINE = "/static/offline.html";
const KEPT = [OFFLINE, "/static/console.css"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open("offline").then((cache) => cache.addAll(KEPT)).then(() => self.skipWaiting()));
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
  else if (request.destination === "style") event.respondWith(fetch(request).catch(() => caches.match(request)));
});
