// The member's page: points, the code for the till, the statement, all live.
import { ask, byId, item, number, show, signed } from "./api.js";
import * as inbox from "./inbox.js";
import * as markets from "./markets.js";
import * as me from "./me.js";

const AGAIN_MILLISECONDS = 2000;

let token = localStorage.getItem("hunch-session");
let closing = new AbortController();
let cursor = null;
let zone;

const mine = (path, options = {}) =>
  ask(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });

function trouble(error) {
  const box = byId("trouble");
  show(box, Boolean(error));
  if (!error) return;
  box.textContent = error.message;
  if (error.status === 401 && token) leave();
}

function leave() {
  closing.abort();
  token = null;
  localStorage.removeItem("hunch-session");
  byId("greeting").textContent = "Hunch";
  hideCode();
  show(byId("signed-in"), false);
  show(byId("sign-out"), false);
  show(byId("tabs"), false);
  keepForWorker();
  show(byId("sign-in"), true);
}

async function enter() {
  try {
    const me = await mine("/v1/me");
    zone = me.home_zone;
    markets.placeIs(me.place_note);
    byId("greeting").textContent = me.name ? `Hello, ${me.name.split(" ")[0]}` : "Hello";
    show(byId("sign-in"), false);
    show(byId("signed-in"), true);
    show(byId("sign-out"), true);
    show(byId("tabs"), true);
    keepForWorker();
    trouble(null);
    closing = new AbortController();
    await Promise.all([newest(), markets.showHeld(), card()]);
    follow(closing.signal);
    inbox.openFromLink().catch(trouble);
    inbox.subscribeAgain().catch(() => { /* the inbox works without pushes */ });
  } catch (error) {
    trouble(error);
    if (token) setTimeout(enter, AGAIN_MILLISECONDS);
  }
}

// The service worker cannot read the page's storage; it finds the session in a cache of its own.
async function keepForWorker() {
  if (!("caches" in window)) return;
  const kept = await caches.open("hunch-session");
  if (token) await kept.put("/session", new Response(token)); else await kept.delete("/session");
}

async function card() {
  const found = await mine("/v1/me/recommendation");
  const thing = found.market || found.offer;
  show(byId("card"), Boolean(thing));
  if (!thing) return;
  byId("card-text").textContent = thing.title;
  show(byId("card-open"), Boolean(found.market));
  byId("card-open").onclick = () => markets.openSlip(found.market.ticker, found.market.usual_stake_points).catch(trouble);
}

const TABS = { home: () => markets.showHeld(), markets: markets.showMarkets, inbox: inbox.showInbox, me: me.showMe };

function tab(name) {
  for (const button of byId("tabs").children) button.setAttribute("aria-selected", String(button.dataset.tab === name));
  for (const page of Object.keys(TABS)) show(byId(page), page === name);
  trouble(null);
  TABS[name]().catch(trouble);
}

function balance(b) {
  byId("available").textContent = number(b.available_points);
  const others = [];
  if (b.held_points) others.push(`${number(b.held_points)} in stakes on their way`);
  if (b.pending_points) others.push(`${number(b.pending_points)} pending`);
  if (b.owed_points) others.push(`${number(b.owed_points)} owed after a return`);
  byId("others").textContent = others.join(" · ");
  pending(b.pending_points).catch(trouble);
}

// What waits for a person's decision, each with why.
async function pending(points) {
  const found = points ? await mine("/v1/me/pending?limit=20") : { purchases: [] };
  const waits = (p) => item(p.merchant_name, p.why, `${number(p.points)} pending`, false);
  byId("pending-list").replaceChildren(...found.purchases.map(waits));
  show(byId("pending"), found.purchases.length > 0);
}

function line(l) {
  const when = new Date(l.at).toLocaleString(undefined, { timeZone: zone, dateStyle: "medium", timeStyle: "short" });
  const points = l.available_points || l.pending_points || l.total_points;
  const side = l.stake ? ` (${l.stake.side_label})` : "";
  const notes = [l.name ? l.what : "", parts(l.stake), when, `${number(l.balance_after_points)} after it`];
  const shown = item((l.name || l.what) + side, notes.filter(Boolean).join(", "), signed(points), points > 0);
  shown.title = l.rule;
  return shown;
}

