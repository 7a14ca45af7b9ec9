// The town at a glance, asked for once a second with the ticket from the link.
import { ask, byId, item, number, show } from "./api.js";

const EVERY_MILLISECONDS = 1000;
const token = location.hash.slice(1);

function tile(name, figure, note) {
  const box = document.createElement("div");
  box.className = "tile";
  const title = document.createElement("span");
  title.className = "quiet";
  title.textContent = name;
  const b = document.createElement("b");
  b.textContent = figure;
  const small = document.createElement("span");
  small.className = "quiet";
  small.textContent = note || "";
  box.append(title, b, small);
  return box;
}

const KINDS = { sports: "sports", weather: "weather", local: "in town", events: "events" };
const WAIT = ["held", "sending", "accepted", "unknown"];
const BAD = ["killed", "refused"];

function stake(s) {
  const li = item(s.title, `${s.side_label} · ${KINDS[s.category] || s.category} · ${number(s.points)} points`, "");
  const state = li.lastChild;
  state.className = `state ${WAIT.includes(s.state) ? "wait" : BAD.includes(s.state) ? "bad" : ""}`;
  state.textContent = s.state;
  return li;
}

function hunches(count) {
  return count === 1 ? "1 hunch" : `${number(count)} hunches`;
}

function empty(list, rows, text) {
  if (rows.length === 0) rows.push(item(text, "", ""));
  byId(list).replaceChildren(...rows);
}

function draw(live) {
  byId("clock").textContent = new Date(live.now).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  show(byId("paused"), !live.staking.on);
  byId("paused").textContent = `Staking is paused: ${live.staking.reason}`;
  const withheld = Object.values(live.pushes_withheld).reduce((a, b) => a + b, 0);
  const o = live.orders;
  byId("tiles").replaceChildren(
    tile("Members", number(live.members)),
    tile("Purchases", number(live.purchases.count), `${number(live.purchases.points)} points`),
    tile("Pushes", number(live.pushes_sent), `${number(withheld)} suggestions withheld`),
    tile("Stakes", number(o.filled + o.partial + o.killed + o.refused + o.open), `${number(o.open)} on their way`),
    tile("Not filled", number(o.killed + o.refused), `${number(o.partial)} in part`),
    tile("Cleared up", number(o.unknown_resolved), "outcomes that were unknown"),
    tile("Markets paid", number(live.markets_settled), hunches(live.positions_paid)),
    tile("Points paid", number(live.points_paid), `99 of 100 within ${Math.ceil(live.credited_p99_ms)} ms`),
  );
  const at = (t) => new Date(t).toLocaleTimeString();
  empty("purchases", live.newest_purchases.map((p) => item(p.shop, at(p.at), `+${number(p.points)}`, true)), "No baskets in the last minutes.");
  empty("stakes", live.newest_stakes.map(stake), "No stakes yet.");
  empty("results", live.newest_results.map((r) => item(r.title, `${r.result} · ${hunches(r.positions)}`, number(r.points), r.points > 0)), "No market has ended yet.");
}

async function look() {
  try {
    draw(await ask("/v1/ops/live", { headers: { authorization: `Bearer ${token}` } }));
    show(byId("trouble"), false);
  } catch (error) {
    byId("trouble").textContent = token ? error.message : "Open the link that the programme printed: it carries a ticket for looking, which lasts twelve hours.";
    show(byId("trouble"), true);
  }
  setTimeout(look, EVERY_MILLISECONDS);
}

look();
