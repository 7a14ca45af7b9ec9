// Today's markets, the slip, and what the member holds.
import { byId, item, number, show, signed } from "./api.js";

const PLACE_MILLISECONDS = 15 * 60 * 1000;
const QUOTE_AFTER_MILLISECONDS = 350;
const USUAL = [10, 25, 50, 100];
const STAKE_POINTS_MIN = 10;
const PRESET_POINTS_MAX = 50;

let mine;
let kind = "";
let cursor = null;
let slip = null;
let placeSaid = 0;
let placeNote = "";

const time = (at) => new Date(at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

function left(at) {
  const minutes = Math.round((new Date(at) - Date.now()) / 60000);
  if (minutes < 1) return "ends any moment";
  return minutes < 90 ? `${minutes} min left` : `until ${time(at)}`;
}

function row(market) {
  const li = document.createElement("li");
  const button = document.createElement("button");
  button.className = "open";
  const text = document.createElement("span");
  text.textContent = market.title;
  const note = document.createElement("span");
  note.className = "quiet";
  note.textContent = `${market.yes.label} · ${left(market.ends_at)}`;
  text.append(document.createElement("br"), note);
  const chance = document.createElement("b");
  chance.textContent = market.yes.chance_percent ? `${Math.round(market.yes.chance_percent)} %` : "–";
  button.append(text, chance);
  button.addEventListener("click", () => openSlip(market.market).catch(slipTrouble));
  li.append(button);
  return li;
}

// Markets can be looked at while no stakes are taken; then the list says why, and until when if that is known.
function tellStakes(stakes) {
  show(byId("stakes-closed"), !stakes.open);
  byId("stakes-closed").textContent = stakes.detail || "";
}

async function page(more) {
  const query = new URLSearchParams({ limit: "30" });
  if (kind) query.set("category", kind);
  if (more && cursor) query.set("cursor", cursor);
  const found = await mine(`/v1/markets?${query}`);
  const rows = found.markets.map(row);
  if (more) byId("market-list").append(...rows); else byId("market-list").replaceChildren(...rows);
  tellStakes(found.stakes);
  cursor = found.next_cursor || null;
  show(byId("market-more"), Boolean(cursor));
  show(byId("market-empty"), !more && rows.length === 0);
}

const locate = () => new Promise((found, failed) => {
  if (!navigator.geolocation) return failed(new Error("This browser does not tell where it is."));
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => found({ latitude: coords.latitude, longitude: coords.longitude, accuracy_metres: coords.accuracy }),
    () => failed(new Error("Share your location to stake: the rules depend on where you are. It is forgotten at once.")),
    { timeout: 10000, maximumAge: 60000 },
  );
});

async function sayPlace() {
  if (placeNote || Date.now() - placeSaid < PLACE_MILLISECONDS) return;
  try {
    const place = await locate();
    await mine("/v1/me/place", { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(place) });
    placeSaid = Date.now();
    byId("place").textContent = "";
  } catch (error) {
    byId("place").textContent = error.message;
  }
}

/** Where the server says that this member is: then the phone is not asked. */
export function placeIs(note) {
  placeNote = note || "";
  placeSaid = 0;
  byId("place").textContent = placeNote;
}

export async function showMarkets() {
  await Promise.all([page(false), sayPlace()]);
}

function slipTrouble(error) {
  show(byId("slip-trouble"), Boolean(error));
  byId("slip-trouble").textContent = error ? error.message : "";
}

function sideButton(side) {
  const button = document.createElement("button");
  button.type = "button";
  const { label, chance_percent } = slip.market[side];
  button.textContent = `${label}${chance_percent ? ` · ${Math.round(chance_percent)} %` : ""}`;
  button.setAttribute("aria-pressed", String(slip.side === side));
  button.addEventListener("click", () => { slip.side = side; drawSlip(); quoteSoon(); });
  return button;
}

function drawSlip() {
  byId("slip-sides").replaceChildren(sideButton("yes"), sideButton("no"));
}

/** What the slip begins with: never more than the member's usual stake; nothing where that is less than can be staked. */
function preset(usual) {
  if (!usual) return String(STAKE_POINTS_MIN);
  return usual < STAKE_POINTS_MIN ? "" : String(Math.min(usual, PRESET_POINTS_MAX));
}

export async function openSlip(ticker, usual) {
  slipTrouble(null);
  const market = await mine(`/v1/markets/${encodeURIComponent(ticker)}`);
  slip = { market, side: "yes", quote: null, timer: null };
  byId("slip-title").textContent = market.title;
  byId("slip-rules").textContent = market.rules || "";
  byId("slip-points").value = preset(usual);
  byId("slip-usual").replaceChildren(...USUAL.map((points) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = String(points);
    button.addEventListener("click", () => { byId("slip-points").value = String(points); quoteSoon(); });
    return button;
  }));
  drawSlip();
  byId("slip").showModal();
  await sayPlace();
  quoteSoon();
}

