// The service worker and the page that it opens, in a browser made of a few plain objects.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import vm from "node:vm";

const assets = new URL("../../assets/", import.meta.url);
const NOTICE = "00000000-0000-0000-0000-00000000feed";

/** The service worker in a world where `answer` is what the programme says of a notice. */
function worker(answer) {
  const heard = {}, opened = [], shown = [], asked = [];
  const self = {
    addEventListener: (name, listener) => { heard[name] = listener; },
    registration: { showNotification: async (title, options) => shown.push({ title, ...options }) },
  };
  const world = {
    self, AbortController, setTimeout, clearTimeout,
    caches: { open: async () => ({ match: async () => ({ text: async () => "session-of-the-test" }) }) },
    clients: { openWindow: async (path) => opened.push(path) },
    fetch: async (path, options) => {
      asked.push({ path, authorization: options.headers.authorization });
      return { ok: answer !== null, json: async () => answer };
    },
  };
  vm.runInNewContext(readFileSync(new URL("sw.js", assets), "utf8"), world);
  const fire = async (name, event) => {
    let until;
    heard[name]({ ...event, waitUntil: (promise) => { until = promise; } });
    await until;
  };
  return { fire, opened, shown, asked };
}

const push = { data: { json: () => ({ v: 1, notice: NOTICE, text: "You earned 3 points at Rosa's Bakery.", more: true }) } };

test("a push shows the receipt, and the prompt if the programme still grants it", async () => {
  const granted = worker({ market: { title: "Ends today: Will it rain in Boston?" } });
  await granted.fire("push", push);
  assert.deepEqual(granted.asked, [{ path: `/v1/notices/${NOTICE}`, authorization: "Bearer session-of-the-test" }]);
  assert.equal(granted.shown[0].title, "You earned 3 points at Rosa's Bakery.");
  assert.equal(granted.shown[0].body, "Ends today: Will it rain in Boston?");
  assert.equal(granted.shown[0].tag, NOTICE, "a repeat replaces it");
  const withheld = worker(null);
  await withheld.fire("push", push);
  assert.equal(withheld.shown[0].body, "");
  const receipt = worker({ market: { title: "Will it rain?" } });
  await receipt.fire("push", { data: { json: () => ({ ...push.data.json(), more: false }) } });
  assert.deepEqual(receipt.asked, [], "a receipt asks for nothing");
  assert.equal(receipt.shown[0].body, "");
});

test("receipts one after the other are each shown", async () => {
  const phone = worker(null);
  for (const notice of ["a", "b", "a"]) {
    await phone.fire("push", { data: { json: () => ({ v: 1, notice, text: `You earned ${notice}.`, more: false }) } });
  }
  // The browser keeps one notification for each tag.
  const kept = new Map(phone.shown.map((one) => [one.tag, one.title]));
  assert.deepEqual([...kept], [["a", "You earned a."], ["b", "You earned b."]], "only a repeat replaces");
});

/** The slip as markets.js itself opens it, on a page of plain objects; what it asks for goes to `asked`. */
async function slip(usual) {
  const folder = mkdtempSync(join(tmpdir(), "hunch-slip-"));
  try {
    const elements = new Map(), asked = [];
    const element = () => ({
      value: "", textContent: "", hidden: false, open: true, addEventListener() {}, replaceChildren() {}, append() {},
      showModal() {}, close() {}, setAttribute() {}, classList: { toggle() {} }, style: {}, children: [], dataset: {},
    });
    const byId = (id) => elements.get(id) ?? elements.set(id, element()).get(id);
    cpSync(new URL("markets.js", assets), join(folder, "markets.js"));
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    writeFileSync(join(folder, "api.js"),
      "export const { byId } = globalThis.page; export const item = () => ({}), number = String, show = () => {}, signed = String;");
    Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
    Object.assign(globalThis, { page: { byId }, document: { createElement: element } });
    const { begin, openSlip } = await import(join(folder, "markets.js"));
    begin(async (path, options) => {
      asked.push({ path, body: options?.body && JSON.parse(options.body) });
      if (path === "/v1/quotes") throw new Error("no quote in this test");
      return { market: "KXRAIN", title: "Will it rain?", yes: { label: "Yes" }, no: { label: "No" } };
    });
    await openSlip("KXRAIN", usual);
    await new Promise((done) => setTimeout(done, 500));
    return { preset: byId("slip-points").value, quoted: asked.filter((one) => one.path === "/v1/quotes") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("the slip presets nothing above the usual stake", async () => {
  for (const [usual, preset] of [[undefined, "10"], [10, "10"], [17, "17"], [50, "50"], [900, "50"], [7, ""]]) {
    const { preset: found, quoted } = await slip(usual);
    assert.equal(found, preset, `usual ${usual}`);
    assert.deepEqual(quoted.map((one) => one.body.stake_points), preset ? [Number(preset)] : [], "no quote of nothing");
  }
});

test("a tap leads to the slip of the notice's market", async () => {
  const { fire, opened, shown } = worker({ market: { title: "Will it rain?" } });
  await fire("push", push);
  let closed = false;
  await fire("notificationclick", { notification: { close: () => { closed = true; }, data: { ...shown[0].data } } });
  assert.ok(closed);
  assert.deepEqual(opened, [`/app?notice=${NOTICE}`]);

  // The page at that address: its own inbox.js beside stand-ins for the two modules that draw.
  const folder = mkdtempSync(join(tmpdir(), "hunch-page-"));
  try {
    cpSync(new URL("inbox.js", assets), join(folder, "inbox.js"));
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    writeFileSync(join(folder, "api.js"),
      "export const ask = null, item = null, show = () => {}; export const byId = () => ({ addEventListener() {} });");
    writeFileSync(join(folder, "markets.js"), "export const openSlip = async (...slip) => { globalThis.slips.push(slip); };");
    const page = new URL(opened[0], "http://127.0.0.1/");
    Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
    const address = [];
    Object.assign(globalThis, {
      slips: [], window: {}, location: page, localStorage: { getItem: () => "phone" },
      history: { replaceState: (state, title, path) => address.push(path) },
    });
    const { begin, openFromLink } = await import(join(folder, "inbox.js"));
    const asked = [];
    begin(async (path) => {
      asked.push(path);
      return { market: { ticker: "KXRAIN-26NOV23-NYC", usual_stake_points: 50 } };
    });
    await openFromLink();
    assert.deepEqual(asked, [`/v1/notices/${NOTICE}?device=phone&opened=true`], "a person opened it");
    assert.deepEqual(globalThis.slips, [["KXRAIN-26NOV23-NYC", 50]]);
    assert.deepEqual(address, ["/app"], "a reload does not open it again");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
