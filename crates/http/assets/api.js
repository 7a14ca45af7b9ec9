// One function for every request. A problem document becomes an Error with its type and its sentence.

export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.type = body.type || "";
    this.status = status;
  }
}

export async function ask(path, { method = "GET", headers = {}, body } = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, headers, body });
  } catch {
    throw new Problem({ type: "offline", detail: "The server cannot be reached. Check the line and try again." }, 0);
  }
  if (answer.status === 204) return null;
  const text = await answer.text();
  let parsed = {};
  try { parsed = JSON.parse(text); } catch { /* a body of another kind tells us nothing more than its status */ }
  if (!answer.ok) throw new Problem(parsed, answer.status);
  return parsed;
}

export const byId = (id) => document.getElementById(id);

export const show = (element, on) => { element.hidden = !on; };

export function item(left, small, right, up) {
  const li = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = left;
  const note = document.createElement("span");
  note.className = "quiet";
  note.textContent = small;
  text.append(document.createElement("br"), note);
  const figure = document.createElement("b");
  figure.textContent = right;
  if (up) figure.className = "up";
  li.append(text, figure);
  return li;
}

export const number = (n) => new Intl.NumberFormat().format(n);
export const signed = (n) => (n > 0 ? "+" : "") + number(n);
