// A cashier's page. The session's key signs every request with WebCrypto and cannot be read back from the browser.
import { ask, byId, item, number, show } from "./api.js";

const RECENT_MAX = 20;

// --- what the device keeps: the session with its key as an unreadable CryptoKey ---

function store(mode, work) {
  return new Promise((done, failed) => {
    const open = indexedDB.open("hunch-till", 1);
    open.onupgradeneeded = () => open.result.createObjectStore("till");
    open.onerror = () => failed(open.error);
    open.onsuccess = () => {
      const transaction = open.result.transaction("till", mode);
      const request = work(transaction.objectStore("till"));
      transaction.oncomplete = () => { open.result.close(); done(request.result); };
      transaction.onerror = () => failed(transaction.error);
    };
  });
}

const keep = (name, value) => store("readwrite", (s) => s.put(value, name));
const kept = (name) => store("readonly", (s) => s.get(name));
const forget = (name) => store("readwrite", (s) => s.delete(name));

// --- signing ---

const hex = (bytes) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");
const bytes = (text) => new TextEncoder().encode(text);

async function send(path, body) {
  const timestamp = Math.floor(Date.now() / 1000);
  const digest = hex(await crypto.subtle.digest("SHA-256", bytes(body)));
  const text = `${timestamp}\nPOST\n${path}\n${digest}`;
  const signature = hex(await crypto.subtle.sign("HMAC", till.key, bytes(text)));
  return ask(path, {
    method: "POST",
    body,
    headers: {
      "content-type": "application/json",
      "hunch-session": till.session,
      "hunch-timestamp": String(timestamp),
      "hunch-signature": signature,
    },
  });
}

// --- the page ---

let till = null;
let recent = [];

function result(kind, build) {
  const box = byId("result");
  box.className = kind === "no" ? "answer no" : "answer";
  box.replaceChildren(...build);
  show(box, true);
}

const element = (tag, text, className = "") =>
  Object.assign(document.createElement(tag), { textContent: text, className });

async function refused(error) {
  const waiting = await kept("waiting");
  const parts = [element("strong", error.message)];
  if (error.status === 401) {
    parts.push(element("p", "Open the till again to go on."));
    await close();
  } else if (!waiting) {
    parts.push(element("p", "Nothing was recorded."));
  } else {
    const again = element("button", "Send it again");
    again.addEventListener("click", sendWaiting);
    parts.push(element("p", "It is kept here. Sending it again can never count it twice."), again);
  }
  result("no", parts);
}

function showTill() {
  show(byId("open"), !till);
  show(byId("selling"), Boolean(till));
  show(byId("close"), Boolean(till));
  byId("shop").textContent = till?.merchant_name || "Till";
  byId("amount-label").textContent = till ? `Amount in ${till.currency}` : "Amount";
  byId("recent").replaceChildren(...recent.map(row));
  show(byId("recent-empty"), recent.length === 0);
}

function row(sale) {
  const li = item(money(sale.amount_cents, sale.currency), sale.receipt, `+${number(sale.earned_points)}`, true);
  if (sale.returned) {
    li.lastChild.textContent = "returned";
    li.lastChild.className = "quiet";
  } else {
    const back = element("button", "Take back", "plain");
    back.addEventListener("click", () => takeBack(sale, back));
    li.append(back);
  }
  return li;
}

const fraction = (currency) =>
  new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
const money = (cents, currency) =>
  new Intl.NumberFormat(undefined, { style: "currency", currency }).format(cents / 10 ** fraction(currency));

// Digits only, never a floating-point product: 12.3 is 1230 cents.
function cents(typed, currency) {
  const digits = fraction(currency);
  const parts = /^(\d{1,7})(?:[.,](\d+))?$/.exec(typed.trim());
  if (!parts || (parts[2] || "").length > digits) return null;
  return Number(parts[1] + (parts[2] || "").padEnd(digits, "0"));
}

