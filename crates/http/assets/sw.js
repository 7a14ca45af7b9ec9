// The push arrives with its receipt and a notice's id. What else may be said is asked for at this moment; without an
// answer in two seconds the receipt stands alone. The page gives the worker its session through the cache.
const PROMPT_MILLISECONDS = 2000;

async function session() {
  const kept = await (await caches.open("hunch-session")).match("/session");
  return kept ? kept.text() : null;
}

async function prompt(notice) {
  const token = await session();
  if (!token || !notice) return null;
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), PROMPT_MILLISECONDS);
  try {
    const answer = await fetch(`/v1/notices/${notice}`, { headers: { authorization: `Bearer ${token}` }, signal: stop.signal });
    if (!answer.ok) return null;
    const found = await answer.json();
    return found.market?.title || found.offer?.title || null;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

self.addEventListener("push", (event) => {
  const push = event.data?.json() ?? {};
  event.waitUntil((async () => {
    // A push without more is a receipt: there is nothing to ask for.
    const more = push.more ? await prompt(push.notice) : null;
    await self.registration.showNotification(push.text || "Hunch", {
      body: more || "", tag: push.notice, icon: "/assets/icon.svg", data: { notice: push.notice },
    });
  })());
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const notice = event.notification.data?.notice;
  event.waitUntil(clients.openWindow(notice ? `/app?notice=${encodeURIComponent(notice)}` : "/app"));
});
