// Limits, rests, and whether markets are suggested.
import { byId, number, show } from "./api.js";

let mine;

const json = (method, body) => ({ method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

function day(at) {
  return at === "life" ? "for life" : `until ${new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`;
}

export async function showMe() {
  const p = await mine("/v1/me/limits");
  byId("day-used").textContent = `Today: ${number(p.day_used_points)} of ${number(p.day_points)} points`;
  byId("week-used").textContent = `This week: ${number(p.week_used_points)} of ${number(p.week_points)} points`;
  byId("day-bar").value = p.day_points ? p.day_used_points / p.day_points : 1;
  byId("week-bar").value = p.week_points ? p.week_used_points / p.week_points : 1;
  const form = byId("limits");
  form.day.value = p.day_points;
  form.week.value = p.week_points;
  const waits = p.raise_after && new Date(p.raise_after) > new Date();
  byId("raise").textContent = p.raise_after
    ? waits ? `A higher limit can be confirmed from ${new Date(p.raise_after).toLocaleString()}.` : "A higher limit can be confirmed now." : "";
  show(byId("raise-now"), Boolean(p.raise_after) && !waits);
  const rest = byId("protected");
  rest.textContent = p.protected_until ? `You are resting from staking ${day(p.protected_until)}.` : "";
  show(rest, Boolean(p.protected_until));
  byId("prompts").checked = p.prompts_on;
}

export function begin(request, trouble) {
  mine = request;
  const safely = (work) => async (event) => {
    event?.preventDefault();
    trouble(null);
    try {
      await work(event);
      await showMe();
    } catch (error) {
      trouble(error);
    }
  };
  byId("limits").addEventListener("submit", safely(() => {
    const form = byId("limits");
    return mine("/v1/me/limits", json("PUT", { day_points: Number(form.day.value), week_points: Number(form.week.value) }));
  }));
  byId("raise-now").addEventListener("click", safely(() => mine("/v1/me/limits/confirm", { method: "POST" })));
  byId("rest").addEventListener("submit", safely(async () => {
    const choice = byId("rest").term;
    const [kind, term] = choice.value.split(":");
    const name = choice.selectedOptions[0].textContent;
    if (!confirm(`Rest from staking: ${name}. Nobody can end it early. Begin?`)) return;
    await mine(`/v1/me/${kind}`, json("POST", { term }));
  }));
  byId("prompts").addEventListener("change", safely(() => mine("/v1/me/prompts", json("PUT", { prompts_on: byId("prompts").checked }))));
}