function quoteSoon() {
  clearTimeout(slip.timer);
  slip.quote = null;
  byId("slip-confirm").disabled = true;
  if (byId("slip-points").value === "") {
    byId("slip-quote").textContent = "How many points?";
    return;
  }
  byId("slip-quote").textContent = "…";
  slip.timer = setTimeout(() => quote().catch(slipTrouble), QUOTE_AFTER_MILLISECONDS);
}

// What it costs and what comes back: at the price of now, and at the worst that is taken without asking again.
function terms(quoted) {
  const back = `If you are right, ${number(quoted.pays_points)} points come back. If not, the stake is gone.`;
  const cost = quoted.cost_points === quoted.hold_points
    ? `It costs ${number(quoted.hold_points)} points`
    : `It costs ${number(quoted.cost_points)} points at the price of now and ${number(quoted.hold_points)} at most; what is not used comes back at once`;
  const price = quoted.worst_price_points === quoted.price_points
    ? `${quoted.contracts} contracts at ${quoted.price_points} points each, and not for more`
    : `${quoted.contracts} contracts at ${quoted.price_points} points each, at most ${quoted.worst_price_points}`;
  return `${back} ${cost}. ${price}: a higher price is not taken without asking you. The fee is up to ${number(quoted.fee_points)} of these points (${quoted.fee_percent} %).`;
}

async function quote() {
  const wanted = slip;
  slipTrouble(null);
  byId("slip-quote").textContent = "";
  const stake_points = Number(byId("slip-points").value);
  const body = JSON.stringify({ market: slip.market.market, side: slip.side, stake_points });
  const quoted = await mine("/v1/quotes", { method: "POST", headers: { "content-type": "application/json" }, body });
  if (wanted !== slip || !byId("slip").open) return;
  slip.quote = quoted;
  byId("slip-confirm").disabled = false;
  byId("slip-confirm").textContent = `Stake ${number(quoted.hold_points)} points`;
  byId("slip-quote").textContent = terms(quoted);
  // Prices move: a new quote before this one lapses, as long as the slip is open.
  const life = Math.max(new Date(quoted.expires_at) - Date.now() - 1500, 2000);
  slip.timer = setTimeout(() => { if (byId("slip").open) quote().catch(slipTrouble); }, Math.min(life, 8000));
}

async function confirm() {
  clearTimeout(slip.timer);
  byId("slip-confirm").disabled = true;
  const { quote: id } = slip.quote;
  const headers = { "content-type": "application/json", "idempotency-key": id };
  try {
    await mine("/v1/orders", { method: "POST", headers, body: JSON.stringify({ quote: id }) });
  } catch (error) {
    slipTrouble(error);
    return;
  }
  byId("slip").close();
  const done = byId("done");
  done.textContent = `Placed: ${slip.market.title} – ${slip.market[slip.side].label}.`;
  show(done, true);
  setTimeout(() => show(done, false), 5000);
}

const STATES = { open: "open", waiting: "result in, waiting for the exchange" };
const RESULTS = { yes: "the answer was yes", no: "the answer was no", scalar: "ended in between" };
const ENDED_SHOWN = 10;

export async function showHeld() {
  const found = await mine("/v1/positions?status=all&limit=50");
  const orders = await mine("/v1/me/orders?limit=10");
  const open = orders.orders.filter((o) => !o.ended_at);
  const waiting = open.map((o) => item(o.title || o.market, `${o.side_label || o.side} · on its way`, `${number(o.hold_points)}`));
  const ended = found.positions.filter((p) => p.state === "paid").slice(0, ENDED_SHOWN).map((p) =>
    item(p.title || p.market, `${p.side_label || p.side} · ${RESULTS[p.result] || p.result} · cost ${number(p.cost_points)}, paid ${number(p.value_points)}`,
      signed(p.profit_points), p.profit_points > 0));
  const held = found.positions.filter((p) => p.state !== "paid").map((p) => {
    const value = p.value_points === undefined ? "no offer now" : `worth ${number(p.value_points)} now`;
    const line = item(p.title || p.market, `${p.side_label || p.side} · ${STATES[p.state]} · cost ${number(p.cost_points)}, ${value}`,
      p.profit_points === undefined ? "" : signed(p.profit_points), p.profit_points > 0);
    return line;
  });
  byId("held").replaceChildren(...waiting, ...held);
  show(byId("held-empty"), waiting.length + held.length === 0);
  byId("ended").replaceChildren(...ended);
  show(byId("ended-card"), ended.length > 0);
}

export function begin(request) {
  mine = request;
  for (const button of byId("kinds").children) {
    button.addEventListener("click", () => {
      kind = button.dataset.kind;
      for (const other of byId("kinds").children) other.setAttribute("aria-pressed", String(other === button));
      page(false).catch((error) => { byId("place").textContent = error.message; });
    });
  }
  byId("market-more").addEventListener("click", () => page(true).catch((error) => { byId("place").textContent = error.message; }));
  byId("slip-points").addEventListener("input", quoteSoon);
  byId("slip-confirm").addEventListener("click", confirm);
  byId("slip").addEventListener("close", () => { if (slip) clearTimeout(slip.timer); });
}
