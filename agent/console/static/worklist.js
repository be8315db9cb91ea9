// The worklist: a row for each series, what came of it, and what people say of that.

import { at, button, copyOf, element, field, first } from "./dom.js";
import { resultPath, say } from "./feedback.js";
import { askName, post } from "./session.js";
import { isRefused, isUnderWay, stateLabel } from "./states.js";
import { clock, correctedWords, findingWords, nameOf, plain, said, t, translatePage, whatToDo } from "./words.js";

/** @typedef {{ what: string, tr: HTMLTableRowElement }} Row what a row shows, and its element */

const body = at("worklist");
/** @type {Map<string, HTMLFormElement>} */
const forms = new Map(); // result's key → the form in which a verdict is being given
/** @type {Map<string, Row>} */
let rows = new Map(); // by series UID
/** @type {Series[]} */
let latest = [];

/** @param {Series[]} series @param {boolean} heard */
export function showWorklist(series, heard) {
  at("empty").hidden = !heard || series.length > 0;
  latest = series;
  draw();
}

function draw() { // a row that stays is not touched: text in it can be marked, a button pressed
  const { activeElement } = document;
  const inUse = activeElement instanceof HTMLElement && body.contains(activeElement) ? activeElement : null;
  rows = new Map(latest.map((series) => [series.series_uid, rowOf(series)]));
  const wanted = [...rows.values()].map(({ tr }) => tr);
  const kept = new Set(wanted);
  for (const tr of [...body.querySelectorAll("tr")]) if (!kept.has(tr)) tr.remove();
  wanted.forEach((tr, n) => { if (body.children[n] !== tr) body.insertBefore(tr, body.children[n] ?? null); });
  if (inUse?.isConnected && inUse !== document.activeElement) inUse.focus();
}

/** The one there is while it would show the same. @param {Series} series @returns {Row} */
function rowOf(series) {
  const judging = forms.has(resultKey(series));
  const what = JSON.stringify([{ ...series, last_slice_age_s: null, shown_utc: null }, judging, new Date().toDateString()]);
  const there = rows.get(series.series_uid);
  return there?.what === what ? there : { what, tr: row(series) };
}

/** @param {Series} series */
function resultKey(series) { return `${series.series_uid} ${series.revision}`; }

/** @param {Series} series */
function row(series) {
  const { patient, report, state } = series;
  const current = report && report.state === state ? report : null;
  const name = element("td", nameOf(series));
  name.append(element("small", plain(patient.patient_id)));
  const tr = document.createElement("tr");
  tr.append(element("td", stateLabel(state), state), name, element("td", plain(series.description)),
    slicesCell(series), element("td", clock(series.last_slice_utc)), resultCell(series, current));
  return tr;
}

/** @param {Series} series */
function slicesCell(series) {
  const { slices, expected, state } = series;
  const cell = element("td", expected > 0 ? t("{n} of {expected}", { n: slices, expected }) : String(slices));
  if (state === "receiving" && expected > 0) {
    const bar = document.createElement("progress");
    Object.assign(bar, { max: expected, value: Math.min(slices, expected) });
    bar.setAttribute("aria-label", t("Slices received"));
    cell.append(bar);
  }
  return cell;
}

/** @param {Series} series @param {Report | null} current */
function resultCell(series, current) {
  const cell = element("td", current ? resultWords(current) : isUnderWay(series.state) ? t("{n} slices so far", { n: series.slices }) : "");
  if (current && isRefused(current)) cell.append(element("p", `→ ${whatToDo(current)}`, "to-do"));
  cell.append(...historyLines(series).map((line) => element("small", line)));
  if (current && current.state !== "not_analysed" && !series.alert) cell.append(verdictPart(series));
  return cell;
}

/** Earlier results, and what people said of them. @param {Series} series */
function historyLines(series) {
  const { alert, acknowledged, verdict, unread_files: files } = series;
  return [
    files.length ? t("not read: {files}", { files: files.map(plain).join(", ") }) : null,
    series.revision > 1 ? t("revised: result {n}", { n: series.revision }) : null,
    alert && alert.revision !== series.revision ? t("result {n} suspected a hemorrhage", { n: alert.revision }) : null,
    series.corrected ? correctedWords(series.corrected) : null,
    acknowledged ? acknowledgedWords(acknowledged) : null,
    verdict ? verdictWords(verdict) : null,
  ].filter((line) => line !== null);
}

/** @param {Report} report */
function resultWords(report) {
  if (isRefused(report)) return t("because {reason}", { reason: said(report) });
  if (report.state === "suspected") return report.findings.slice(0, 2).map(findingWords).join("; ") || t("no outline could be drawn");
  return report.caveats.map(said).join("; ");
}

/** @param {NonNullable<Series["acknowledged"]>} given */
function acknowledgedWords(given) {
  const values = { who: plain(given.who), time: clock(given.at_utc), reason: t(plain(given.dismissed_because)), note: plain(given.note) };
  const words = given.dismissed_because ? t("dismissed by {who}, {time}: {reason}", values) : t("acknowledged by {who}, {time}", values);
  return given.note ? `${words} – ${values.note}` : words;
}

/** @param {NonNullable<Series["verdict"]>} given */
function verdictWords(given) {
  const values = { who: plain(given.who), time: clock(given.at_utc) };
  const words = given.agrees ? t("✓ {who} agrees, {time}", values) : t("✗ {who} disagrees, {time}", values);
  return given.note ? `${words} – ${plain(given.note)}` : words;
}

/** Two buttons, and after one of them the form. @param {Series} series */
function verdictPart(series) {
  const key = resultKey(series);
  const judging = forms.get(key);
  if (judging) return judging;
  const part = element("div", "", "verdict");
  /** @param {string} text @param {boolean} agrees */
  const choice = (text, agrees) => button(text, "small", () => {
    forms.set(key, verdictForm(series, key, agrees));
    draw();
  });
  part.append(choice(t("Agree"), true), choice(t("Disagree"), false));
  return part;
}

/** @param {Series} series @param {string} key @param {boolean} agrees */
function verdictForm(series, key, agrees) {
  const form = /** @type {HTMLFormElement} */ (copyOf("verdict"));
  const close = () => { forms.delete(key); draw(); };
  translatePage(form);
  first(form, ".which").textContent = agrees ? t("I agree") : t("I disagree");
  askName(form).then(() => field(form, field(form, "who").value ? "note" : "who").focus());
  first(form, "[type=button]").addEventListener("click", close);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await say(form, `${resultPath(series.series_uid, series.revision)}/verdict`, { agrees })) close();
  });
  return form;
}

/** @type {Set<string>} */
const confirmed = new Set();

/** What a page has shown is delivered. @param {Series} series */
export function confirmShown(series) {
  const { report, alert, shown_utc: shown } = series;
  if (report && !shown) confirmOne(series.series_uid, report.revision);
  if (alert && !(shown && alert.revision === series.revision)) confirmOne(series.series_uid, alert.revision);
}

/** @param {string} uid @param {number} revision */
function confirmOne(uid, revision) {
  const key = `${uid} ${revision}`;
  if (confirmed.has(key) || document.hidden) return;
  confirmed.add(key);
  post(`${resultPath(uid, revision)}/shown`, {})
    .then((answer) => { if (!answer.ok) confirmed.delete(key); })
    .catch(() => confirmed.delete(key));
}