// A stake's figures, as far as there is more than one.
function parts(stake) {
  if (!stake) return "";
  const told = [`${number(stake.held_points)} set aside`];
  if (stake.filled_points) told.push(`${number(stake.filled_points)} staked`);
  if (stake.returned_points) told.push(`${number(stake.returned_points)} came back`);
  if (stake.paid_points) told.push(`paid ${number(stake.paid_points)}`);
  return told.join(", ");
}

async function newest() {
  const page = await mine("/v1/me/statement?limit=20");
  byId("history").replaceChildren(...page.lines.map(line));
  show(byId("history-empty"), page.lines.length === 0);
  cursor = page.next_cursor || null;
  show(byId("more"), Boolean(cursor));
}

async function older() {
  const page = await mine(`/v1/me/statement?limit=20&cursor=${encodeURIComponent(cursor)}`);
  byId("history").append(...page.lines.map(line));
  cursor = page.next_cursor || null;
  show(byId("more"), Boolean(cursor));
}

// EventSource cannot send credentials in a header, so the stream is read by hand.
async function follow(signal) {
  let last = null;
  while (!signal.aborted) {
    try {
      const headers = { authorization: `Bearer ${token}` };
      if (last) headers["last-event-id"] = last;
      const answer = await fetch("/v1/me/stream", { headers, signal });
      if (answer.status === 401) return leave();
      if (!answer.ok) throw new Error();
      byId("live").textContent = "Live";
      last = await read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), last);
    } catch {
      if (signal.aborted) return;
    }
    byId("live").textContent = "Connecting again …";
    await new Promise((done) => setTimeout(done, AGAIN_MILLISECONDS));
  }
}

async function read(reader, last) {
  let waiting = "";
  for (;;) {
    let piece;
    try { piece = await reader.read(); } catch { return last; }
    if (piece.done) return last;
    waiting += piece.value;
    const events = waiting.split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const field = (name) => event.split("\n").find((l) => l.startsWith(`${name}:`))?.slice(name.length + 1).trim();
      const data = field("data");
      if (!data) continue;
      last = field("id") || last;
      const news = JSON.parse(data);
      balance(news.balance);
      if (field("event") === "changed") {
        if (news.happened.includes("PurchaseRecorded")) hideCode();
        newest().catch(trouble);
        markets.showHeld().catch(trouble);
        if (!byId("inbox").hidden) inbox.showInbox().catch(trouble);
      }
    }
  }
}

let countdown;

function hideCode() {
  clearInterval(countdown);
  show(byId("code"), false);
  show(byId("show-code"), true);
}

async function showCode() {
  const code = await mine("/v1/me/code");
  byId("qr").src = `data:image/svg+xml,${encodeURIComponent(code.qr_svg)}`;
  byId("code-text").textContent = code.text;
  show(byId("code"), true);
  show(byId("show-code"), false);
  // Counted here: a phone's own clock may be minutes off.
  let left = 60;
  const tick = () => {
    byId("code-left").textContent = `${left} seconds left`;
    if (left-- <= 0) hideCode();
  };
  clearInterval(countdown);
  tick();
  countdown = setInterval(tick, 1000);
}

const safely = (work) => async () => { trouble(null); try { await work(); } catch (error) { trouble(error); } };

byId("show-code").addEventListener("click", safely(showCode));
byId("more").addEventListener("click", safely(older));
const signOut = (path) => safely(async () => {
  await mine(path, { method: "POST" });
  leave();
  inbox.unsubscribe().catch(() => { /* the server has ended it already */ });
});
byId("sign-out").addEventListener("click", signOut("/v1/sign-out"));
byId("sign-out-everywhere").addEventListener("click", signOut("/v1/sign-out/everywhere"));
byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  trouble(null);
  try {
    const body = JSON.stringify({ code: form.code.value });
    const session = await ask("/v1/sign-in", { method: "POST", headers: { "content-type": "application/json" }, body });
    token = session.token;
    localStorage.setItem("hunch-session", token);
    form.reset();
    await enter();
  } catch (error) {
    trouble(error);
  }
});

markets.begin(mine);
inbox.begin(mine);
me.begin(mine, trouble);
for (const button of byId("tabs").children) button.addEventListener("click", () => tab(button.dataset.tab));

if (token) enter(); else leave();
