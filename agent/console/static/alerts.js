// The alerts: a card for each examination that waits, the front one whole, the others as strips that stay in view; none is hidden.

import { at, copyOf, element, field, first } from "./dom.js";
import { newCard, put, tell } from "./card.js";
import { isUnanalysed, isWithdrawn, leadOf, reportOf } from "./examination.js";
import { resultPath, say } from "./feedback.js";
import { askName, nameIn } from "./session.js";
import { isRefused, isUnderWay, stateLabel, stateWord } from "./states.js";
import { born, clock, cut, duration, findingWords, nameOf, plain, said, t, translatePage, whatToDo } from "./words.js";

/** @typedef {{ card: HTMLElement, strip: HTMLElement }} Shown an examination's card, and the strip that stands for it */

/** @type {Map<string, Shown>} */
const shown = new Map(); // by examination, kept so that typing a name is not interrupted
const front = at("front");
const pinned = at("pinned");
let chosen = ""; // the examination that somebody brought to the front

for (const kind of ["scroll", "resize"]) globalThis.addEventListener?.(kind, () => arrange(), { passive: true });

/** In the order of their urgency. @param {Waiting[]} waiting @param {string} call what the site wants done next */
export function showAlerts(waiting, call = "") {
  const keys = waiting.map(({ examination_uid: key }) => key);
  for (const [key, { card, strip }] of shown) if (!keys.includes(key)) { card.remove(); strip.remove(); shown.delete(key); }
  if (!shown.has(chosen)) chosen = "";
  for (const examination of waiting) {
    const key = examination.examination_uid;
    const one = shown.get(key) ?? make(key);
    shown.set(key, one);
    updateCard(one.card, examination, call);
    updateStrip(one.strip, examination);
  }
  const kept = keys.find((key) => key === chosen || isInUse(key)); // none is pushed away while it is answered
  order(kept === undefined ? keys : [kept, ...keys.filter((key) => key !== kept)]);
  tickAlerts();
}

/** @param {string} key */
function isInUse(key) {
  const card = shown.get(key)?.card;
  return Boolean(card && card !== document.activeElement && card.contains(document.activeElement));
}

/** Moves only what stands elsewhere. @param {string[]} keys */
function order(keys) {
  const nodes = keys.flatMap((key) => shown.get(key) ?? []);
  nodes.forEach(({ card, strip }, n) => {
    if (front.querySelectorAll(".alert")[n] !== card) front.insertBefore(card, front.querySelectorAll(".alert")[n] ?? null);
    if (pinned.children[n] !== strip) pinned.insertBefore(strip, pinned.children[n] ?? null);
  });
  arrange();
}

/** The front card is whole; the others are strips, and so is it while it is scrolled away. */
function arrange() {
  [...front.querySelectorAll(".alert")].forEach((card, n) => { card.classList.toggle("behind", n > 0); });
  [...pinned.children].forEach((strip, n) => { strip.classList.toggle("whole", n === 0 && isInView()); });
}

/** Whether the patient of the front card is seen beneath what is pinned. */
function isInView() {
  const who = front.querySelector(".alert .who");
  return who === null || who.getBoundingClientRect().bottom >= first(document, "header").getBoundingClientRect().bottom;
}

export function tickAlerts() {
  for (const { card } of shown.values()) {
    const since = card.dataset.lastSliceMs;
    put(card, ".since", since === "" ? ""
      : t("{time} since the last slice", { time: duration((performance.now() - Number(since)) / 1000) }));
  }
}

/** Moves as it sounds, for those who do not hear it. @param {string} key */
export function remindOf(key) {
  const { card, strip } = shown.get(key) ?? {};
  for (const node of [card, strip]) {
    node?.classList.remove("again");
    requestAnimationFrame(() => node?.classList.add("again"));
  }
}

/** @param {string} key @returns {Shown} */
function make(key) {
  const card = newCard();
  first(card, ".answers").remove();
  answerable(card);
  const strip = copyOf("strip");
  translatePage(strip);
  strip.addEventListener("click", () => {
    chosen = key;
    order([key, ...[...shown.keys()].filter((other) => other !== key)]);
    front.scrollIntoView({ block: "start" });
  });
  return { card, strip };
}

/** @param {HTMLElement} card @param {Waiting} examination @param {string} call */
function updateCard(card, examination, call) {
  const lead = leadOf(examination);
  const report = reportOf(examination);
  tell(card, examination, lead, report);
  card.dataset.urgency = examination.urgency;
  put(card, "h2", headline(examination).join(" "));
  put(card, ".later", laterWords(lead));
  put(card, ".escalated", examination.series.map(escalationWords).find(Boolean) ?? "");
  put(card, ".next", nextWords(examination, report, call));
  for (const node of card.querySelectorAll("form .dismissal")) /** @type {HTMLElement} */ (node).hidden = isUnanalysed(examination);
  card.dataset.path = report ? resultPath(lead.series_uid, report.revision) : "";
  card.dataset.lastSliceMs = lead.last_slice_age_s === null ? "" : String(performance.now() - lead.last_slice_age_s * 1000);
}

/** Whom it concerns, at any scroll position: full name, ID and birth date. @param {HTMLElement} strip @param {Waiting} examination */
function updateStrip(strip, examination) {
  const lead = leadOf(examination);
  const report = reportOf(examination);
  strip.dataset.urgency = examination.urgency;
  put(strip, ".what", headline(examination).join(" "));
  const { patient_id: id, birth_date: birthDate } = lead.patient;
  const whom = [element("b", nameOf(lead)), ...[plain(id), born(birthDate)].filter(Boolean).map((part) => element("bdi", cut(part)))];
  const node = first(strip, ".whom");
  if (node.textContent !== whom.map((part) => part.textContent).join("")) node.replaceChildren(...whom);
  const [finding] = report?.findings ?? [];
  put(strip, ".much", finding ? findingWords(finding) : "");
}

/** @param {Waiting} examination */
function headline(examination) {
  if (examination.test) return [t("TEST")];
  if (isUnanalysed(examination)) return ["?", t("HEAD NOT ANALYSED")];
  if (isWithdrawn(examination)) return ["▽", t("SUSPICION WITHDRAWN")];
  return examination.urgency === "small" ? ["△", t("SMALL SUSPECTED HEMORRHAGE")] : ["▲", t("SUSPECTED HEMORRHAGE")];
}

/** What to do next: of a head that was not analysed by its reason, else as the site has it. @param {Waiting} examination @param {Report | null} report @param {string} call */
function nextWords(examination, report, call) {
  if (examination.test) return "";
  const own = examination.remark && whatToDo(examination.remark);
  const advice = isUnanalysed(examination) ? own || (report && isRefused(report) ? whatToDo(report) : "") || t("Send the slices again.") : "";
  return [advice, call].filter(Boolean).map((line) => `→ ${plain(line)}`).join("\n");
}

/** @param {Series} series */
function laterWords(series) {
  const { report, alert } = series;
  if (!alert) return "";
  if (isUnderWay(series.state)) return t("{state} more slices of this series", { state: stateLabel(series.state) });
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
