// What the series of one examination say together: which speaks, which confirm or withdraw it, which need nobody.

import { element } from "./dom.js";
import { isRefused, isUnderWay, stateLabel, stateWord } from "./states.js";
import { asNeeded, clock, number, plain, said, t, tn } from "./words.js";

/** The series whose answer is the examination's. @param {Examination} examination */
export function speakerOf({ series }) { return series[0]; }

/** The series that waits for an answer: of suspicions the most telling one, else that which speaks. @param {Waiting} examination @returns {Series} */
export function leadOf({ series, waiting }) {
  return series.find(({ series_uid: uid }) => uid === waiting[0]) ?? series[0];
}

/** What it says that waits. @param {Waiting} examination */
export function reportOf(examination) {
  const { alert, report } = leadOf(examination);
  return alert ?? report;
}

/** @param {Examination} examination @returns {examination is Waiting} */
export function isWaiting(examination) { return examination.urgency !== null; }

/** @param {Examination} examination */
export function isUnanalysed({ urgency }) { return urgency === "not_analysed"; }

/** @param {Examination} examination */
export function isWithdrawn({ second }) { return second === "withdrawn"; }

/** The series that are analysed, or should have been. @param {Examination} examination */
export function headsOf({ series }) { return series.filter(({ place }) => place !== "aside"); }

/** The series that need nobody. @param {Examination} examination */
export function asidesOf({ series }) { return series.filter(({ place }, n) => n > 0 && place === "aside"); }

/** @param {Examination} examination */
export function stateOf(examination) {
  const { state, needs_nobody, fetched } = examination;
  if (needs_nobody || fetched) return { label: `– ${stateWord(state)}`, kind: "aside" };
  const kind = answeredAs(examination) ?? state;
  return { label: stateLabel(kind), kind };
}

/** What people made of a suspicion: who has read the images has the last word. @param {Examination} examination */
function answeredAs(examination) {
  const suspected = headsOf(examination).filter(({ report }) => report?.state === "suspected");
  if (examination.state !== "suspected" || examination.waiting.length) return null;
  if (suspected.some(({ verdict }) => verdict?.agrees)) return "confirmed";
  const isWrong = suspected.some(({ verdict, acknowledged }) => verdict?.agrees === false || acknowledged?.dismissed_because);
  return isWrong ? "dismissed" : null;
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
  return expected > 0 ? t("{n} of {expected}", { n: slices, expected }) : tn(slices, "{n} slice so far", "{n} slices so far");
}

/** What the same patient's previous examination said, beside this one. @param {Before} before */
export function beforeParts({ before, now, change }) {
  return [
    before ? t("before {volume}", { volume: volumeWords(before) }) : "",
    now ? t("now {volume}", { volume: volumeWords(now) }) : "",
    said(change),
  ].filter(Boolean);
}

/** Who outlined how much by another program. @param {Drawing} drawing */
export function outlinedWords({ who, segments }) {
  const ml = segments.reduce((sum, { volume_ml: one }) => sum + one, 0);
  return t("outlined by {who}: {volume} mL", { who: plain(who), volume: number(ml, 1) });
}

/** @param {Volume} volume */
function volumeWords({ volume_ml: ml, interval_ml: [low, high] }) {
  return t("{volume} mL (90 %: {low}–{high})", { volume: number(ml, 1), low: number(low, 1), high: number(high, 1) });
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
