// Limits, rests, and whether markets are suggested.
import { byId, number, show } from "./api.js";

let mine;

const json = (method, body) => ({ method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

export async function showMe() {
  const p = await mine("/v1/me/limits");
  byId("says").textContent = p.says;
  byId("day-used").textContent = `Today: ${number(p.day_used_points)} of ${number(p.day_points)} points`;
  byId("week-used").textContent = `This week: ${number(p.week_used_points)} of ${number(p.week_points)} points`;
  byId("day-bar").value = p.day_points ? p.day_used_points / p.day_points : 1;
  byId("week-bar").value = p.week_points ? p.week_used_points / p.week_points : 1;
  const form = byId("limits");
  form.day.value = p.day_points;
  form.week.value = p.week_points;
  show(byId("raise-now"), Boolean(p.raise) && new Date(p.raise.confirm_from) <= new Date());
  show(byId("return"), Boolean(p.protection) && p.protection.state === "term_over");
  byId("prompts").checked = p.prompts_on;
  byId("offers").checked = p.offers_on;
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
    const none = Number(form.day.value) === 0 || Number(form.week.value) === 0;
    if (none && !confirm("With a limit of 0 you cannot stake at all, and a higher limit counts in 72 hours at the earliest. Set it?")) return null;
    return mine("/v1/me/limits", json("PUT", { day_points: Number(form.day.value), week_points: Number(form.week.value) }));
  }));
  byId("raise-now").addEventListener("click", safely(() => mine("/v1/me/limits/confirm", { method: "POST" })));
  byId("return").addEventListener("click", safely(() => mine("/v1/me/exclusion/return", { method: "POST" })));
  byId("rest").addEventListener("submit", safely(async () => {
    const choice = byId("rest").term;
    const [kind, term] = choice.value.split(":");
    const name = choice.selectedOptions[0].textContent;
    const after = kind === "exclusion" && !term.endsWith("life") ? " After that it goes on until you ask to return." : "";
    if (!confirm(`Rest from staking: ${name}. Nobody can end it early.${after} Begin?`)) return;
    await mine(`/v1/me/${kind}`, json("POST", { term }));
  }));
  byId("offers").addEventListener("change", safely(() => mine("/v1/me/offers", json("PUT", { offers_on: byId("offers").checked }))));
  byId("prompts").addEventListener("change", safely(() => mine("/v1/me/prompts", json("PUT", { prompts_on: byId("prompts").checked }))));
}
