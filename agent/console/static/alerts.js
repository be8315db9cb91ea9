// The alerts: one card each, the front one whole, the others small beneath it; none is hidden.

import { resultPath, say } from "./feedback.js";
import { headMap } from "./head_map.js";
import { askName, nameIn } from "./session.js";
import { isUnderWay, stateLabel, stateWord } from "./states.js";
import { viewerFor } from "./viewer.js";
import { born, clock, cut, duration, element, findingParts, nameOf, number, plain, sentence, t, translatePage } from "./words.js";

const MOST_FINDINGS = 3;
const cards = new Map(); // "uid revision" → its element, kept so that typing a name is not interrupted
const front = document.getElementById("front");

export function alertKey(series) { return `${series.series_uid} ${series.alert.revision}`; }

export function showAlerts(waiting) {
  const wanted = new Map(waiting.map((series) => [alertKey(series), series]));
  for (const [key, card] of cards) if (!wanted.has(key)) { card.remove(); cards.delete(key); }
  for (const [key, series] of [...wanted].reverse()) { // the newest comes to the very front …
    if (!cards.has(key)) {
      const inUse = front.contains(document.activeElement) && document.activeElement !== document.body; // … but moves none in use
      cards.set(key, cardFor(series));
      front.insertBefore(cards.get(key), inUse || series.test ? null : front.querySelector(".alert"));
    }
    update(cards.get(key), series);
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

export function remindOf(key) { // moves as it sounds, for who does not hear it
  const card = cards.get(key);
  card.classList.remove("again");
  requestAnimationFrame(() => card.classList.add("again"));
}

function arrange() {
  [...front.querySelectorAll(".alert")].forEach((card, n) => card.classList.toggle("behind", n > 0));
}

function cardFor(series) {
  const card = document.getElementById("alert").content.cloneNode(true).firstElementChild;
  const { patient, alert: report } = series;
  const path = resultPath(series.series_uid, report.revision);
  translatePage(card);
  card.classList.toggle("test", series.test);
  if (series.test) put(card, "h2", t("TEST"));
  put(card, ".patient", nameOf(series));
  card.querySelector(".whose").replaceChildren(
    ...[patient.patient_id, born(patient.birth_date), patient.sex,
      patient.accession && t("accession {number}", { number: patient.accession }), series.description]
      .map(plain).filter(Boolean).map((text) => element("bdi", cut(text))));
  card.querySelector(".findings").replaceChildren(...findingItems(report));
  put(card, ".numbers", numberWords(report));
  card.querySelector(".caveats").replaceChildren(...report.caveats.map((caveat) => element("li", sentence(caveat))));
  card.querySelector(".head-map").replaceWith(headMap(report.findings));
  card.querySelector(".pictures").prepend(viewerFor(path, report));
  card.querySelector(".show").addEventListener("click", () => { front.insertBefore(card, front.querySelector(".alert")); arrange(); });
  answerable(card.querySelector("form"), path);
  return card;
}

function update(card, series) {
  put(card, ".later", laterWords(series));
  put(card, ".escalated", escalationWords(series));
  card.dataset.lastSliceMs = series.last_slice_age_s === null ? "" : performance.now() - series.last_slice_age_s * 1000;
}

function put(card, selector, text) { // only what is new is written, so that it is read out once
  const node = card.querySelector(selector);
  if (node.textContent !== text) node.textContent = text;
}

function findingItems(report) {
  if (!report.findings.length) return [element("li", t("No outline could be drawn: look at every slice."))];
  const more = report.findings.length - MOST_FINDINGS;
  return [
    ...report.findings.slice(0, MOST_FINDINGS).map(findingItem),
    ...(more > 0 ? [element("li", t("and {n} more", { n: more }))] : []),
  ];
}

function findingItem(finding) {
  const [what, volume] = findingParts(finding);
  const item = element("li", what);
  item.append(element("bdi", volume), element("small", t("probability {percent} %", { percent: number(100 * finding.probability) })));
  return item;
}

function numberWords(report) {
  const several = report.findings.length > 1 && report.total_volume_ml !== null;
  return [
    several ? t("{volume} mL in all", { volume: number(report.total_volume_ml, 1) }) : null,
    report.findings.some((f) => f.subtype === "intraventricular") ? t("blood in the ventricles") : null,
    report.midline_shift_mm === null ? null : t("midline shift {shift} mm", { shift: number(report.midline_shift_mm) }),
    report.score === null ? null : t("score {score}", { score: number(report.score, 2) }),
    report.revision > 1 ? t("revised: result {n}", { n: report.revision }) : null,
  ].filter(Boolean).join(" · ");
}

function laterWords(series) {
  if (isUnderWay(series.state)) return t("{state} more slices of this series", { state: stateLabel(series.state) });
  const { report, alert } = series;
  if (series.revision === alert.revision || !report) return "";
  const said = { n: series.revision, state: stateWord(report.state) };
  const words = report.reason ? t("Result {n} says {state}, because {reason}. Look at the images.", { ...said, reason: sentence(report.reason) })
    : t("Result {n} says {state}. Look at the images.", said);
  return words;
}

function escalationWords(series) {
  if (series.escalated_utc) return t("Nobody answered: told elsewhere too at {time}.", { time: clock(series.escalated_utc) });
  return series.escalation_problem ? t("Nobody answered, and nobody else can be told: {reason}.", { reason: plain(series.escalation_problem) }) : "";
}

function answerable(form, path) {
  askName(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const dismissed = event.submitter.value === "dismiss";
    if (dismissed && !form.elements.reason.value) return form.elements.reason.focus();
    const answer = await say(form, `${path}/acknowledge`, dismissed ? { dismissed_because: form.elements.reason.value } : {});
    const given = await answer?.json();
    if (given && given.who !== nameIn(form)) {
      form.querySelector(".failed").textContent = t("{who} was first, at {time}", { who: plain(given.who), time: clock(given.at_utc) });
    }
    return answer;
  });
}
