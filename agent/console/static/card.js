// What a card tells of an examination: whose it is, what was found, its pictures, and what its series said one after another.

import { copyOf, element, first } from "./dom.js";
import { beforeParts, engineOf, historyOf, outlinedWords, seriesItem } from "./examination.js";
import { resultPath } from "./feedback.js";
import { headMap } from "./head_map.js";
import { mayRead } from "./session.js";
import { isRefused, stateLabel } from "./states.js";
import { viewerFor } from "./viewer.js";
import { born, capital, correctedWords, cut, findingParts, likelihood, nameOf, number, plain, said, t, translatePage, whatToDo } from "./words.js";

const MOST_FINDINGS = 3;

/** An empty card, to be filled by `tell`. */
export function newCard() {
  const card = copyOf("alert");
  translatePage(card);
  return card;
}

/** Leads to its page for reading, beside this one, which goes on watching. @param {HTMLElement} card @param {Examination} examination @param {Report | null} report */
async function linkToReading(card, { examination_uid: uid }, report) {
  /** @type {HTMLAnchorElement} */ (first(card, ".read a")).href = `/exam/${encodeURIComponent(uid)}`;
  first(card, ".read").hidden = !report || !await mayRead();
}

/**
 * Tells of an examination what one of its series says. A card that is there changes in place.
 * @param {HTMLElement} card
 * @param {Examination} examination
 * @param {Series} series
 * @param {Report | null} report
 */
export function tell(card, examination, series, report) {
  put(card, ".patient", nameOf(series));
  replace(card, ".whose", whoseParts(series));
  put(card, ".corrected", series.corrected ? correctedWords(series.corrected) : "");
  put(card, ".second", secondWords(examination));
  put(card, ".drawn", drawnWords(examination));
  put(card, ".before", beforeWords(examination));
  replace(card, ".history", historyOf(examination).map((one) => seriesItem(one, [engineOf(one)])));
  linkToReading(card, examination, report);
  const result = `${series.series_uid} ${report?.revision}`;
  if (card.dataset.result !== result) {
    card.dataset.result = result;
    replace(card, ".findings", report ? findingItems(report) : []);
    put(card, ".numbers", report && !isRefused(report) ? numberWords(report) : "");
    replace(card, ".caveats", report ? report.caveats.map((caveat) => element("li", said(caveat))) : []);
  }
  if (card.dataset.pictured !== result && !card.querySelector(".viewer.open")) { // nobody's pictures change while they look
    card.dataset.pictured = result;
    showPictures(card, series, report);
  }
}

/** @param {HTMLElement} card @param {Series} series @param {Report | null} report */
function showPictures(card, series, report) {
  for (const former of card.querySelectorAll(".viewer, .not-kept")) former.remove();
  first(card, ".head-map").replaceWith(headMap(report?.findings ?? []));
  if (report) first(card, ".pictures").prepend(isRefused(report) ? noPictures() : viewerFor(resultPath(series.series_uid, report.revision), report));
}

function noPictures() { return element("p", t("The slices of this result are not kept. Look at them on the scanner."), "not-kept"); }

/** @param {Examination} examination */
function beforeWords({ before, prior }) {
  if (before) return capital(beforeParts(before).join(" · "));
  return prior ? capital(said(prior)) : "";
}

/** @param {Examination} examination */
function drawnWords({ drawn }) { return drawn ? capital(outlinedWords(drawn)) : ""; }

/** @param {Examination} examination */
function secondWords({ remark }) {
  return remark ? [capital(said(remark)), whatToDo(remark)].filter(Boolean).join(" → ") : "";
}

/** @param {Series} series */
function whoseParts({ patient, description }) {
  return [patient.patient_id, born(patient.birth_date), patient.sex,
    patient.accession && t("accession {number}", { number: patient.accession }), description]
    .map(plain).filter(Boolean).map((text) => element("bdi", cut(text)));
}

/** Writes only what is new, so that it is read out once. @param {HTMLElement} card @param {string} selector @param {string} text */
export function put(card, selector, text) {
  const node = first(card, selector);
  if (node.textContent !== text) node.textContent = text;
}

/** Likewise, of several. @param {HTMLElement} card @param {string} selector @param {HTMLElement[]} parts */
function replace(card, selector, parts) {
  const node = first(card, selector);
  if (node.textContent !== parts.map((part) => part.textContent).join("")) node.replaceChildren(...parts);
}

/** @param {Report} report */
function findingItems(report) {
  if (isRefused(report)) return [element("li", t("because {reason}", { reason: said(report) }))];
  if (report.state !== "suspected") return [element("li", stateLabel(report.state))];
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
  item.append(element("bdi", volume), element("small", likelihood(finding.probability)));
  return item;
}

/** @param {Report} report */
function numberWords(report) {
  const { total_volume_ml: totalMl, score, state } = report;
  return [
    score !== null && state === "not_suspected" ? t("score {score}", { score: number(score, 2) }) : null,
    totalMl !== null && report.findings.length > 1 ? t("{volume} mL in all", { volume: number(totalMl, 1) }) : null,
    report.findings.some((f) => f.subtype === "intraventricular") ? t("blood in the ventricles") : null,
    report.midline_shift_mm === null ? null : t("midline shift {shift} mm", { shift: number(report.midline_shift_mm) }),
    report.revision > 1 ? t("revised: result {n}", { n: report.revision }) : null,
  ].filter(Boolean).join(" · ");
}
