// The alerts: one card each, the front one whole, the others small beneath it; none is hidden.

import { at, copyOf, element, field, first } from "./dom.js";
import { resultPath, say } from "./feedback.js";
import { headMap } from "./head_map.js";
import { askName, nameIn } from "./session.js";
import { isRefused, isUnderWay, stateLabel, stateWord } from "./states.js";
import { viewerFor } from "./viewer.js";
import { born, clock, correctedWords, cut, duration, findingParts, nameOf, number, plain, said, t, translatePage } from "./words.js";

const MOST_FINDINGS = 3;
/** @type {Map<string, HTMLElement>} */
const cards = new Map(); // "uid revision" → its element, kept so that typing a name is not interrupted
const front = at("front");

/** @param {Alerted} series */
export function alertKey(series) { return `${series.series_uid} ${series.alert.revision}`; }

/** @param {Alerted[]} waiting */
export function showAlerts(waiting) {
  const wanted = new Map(waiting.map((series) => [alertKey(series), series]));
  for (const [key, card] of cards) if (!wanted.has(key)) { card.remove(); cards.delete(key); }
  for (const [key, series] of [...wanted].reverse()) { // the newest comes to the very front …
    let card = cards.get(key);
    if (!card) {
      const inUse = front.contains(document.activeElement) && document.activeElement !== document.body; // … but moves none in use
      card = cardFor(series);
      cards.set(key, card);
      front.insertBefore(card, inUse || series.test ? null : front.querySelector(".alert"));
    }
    update(card, series);
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

/** @param {Alerted} series */
function cardFor(series) {
  const card = copyOf("alert");
  const { alert: report } = series;
  const path = resultPath(series.series_uid, report.revision);
  translatePage(card);
  card.classList.toggle("test", series.test);
  if (series.test) put(card, "h2", t("TEST"));
  first(card, ".findings").replaceChildren(...findingItems(report));
  put(card, ".numbers", numberWords(report));
  first(card, ".caveats").replaceChildren(...report.caveats.map((caveat) => element("li", said(caveat))));
  first(card, ".head-map").replaceWith(headMap(report.findings));
  first(card, ".pictures").prepend(viewerFor(path, report));
  first(card, ".show").addEventListener("click", () => { front.insertBefore(card, front.querySelector(".alert")); arrange(); });
  answerable(/** @type {HTMLFormElement} */ (first(card, "form")), path);
  return card;
}

/** @param {HTMLElement} card @param {Alerted} series */
function update(card, series) {
  put(card, ".patient", nameOf(series));
  const whose = whoseParts(series);
  if (first(card, ".whose").textContent !== whose.map((part) => part.textContent).join("")) first(card, ".whose").replaceChildren(...whose);
  put(card, ".corrected", series.corrected ? correctedWords(series.corrected) : "");
  put(card, ".later", laterWords(series));
  put(card, ".escalated", escalationWords(series));
  card.dataset.lastSliceMs = series.last_slice_age_s === null ? "" : String(performance.now() - series.last_slice_age_s * 1000);
}

/** @param {Alerted} series */
function whoseParts({ patient, description }) {
  return [patient.patient_id, born(patient.birth_date), patient.sex,
    patient.accession && t("accession {number}", { number: patient.accession }), description]
    .map(plain).filter(Boolean).map((text) => element("bdi", cut(text)));
}

/** Writes only what is new, so that it is read out once. @param {HTMLElement} card @param {string} selector @param {string} text */
function put(card, selector, text) {
  const node = first(card, selector);
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Report} report */
function findingItems(report) {
  if (!report.findings.length) return [element("li", t("No outline could be drawn: look at every slice."))];
  const more = report.findings.length - MOST_FINDINGS;
  return [
    ...report.findings.slice(0, MOST_FINDINGS).map(findingItem),
    ...(more > 0 ? [element("li", t("and {n} more", { n: more }))] : []),
  ];
}

/** @param {Finding} finding */
function findingItem(finding) {
  const [what, volume] = findingParts(finding);
  const item = element("li", what);
  item.append(element("bdi", volume), element("small", t("probability {percent} %", { percent: number(100 * finding.probability) })));
  return item;
}

/** @param {Report} report */
function numberWords(report) {
  const { total_volume_ml: totalMl } = report;
  return [
    totalMl !== null && report.findings.length > 1 ? t("{volume} mL in all", { volume: number(totalMl, 1) }) : null,
    report.findings.some((f) => f.subtype === "intraventricular") ? t("blood in the ventricles") : null,
    report.midline_shift_mm === null ? null : t("midline shift {shift} mm", { shift: number(report.midline_shift_mm) }),
    report.score === null ? null : t("score {score}", { score: number(report.score, 2) }),
    report.revision > 1 ? t("revised: result {n}", { n: report.revision }) : null,
  ].filter(Boolean).join(" · ");
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

/** @param {HTMLFormElement} form @param {string} path */
function answerable(form, path) {
  const reason = field(form, "reason");
  askName(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const dismissed = event.submitter?.getAttribute("value") === "dismiss";
    if (dismissed && !reason.value) {
      reason.focus();
      return;
    }
    const answer = await say(form, `${path}/acknowledge`, dismissed ? { dismissed_because: reason.value } : {});
    /** @type {Answer | undefined} */
    const given = await answer?.json();
    if (given && given.who !== nameIn(form)) {
      first(form, ".failed").textContent = t("{who} was first, at {time}", { who: plain(given.who), time: clock(given.at_utc) });
    }
  });
}
