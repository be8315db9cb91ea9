// What the series of one examination say together: which speaks, which confirm or withdraw it, which need nobody.

import { element } from "./dom.js";
import { isRefused, isUnderWay, stateLabel, stateWord } from "./states.js";
import { asNeeded, clock, number, plain, said, t } from "./words.js";

/** The series whose answer is the examination's. @param {Examination} examination */
export function speakerOf({ series }) { return series[0]; }

/** The series whose suspicion waits for an answer, the most telling one. @param {Waiting} examination @returns {Alerted} */
export function leadOf({ series, waiting }) {
  return /** @type {Alerted} */ (series.find(({ series_uid: uid }) => uid === waiting[0]));
}

/** @param {Examination} examination @returns {examination is Waiting} */
export function isWaiting(examination) { return examination.waiting.length > 0; }

/** @param {Examination} examination */
export function isWithdrawn({ second }) { return second === "withdrawn"; }

/** The series that are analysed, or should have been. @param {Examination} examination */
export function headsOf({ series }) { return series.filter(({ place }) => place !== "aside"); }

/** The series that need nobody. @param {Examination} examination */
export function asidesOf({ series }) { return series.filter(({ place }, n) => n > 0 && place === "aside"); }

/** @param {Examination} examination */
export function stateOf({ state, needs_nobody: quiet }) {
  return quiet ? { label: `– ${stateWord(state)}`, kind: "aside" } : { label: stateLabel(state), kind: state };
}

/** The result of a series' present state, null while a newer one is on its way. @param {Series} series */
export function currentOf({ report, state }) { return report && report.state === state ? report : null; }

/** What a suspicion's pictures are of: the series that speaks, else the first that suspected. @param {Examination} examination */
export function picturedOf(examination) {
  return headsOf(examination).find(({ report }) => report?.state === "suspected") ?? null;
}

/** The series that answered, in the order of their answers; a single one says nothing more. @param {Examination} examination */
export function historyOf(examination) {
  const heads = headsOf(examination);
  if (heads.length < 2) return [];
  const answeredAt = (/** @type {Series} */ { concluded_utc: utc }) => (utc ? Date.parse(utc) : Infinity);
  return heads.sort((one, other) => answeredAt(one) - answeredAt(other));
}

/** A line of a series. @param {Series} series @param {string[]} more what else is told of it */
export function seriesItem(series, more = []) {
  const { state, place } = series;
  const item = element("li", "", place === "aside" ? "aside" : state);
  const label = place === "aside" && state === "not_analysed" ? `– ${stateWord(state)}` : stateLabel(state);
  item.append(element("strong", label), ` ${[...seriesWords(series), ...more].filter(Boolean).join(" · ")}`);
  return item;
}

/** @param {Series} series */
function seriesWords(series) {
  const { thickness_mm: mm, description, state } = series;
  const report = currentOf(series);
  const thickness = mm === null ? "" : `${asNeeded(mm)} mm`;
  return [thickness, plain(description), isUnderWay(state) ? soFar(series) : "", ...(report ? answerWords(report, series) : [])].filter(Boolean);
}

/** @param {Series} series */
export function soFar({ slices, expected }) {
  return expected > 0 ? t("{n} of {expected}", { n: slices, expected }) : t("{n} slices so far", { n: slices });
}

/** Which networks answered. @param {Series} series */
export function engineOf({ report }) {
  const engine = report?.engine;
  return engine ? plain(`${engine.bundle} ${engine.version}, ${engine.device}`) : "";
}

/** What was found or is missing, and when. @param {Report} report @param {Series} series */
function answerWords(report, { concluded_utc: utc }) {
  const { state, total_volume_ml: ml } = report;
  return [
    state === "suspected" && ml !== null ? `${number(ml, 1)} mL` : "",
    isRefused(report) ? t("because {reason}", { reason: said(report) }) : "",
    utc ? clock(utc) : "",
  ];
}
