// The worklist: a row for each examination, what came of it, and what people say of that.

import { asidesOf, currentOf, headsOf, historyOf, isWaiting, outlinedWords, picturedOf, seriesItem, soFar, speakerOf, stateOf } from "./examination.js";
import { newCard, tell } from "./card.js";
import { at, button, copyOf, element, field, first } from "./dom.js";
import { resultPath, say } from "./feedback.js";
import { askName, post } from "./session.js";
import { isRefused, stateLabel } from "./states.js";
import { capital, clock, correctedWords, findingWords, nameOf, plain, said, t, translatePage, whatToDo, sentWords } from "./words.js";

/** @typedef {Series & { acknowledged: NonNullable<Series["acknowledged"]> }} Answered */
/** @typedef {{ what: string, tr: HTMLTableRowElement }} Row what a row shows, and its element */

const COLUMNS = 7;
const body = at("worklist");
/** @type {Map<string, HTMLFormElement>} */
const forms = new Map(); // result's key → the form in which an answer is being given or taken back
/** @type {Map<string, HTMLTableRowElement>} */
const opened = new Map(); // examination → the row beneath its own with its card
/** @type {Map<string, Before | null>} */
const befores = new Map(); // examination whose card was opened → the same patient's previous one
/** @type {Set<string>} */
const unfolded = new Set(); // examinations whose other series are looked at
/** @type {Map<string, Row>} */
let rows = new Map(); // by examination
/** @type {Examination[]} */
let latest = [];

/** @param {Examination[]} examinations @param {boolean} heard */
export function showWorklist(examinations, heard) {
  at("empty").hidden = !heard || examinations.length > 0;
  latest = examinations;
  draw();
}

function draw() { // a row that stays is not touched: text in it can be marked, a button pressed
  const { activeElement } = document;
  const inUse = activeElement instanceof HTMLElement && body.contains(activeElement) ? activeElement : null;
  rows = new Map(latest.map((examination) => [examination.examination_uid, rowOf(examination)]));
  forgetGone();
  const wanted = latest.flatMap(rowsOf);
  const kept = new Set(wanted);
  for (const tr of [...body.children]) if (!kept.has(/** @type {HTMLTableRowElement} */ (tr))) tr.remove();
  wanted.forEach((tr, n) => { if (body.children[n] !== tr) body.insertBefore(tr, body.children[n] ?? null); });
  for (const examination of latest) tellOpened(examination);
  if (inUse?.isConnected && inUse !== document.activeElement) inUse.focus();
}

function forgetGone() {
  for (const uid of [...opened.keys(), ...unfolded]) if (!rows.has(uid)) { opened.delete(uid); unfolded.delete(uid); }
}

/** Its own, and the one that was opened beneath it. @param {Examination} examination */
function rowsOf({ examination_uid: uid }) {
  return [rows.get(uid)?.tr, opened.get(uid)].filter((tr) => tr !== undefined);
}

/** The one there is while it would show the same. @param {Examination} examination @returns {Row} */
function rowOf(examination) {
  const key = examination.examination_uid;
  const still = examination.series.map((series) => ({ ...series, last_slice_age_s: null, shown_utc: null }));
  const use = [opened.has(key), new Date().toDateString()];
  const what = JSON.stringify([{ ...examination, series: still }, use]);
  const there = rows.get(key);
  return there?.what === what ? there : { what, tr: row(examination) };
}

/** @param {Series} series */
function resultKey(series) { return `${series.series_uid} ${series.revision}`; }

/** @param {Examination} examination */
function row(examination) {
  const speaker = speakerOf(examination);
  const { label, kind } = stateOf(examination);
  const name = element("td", nameOf(speaker));
  name.append(element("small", plain(speaker.patient.patient_id)));
  const tr = document.createElement("tr");
  tr.classList.toggle("aside", examination.needs_nobody || examination.fetched);
  tr.append(element("td", label, kind), name, element("td", plain(speaker.description)),
    slicesCell(speaker), element("td", clock(examination.last_slice_utc)), resultCell(examination), openCell(examination));
  tr.role = "row";
  for (const cell of tr.cells) cell.role = "cell";
  return tr;
}

