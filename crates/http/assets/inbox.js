// Notices, what they lead to, and this phone's push subscription.
import { ask, byId, item, show } from "./api.js";
import { openSlip } from "./markets.js";

let mine;
let cursor = null;

const PUSH = {
  sent: "sent", prompt_withheld: "sent", waiting: "on its way", no_subscription: "notifications are off", nothing_better: "shown here only",
  expired: "not delivered in time", gone: "the phone was gone", refused: "not accepted by the phone", not_decided: "",
};

function device() {
  let id = localStorage.getItem("hunch-device");
  if (!id) {
    id = crypto.randomUUID();
    localStorage.setItem("hunch-device", id);
  }
  return id;
}

async function open(notice, li) {
  const found = await mine(`/v1/notices/${notice}?device=${device()}&opened=true`);
  if (found.market) return openSlip(found.market.ticker, found.market.usual_stake_points);
  const more = document.createElement("span");
  more.className = "quiet";
  more.textContent = found.offer ? found.offer.title : "That is all.";
  li.querySelector("button")?.replaceWith(more);
}

function row(notice) {
  const when = new Date(notice.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const push = PUSH[notice.push] ?? notice.push.replaceAll("_", " ");
  const li = item(notice.text, push ? `${when} · ${push}` : when, "");
  if (notice.more) {
    const button = document.createElement("button");
    button.textContent = "Look";
    button.addEventListener("click", () => open(notice.notice, li).catch(trouble));
    li.lastChild.replaceWith(button);
  }
  return li;
}

function trouble(error) {
  show(byId("trouble"), Boolean(error));
  byId("trouble").textContent = error ? error.message : "";
}

async function page(more) {
  const query = more && cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  const found = await mine(`/v1/me/inbox?limit=20${query}`);
  const rows = found.notices.map(row);
  if (more) byId("notices").append(...rows); else byId("notices").replaceChildren(...rows);
  cursor = found.next_cursor || null;
  show(byId("notices-more"), Boolean(cursor));
  show(byId("notices-empty"), !more && rows.length === 0);
}

async function subscribe() {
  if (await Notification.requestPermission() !== "granted") {
    throw new Error("Notifications are blocked for this page. Allow them in the browser's settings; the inbox works either way.");
  }
  const { application_server_key: key } = await ask("/v1/push-key");
  const bytes = Uint8Array.from(atob(key.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const worker = await navigator.serviceWorker.ready;
  const made = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes });
  const body = JSON.stringify({ device: device(), ...made.toJSON() });
  await mine("/v1/me/push-subscriptions", { method: "POST", headers: { "content-type": "application/json" }, body });
  show(byId("notify"), false);
}

/** A phone whose member allowed notifications is subscribed anew when the page is opened: the subscription belongs to the session. */
export async function subscribeAgain() {
  if (!("serviceWorker" in navigator && "Notification" in window) || Notification.permission !== "granted") return;
  const worker = await navigator.serviceWorker.getRegistration();
  const made = await worker?.pushManager?.getSubscription();
  if (made) await subscribe(); else show(byId("notify"), true);
}

/** After a sign-out nothing is pushed to this phone: the server ends the subscription with the session, the browser here. */
export async function unsubscribe() {
  if (!("serviceWorker" in navigator)) return;
  const worker = await navigator.serviceWorker.getRegistration();
  const made = await worker?.pushManager?.getSubscription();
  await made?.unsubscribe();
}

export const showInbox = () => page(false);

export function begin(request) {
  mine = request;
  byId("notices-more").addEventListener("click", () => page(true).catch(trouble));
  if ("serviceWorker" in navigator && "PushManager" in window && "Notification" in window) {
    navigator.serviceWorker.register("/sw.js").catch(() => { /* a page without pushes is still a page */ });
    show(byId("notify"), Notification.permission !== "granted");
    byId("notify").addEventListener("click", () => subscribe().catch(trouble));
  }
}

/** The market or offer that a notification was tapped for. */
export async function openFromLink() {
  const notice = new URLSearchParams(location.search).get("notice");
  if (!notice) return;
  history.replaceState(null, "", location.pathname);
  const found = await mine(`/v1/notices/${encodeURIComponent(notice)}?device=${device()}&opened=true`);
  if (found.market) await openSlip(found.market.ticker, found.market.usual_stake_points);
}
