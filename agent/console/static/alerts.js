// The alerts: one card for each examination, the front one whole, the others small beneath it; none is hidden.

import { at, field, first } from "./dom.js";
import { newCard, put, tell } from "./card.js";
import { isWithdrawn, leadOf } from "./examination.js";
import { resultPath, say } from "./feedback.js";
import { askName, nameIn } from "./session.js";
import { isRefused, isUnderWay, stateLabel, stateWord } from "./states.js";
import { clock, duration, plain, said, t } from "./words.js";

/** @type {Map<string, HTMLElement>} */
const cards = new Map(); // examination UID → its element, kept so that typing a name is not interrupted
const front = at("front");

/** @param {Waiting[]} waiting */
export function showAlerts(waiting) {
  const wanted = new Map(waiting.map((examination) => [examination.examination_uid, examination]));
  for (const [key, card] of cards) if (!wanted.has(key)) { card.remove(); cards.delete(key); }
  for (const [key, examination] of [...wanted].reverse()) { // the newest comes to the very front …
    const card = cards.get(key) ?? cardFor(examination);
    update(card, examination);
    if (cards.has(key)) continue;
    const inUse = front.contains(document.activeElement) && document.activeElement !== document.body; // … but moves none in use
    cards.set(key, card);
    front.insertBefore(card, inUse || examination.test ? null : front.querySelector(".alert"));
  }
  arrange();
  tickAlerts();
}

export function tickAlerts() {
  for (const card of cards.values()) {
    const since = card.dataset.lastSliceMs;
    put(card, ".since", since === "" ? ""
      : t("{time} since the last slice", { time: duration((performance.now() - Number(since)) / 1000) }));
  }
}

/** Moves as it sounds, for those who do not hear it. @param {string} key */
export function remindOf(key) {
  const card = cards.get(key);
  card?.classList.remove("again");
  requestAnimationFrame(() => card?.classList.add("again"));
}

function arrange() {
  [...front.querySelectorAll(".alert")].forEach((card, n) => card.classList.toggle("behind", n > 0));
}

/** @param {Waiting} examination */
function cardFor(examination) {
  const card = newCard();
  card.classList.toggle("test", examination.test);
  first(card, ".show").addEventListener("click", () => { front.insertBefore(card, front.querySelector(".alert")); arrange(); });
  answerable(card);
  return card;
}

/** @param {HTMLElement} card @param {Waiting} examination */
function update(card, examination) {
  const lead = leadOf(examination);
  tell(card, examination, lead, lead.alert);
  put(card, "h2", headline(examination).join(" "));
  put(card, ".later", laterWords(lead));
  put(card, ".escalated", examination.series.map(escalationWords).find(Boolean) ?? "");
  card.dataset.path = resultPath(lead.series_uid, lead.alert.revision);
  card.dataset.lastSliceMs = lead.last_slice_age_s === null ? "" : String(performance.now() - lead.last_slice_age_s * 1000);
}

/** @param {Examination} examination */
function headline(examination) {
  if (examination.test) return [t("TEST")];
  return isWithdrawn(examination) ? ["▽", t("SUSPICION WITHDRAWN")] : ["▲", t("SUSPECTED HEMORRHAGE")];
}

/** @param {Alerted} series */
function laterWords(series) {
  if (isUnderWay(series.state)) return t("{state} more slices of this series", { state: stateLabel(series.state) });
  const { report, alert } = series;
  if (series.revision === alert.revision || !report) return "";
  const what = { n: series.revision, state: stateWord(report.state) };
  return isRefused(report) ? t("Result {n} says {state}, because {reason}. Look at the images.", { ...what, reason: said(report) })
    : t("Result {n} says {state}. Look at the images.", what);
}

/** @param {Series} series */
function escalationWords(series) {
  if (series.escalated_utc) return t("Nobody answered: told elsewhere too at {time}.", { time: clock(series.escalated_utc) });
  return series.escalation_problem ? t("Nobody answered, and nobody else can be told: {reason}.", { reason: said(series.escalation_problem) }) : "";
}

/** An answer is to what the card tells when it is given. @param {HTMLElement} card */
function answerable(card) {
  const form = /** @type {HTMLFormElement} */ (first(card, "form"));
  const reason = field(form, "reason");
  askName(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const dismissed = event.submitter?.getAttribute("value") === "dismiss";
    if (dismissed && !reason.value) {
      reason.focus();
      return;
    }
    const answer = await say(form, `${card.dataset.path}/acknowledge`, dismissed ? { dismissed_because: reason.value } : {});
    /** @type {Answer | undefined} */
    const given = await answer?.json();
    if (given && given.who !== nameIn(form)) {
      first(form, ".failed").textContent = t("{who} was first, at {time}", { who: plain(given.who), time: clock(given.at_utc) });
    }
  });
}