/** @param {Examination} examination */
function openCell({ examination_uid: uid }) {
  const cell = element("td", "");
  const open = opened.has(uid);
  const toggle = button(open ? t("Close") : t("Show"), "small", () => {
    if (!opened.delete(uid)) {
      opened.set(uid, openedRow());
      askBefore(uid);
    }
    draw();
    first(rows.get(uid)?.tr ?? body, "td:last-child button").focus();
  });
  toggle.setAttribute("aria-expanded", String(open));
  cell.append(toggle);
  return cell;
}

function openedRow() {
  const tr = document.createElement("tr");
  const cell = document.createElement("td");
  const card = newCard();
  card.className = "opened";
  card.removeAttribute("role");
  for (const part of ["h2", "form", ".since", ".later", ".escalated", ".next"]) first(card, part).remove();
  cell.colSpan = COLUMNS;
  cell.append(card);
  tr.append(cell);
  return tr;
}

/** Asks what the same patient's previous examination said: of those that wait alone it comes by itself. @param {string} uid */
async function askBefore(uid) {
  const answer = await fetch(`/api/exam/${encodeURIComponent(uid)}`).catch(() => null);
  befores.set(uid, answer?.ok ? (await answer.json()).before : null);
  draw();
}

/** @param {Examination} examination */
function tellOpened(examination) {
  const tr = opened.get(examination.examination_uid);
  const series = picturedOf(examination) ?? speakerOf(examination);
  if (!tr) return;
  const card = first(tr, ".opened");
  tell(card, { ...examination, before: examination.before ?? befores.get(examination.examination_uid) }, series, series.report);
  tellAnswers(first(card, ".answers"), examination);
}

/** What people answered, to be taken back, and what they think of it: asked beside the pictures. @param {HTMLElement} node @param {Examination} examination */
function tellAnswers(node, examination) {
  const speaker = speakerOf(examination);
  const given = headsOf(examination).filter(isAnswered);
  const judged = currentOf(speaker) && speaker.state !== "not_analysed" && !isWaiting(examination);
  const keys = [speaker, ...given].map(resultKey);
  const what = JSON.stringify([given.map(({ acknowledged }) => acknowledged), speaker.verdict, judged, keys, keys.map((key) => forms.has(key))]);
  if (node.dataset.what === what) return;
  node.dataset.what = what;
  node.replaceChildren(...given.map(answerLine), ...(judged ? [verdictPart(speaker)] : []));
}

/** Whether an answer was given to it, and not only to another series for it as well. @param {Series} series @returns {series is Answered} */
function isAnswered(series) {
  const { acknowledged: given, series_uid: uid } = series;
  return given !== null && [null, uid].includes(given.through_series_uid);
}

/** @param {Answered} series */
function answerLine(series) {
  const line = element("div", "", "answer");
  const key = `${resultKey(series)} back`;
  line.append(element("p", acknowledgedWords(series.acknowledged)));
  line.append(forms.get(key) ?? button(t("Take the answer back"), "small", () => {
    forms.set(key, answerForm(t("Take the answer back"), key, `${resultPath(series.series_uid, series.revision)}/take-back`, {}));
    line.lastElementChild?.replaceWith(/** @type {HTMLFormElement} */ (forms.get(key)));
  }));
  return line;
}

/** @param {Series} series */
function slicesCell(series) {
  const { slices, expected, state } = series;
  const cell = element("td", expected > 0 ? t("{n} of {expected}", { n: slices, expected }) : String(slices));
  if (state === "analysing" || (state === "receiving" && expected > 0)) {
    const bar = document.createElement("progress"); // how long the networks still take is not known
    if (state === "receiving") Object.assign(bar, { max: expected, value: Math.min(slices, expected) });
    bar.setAttribute("aria-label", state === "analysing" ? t("Analysing") : t("Slices received"));
    cell.append(bar);
  }
  return cell;
}

/** @param {Examination} examination */
function resultCell(examination) {
  const speaker = speakerOf(examination);
  const current = currentOf(speaker);
  const told = standingOf(examination);
  const cell = element("td", told ? resultWords(told) : soFar(speaker));
  if (told && !current) cell.append(element("small", `${stateLabel(speaker.state)} ${soFar(speaker)}`));
  cell.append(...remarkParts(examination), ...list(historyOf(examination).map((series) => seriesItem(series))));
  cell.append(...historyLines(examination).map((line) => element("small", line)), ...folded(examination));
  return cell;
}