async function sendWaiting() {
  const waiting = await kept("waiting");
  if (!waiting || !till) return;
  // A session of another till would give the receipt another name.
  if (waiting.terminal !== till.terminal) { await forget("waiting"); return; }
  byId("sell").disabled = true;
  try {
    const answer = await send("/v1/pos/purchases", waiting.body);
    await forget("waiting");
    const sale = JSON.parse(waiting.body);
    recent = [{ ...answer, amount_cents: sale.amount_cents, currency: sale.currency }, ...recent].slice(0, RECENT_MAX);
    await keep("recent", recent);
    byId("sale").reset();
    result("yes", [
      element("div", `+${number(answer.earned_points)}`, "points"),
      element("p", `points for ${money(sale.amount_cents, sale.currency)}`),
      ...(answer.pending_points ? [element("p", "We look at this purchase first. The member can use the points after that.")] : []),
      ...answer.offers.map((offer) => element("p", `${number(offer.points)} of them from “${offer.title}”`)),
    ]);
    showTill();
  } catch (error) {
    // Refused for good: forget it. Anything else may have happened: keep it.
    if (error.status >= 400 && error.status < 500 && error.status !== 401) await forget("waiting");
    await refused(error);
  } finally {
    byId("sell").disabled = false;
  }
}

async function sell(event) {
  event.preventDefault();
  const form = byId("sale");
  const amount = cents(form.amount.value, till.currency);
  if (!amount) {
    return result("no", [element("strong", `Type the amount in ${till.currency}, such as 12.50.`)]);
  }
  const member = form.member.value.trim();
  try {
    if (await kept("waiting")) {
      await sendWaiting();
      if (await kept("waiting")) return;
      return result("yes", [element("p", "The purchase that was waiting has been sent. Record the new one now.")]);
    }
    // The programme's clock, not the device's: a demo lives its day faster than we do.
    const { business_time } = await ask("/healthz");
    const random = hex(crypto.getRandomValues(new Uint8Array(4)));
    const body = JSON.stringify({
      receipt: `W${Date.now().toString(36)}-${random}`,
      [member.startsWith("H1.") ? "member_code" : "member_token"]: member,
      amount_cents: amount,
      currency: till.currency,
      purchased_at: business_time,
    });
    await keep("waiting", { terminal: till.terminal, body });
    await sendWaiting();
  } catch (error) {
    await refused(error);
  }
}

async function takeBack(sale, button) {
  button.disabled = true;
  try {
    const answer = await send("/v1/pos/returns", JSON.stringify({ purchase: sale.purchase }));
    recent = recent.map((s) => (s.purchase === sale.purchase ? { ...s, returned: true } : s));
    await keep("recent", recent);
    result("yes", [
      element("div", `−${number(answer.taken_points)}`, "points"),
      element("p", `points taken back of ${number(answer.earned_points)} earned`),
    ]);
    showTill();
  } catch (error) {
    button.disabled = false;
    result("no", [element("strong", error.message)]);
  }
}

async function open(event) {
  event.preventDefault();
  const form = byId("open");
  try {
    const body = JSON.stringify({ terminal: form.terminal.value.trim(), secret: form.secret.value.trim() });
    const session = await ask("/v1/pos/sessions", {
      method: "POST", headers: { "content-type": "application/json" }, body,
    });
    const raw = Uint8Array.from(atob(session.key), (c) => c.charCodeAt(0));
    const { key: _, ...rest } = session;
    const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    if ((await kept("till"))?.terminal !== session.terminal) recent = [];
    till = { ...rest, key };
    await keep("till", till);
    form.reset();
    show(byId("result"), false);
    showTill();
    await sendWaiting();
  } catch (error) {
    result("no", [element("strong", error.message)]);
  }
}

async function close() {
  till = null;
  await forget("till");
  showTill();
}

async function scan() {
  const camera = byId("camera");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    return result("no", [element("strong", "The camera cannot be used. Type the code instead.")]);
  }
  camera.srcObject = stream;
  show(camera, true);
  await camera.play();
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  const look = async () => {
    const found = await detector.detect(camera).catch(() => []);
    if (!found.length) return requestAnimationFrame(look);
    byId("sale").member.value = found[0].rawValue;
    stream.getTracks().forEach((track) => track.stop());
    show(camera, false);
  };
  look();
}

byId("open").addEventListener("submit", open);
byId("sale").addEventListener("submit", sell);
byId("close").addEventListener("click", close);
byId("scan-button").addEventListener("click", scan);
show(byId("scan"), "BarcodeDetector" in window);

if (!crypto.subtle) {
  result("no", [element("strong", "This browser signs nothing on an insecure address. Use https, or localhost.")]);
} else {
  till = (await kept("till")) || null;
  recent = (await kept("recent")) || [];
  if (till && Date.parse(till.expires_at) <= Date.now()) till = null;
  showTill();
  sendWaiting();
}
