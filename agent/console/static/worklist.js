// The worklist: a row for each series, what came of it, and what people say of that.

import { resultPath, say } from "./feedback.js";
import { askName, post } from "./session.js";
import { isUnderWay, stateLabel } from "./states.js";
import { clock, element, findingWords, nameOf, plain, sentence, t, translatePage } from "./words.js";

const body = document.getElementById("worklist");
const forms = new Map(); // result's key → the form in which a verdict is being given
let rows = new Map(); // series UID → its row and what that shows
let latest = [];

export function showWorklist(series, heard) {
  document.getElementById("empty").hidden = !heard || series.length > 0;
  latest = series;
  draw();
}

function draw() { // a row that stays is not touched: text in it can be marked, a button pressed
  const inUse = body.contains(document.activeElement) ? document.activeElement : null;
  rows = new Map(latest.map((series) => [series.series_uid, rowOf(series)]));
  const wanted = [...rows.values()].map(({ tr }) => tr);
  const kept = new Set(wanted);
  [...body.children].filter((tr) => !kept.has(tr)).forEach((tr) => tr.remove());
  wanted.forEach((tr, n) => { if (body.children[n] !== tr) body.insertBefore(tr, body.children[n] ?? null); });
  if (inUse?.isConnected && inUse !== document.activeElement) inUse.focus();
}

function rowOf(series) { // the one there is while it would show the same
  const judging = forms.has(resultKey(series));
  const what = JSON.stringify([{ ...series, last_slice_age_s: null, shown_utc: null }, judging, new Date().toDateString()]);
  const there = rows.get(series.series_uid);
  return there?.what === what ? there : { what, tr: row(series) };
}

function resultKey(series) { return `${series.series_uid} ${series.revision}`; }

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

function resultCell(series, current) {
  const cell = element("td", current ? resultWords(current) : isUnderWay(series.state) ? t("{n} slices so far", { n: series.slices }) : "");
  if (current?.what_to_do) cell.append(element("p", `→ ${sentence(current.what_to_do)}`, "to-do"));
  cell.append(...historyLines(series).map((line) => element("small", line)));
  if (current && current.state !== "not_analysed" && !series.alert) cell.append(verdictPart(series));
  return cell;
}

function historyLines(series) { // earlier results, and what people said of them
  const { alert, acknowledged, verdict } = series;
  return [
    series.revision > 1 ? t("revised: result {n}", { n: series.revision }) : null,
    alert && alert.revision !== series.revision ? t("result {n} suspected a hemorrhage", { n: alert.revision }) : null,
    acknowledged ? acknowledgedWords(acknowledged) : null,
    verdict ? verdictWords(verdict) : null,
  ].filter(Boolean);
}

function resultWords(report) {
  if (report.state === "not_analysed") return t("because {reason}", { reason: sentence(report.reason) });
  if (report.state === "suspected") return report.findings.slice(0, 2).map(findingWords).join("; ") || t("no outline could be drawn");
  return "";
}

function acknowledgedWords(given) {
  const values = { who: plain(given.who), time: clock(given.at_utc), reason: t(plain(given.dismissed_because)), note: plain(given.note) };
  const words = given.dismissed_because ? t("dismissed by {who}, {time}: {reason}", values) : t("acknowledged by {who}, {time}", values);
  return given.note ? `${words} – ${values.note}` : words;
}

function verdictWords(given) {
  const values = { who: plain(given.who), time: clock(given.at_utc) };
  const words = given.agrees ? t("✓ {who} agrees, {time}", values) : t("✗ {who} disagrees, {time}", values);
  return given.note ? `${words} – ${plain(given.note)}` : words;
}

function verdictPart(series) { // two buttons, and after one of them the form
  const key = resultKey(series);
  if (forms.has(key)) return forms.get(key);
  const part = element("div", "", "verdict");
  for (const [agrees, text] of [[true, t("Agree")], [false, t("Disagree")]]) {
    const button = element("button", text, "small");
    button.addEventListener("click", () => {
      forms.set(key, verdictForm(series, key, agrees));
      draw();
    });
    part.append(button);
  }
  return part;
}

function verdictForm(series, key, agrees) {
  const form = document.getElementById("verdict").content.cloneNode(true).firstElementChild;
  const close = () => { forms.delete(key); draw(); };
  translatePage(form);
  form.querySelector(".which").textContent = agrees ? t("I agree") : t("I disagree");
  askName(form).then(() => form.elements[form.elements.who.value ? "note" : "who"].focus());
  form.querySelector("[type=button]").addEventListener("click", close);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await say(form, `${resultPath(series.series_uid, series.revision)}/verdict`, { agrees })) close();
  });
  return form;
}

const confirmed = new Set();

export function confirmShown(series) { // what a page has shown is delivered
  const revisions = [[series.report?.revision, series.shown_utc], [series.alert?.revision, series.alert?.revision === series.revision && series.shown_utc]];
  for (const [revision, shown] of revisions) {
    const key = `${series.series_uid} ${revision}`;
    if (!revision || shown || confirmed.has(key) || document.hidden) continue;
    confirmed.add(key);
    post(`${resultPath(series.series_uid, revision)}/shown`, {})
      .then((answer) => { if (!answer.ok) confirmed.delete(key); })
      .catch(() => confirmed.delete(key));
  }
}