/** The result that stands: a suspicion also while more slices come. @param {Examination} examination */
function standingOf(examination) {
  const { report } = speakerOf(examination);
  return report && report.state === examination.state ? report : null;
}

/** What its series say together, and what to do; where nobody is needed, quietly. @param {Examination} examination */
function remarkParts(examination) {
  const { remark, second } = examination;
  const quiet = examination.needs_nobody || examination.fetched;
  const told = standingOf(examination);
  const reason = remark ?? (told && isRefused(told) ? told : null);
  const advice = reason ? whatToDo(reason) : "";
  return [
    ...(remark ? [element("p", capital(said(remark)), "remark")] : []),
    ...(advice ? [element("p", `→ ${advice}`, quiet || second ? "quiet" : "to-do")] : []),
  ];
}

/** The series that need nobody, behind one line. @param {Examination} examination */
function folded(examination) {
  const { examination_uid: uid } = examination;
  const asides = asidesOf(examination);
  if (!asides.length) return [];
  const details = document.createElement("details");
  details.open = unfolded.has(uid);
  details.addEventListener("toggle", () => { unfolded[details.open ? "add" : "delete"](uid); });
  details.append(element("summary", t("further series: {n}", { n: asides.length })), ...list(asides.map((series) => seriesItem(series))));
  return [details];
}

/** A list of what there is, none of nothing. @param {HTMLElement[]} items */
function list(items) {
  const node = element("ul", "", "history");
  node.append(...items);
  return items.length ? [node] : [];
}

/** Earlier results, and what people said of them. @param {Examination} examination */
function historyLines(examination) {
  const speaker = speakerOf(examination);
  const heads = headsOf(examination);
  const { alert, verdict } = speaker;
  return [
    ...heads.map(({ unread_files: files }) => (files.length ? t("not read: {files}", { files: files.map(plain).join(", ") }) : null)),
    speaker.revision > 1 ? t("revised: result {n}", { n: speaker.revision }) : null,
    alert && alert.revision !== speaker.revision ? t("result {n} suspected a hemorrhage", { n: alert.revision }) : null,
    speaker.corrected ? correctedWords(speaker.corrected) : null,
    ...heads.map((series) => (isAnswered(series) ? acknowledgedWords(series.acknowledged) : null)),
    ...heads.map(({ taken_back: back }) => (back ? takenBackWords(back) : null)),
    verdict ? verdictWords(verdict) : null,
    examination.drawn ? `${outlinedWords(examination.drawn)}, ${clock(examination.drawn.at_utc)}` : null,
    ...heads.flatMap(({ sent }) => (sent ?? []).flatMap((one) => [sentWords(one), one.remark ? said(one.remark) : null])),
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

/** @param {NonNullable<Series["taken_back"]>} back */
function takenBackWords({ who, by_whom: by, at_utc: utc }) {
  return t("answer of {who} taken back by {by}, {time}", { who: plain(who), by: plain(by), time: clock(utc) });
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
  const part = element("div", "", "verdict");
  const judging = forms.get(key);
  if (judging) return judging;
  const url = `${resultPath(series.series_uid, series.revision)}/verdict`;
  /** @param {string} text @param {string} which @param {boolean} agrees */
  const choice = (text, which, agrees) => button(text, "small", () => {
    forms.set(key, answerForm(which, key, url, { agrees }));
    draw();
  });
  part.append(choice(t("Agree"), t("I agree"), true), choice(t("Disagree"), t("I disagree"), false));
  return part;
}

/** Asks in whose name, and for a note. @param {string} which @param {string} key @param {string} url @param {object} values */
function answerForm(which, key, url, values) {
  const form = /** @type {HTMLFormElement} */ (copyOf("verdict"));
  const close = () => {
    forms.delete(key);
    const node = /** @type {HTMLElement | null} */ (form.closest(".answers"));
    if (node) node.dataset.what = "";
    draw();
  };
  translatePage(form);
  first(form, ".which").textContent = which;
  askName(form).then(() => field(form, field(form, "who").value ? "note" : "who").focus());
  first(form, "[type=button]:not(.link)").addEventListener("click", close);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await say(form, url, values)) close();
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
