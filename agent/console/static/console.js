"use strict";

// Text from DICOM headers goes into the page as text only (textContent), never as markup, and
// without the marks that turn or hide the text beside them.

const LOST_AFTER_MS = 3000; // the server sends at least one snapshot a second
const AGAIN_AFTER_MS = 1000;
const LONGEST = 120; // characters of a name or a description that are shown
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;
const WORDS = {
  receiving: "… receiving",
  analysing: "… analysing",
  suspected: "▲ suspected",
  not_suspected: "✓ not suspected",
  not_analysed: "? not analysed",
};

const at = (id) => document.getElementById(id);
const alerts = new Map(); // "uid revision" → its element, kept so that typing a name is not interrupted
const confirmed = new Set();
let heardAt = performance.now();
let latest = null;
let lost = false;
let listed = "";

connect();
setInterval(() => {
  if (performance.now() - heardAt > LOST_AFTER_MS && !lost) {
    lost = true;
    refresh();
  }
  tick();
}, 250);

function connect() {
  const source = new EventSource("/api/events");
  source.onmessage = (event) => {
    heardAt = performance.now();
    lost = false;
    latest = JSON.parse(event.data);
    refresh();
  };
  source.onerror = () => { // the browser tries again by itself, but not after an answer like 500
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_AFTER_MS);
  };
}

function refresh() {
  try {
    show();
  } catch (error) {
    banner("THIS PAGE HAS A FAULT", "What it shows may be old. Do not rely on it: call service.", "trouble");
    throw error;
  }
}

function show() {
  const state = latest ?? { series: [], notices: [], problem: null, agent: null };
  const waiting = state.series.filter((s) => s.alert);
  document.body.classList.toggle("lost", lost);
  showAlerts(waiting);
  showBanner(state, waiting);
  showWorklist(state);
  at("engine").textContent = state.agent ? `${state.agent.bundle}, ${state.agent.backend}` : "";
  at("degraded").textContent = state.agent?.degraded ? `▼ ${plain(state.agent.degraded)}` : "";
  at("selftest").textContent = state.selftest?.problem ? `▼ ${plain(state.selftest.problem)}` : "";
  const patients = waiting.filter((s) => !s.test).length; // a self-test's alert counts for nobody
  at("waiting").textContent = patients > 1 ? `▲ ${patients} suspected` : "";
  document.title = patients ? `(${patients}) SUSPECTED – Bleedwatch` : "Bleedwatch";
  if (!lost) requestAnimationFrame(() => requestAnimationFrame(() => state.series.forEach(confirmShown)));
}

function showBanner(state, waiting) {
  if (lost && !latest) banner("NOT CONNECTED", "This page has not heard from Bleedwatch. Do not rely on it.", "trouble");
  else if (lost) banner("CONNECTION LOST", `Since ${clock(state.at_utc)} this page has not heard from Bleedwatch. Do not rely on it.`, "trouble");
  else if (state.problem) banner(...troubleWords(plain(state.problem)), "trouble");
  else if (waiting.length) banner("", "", "none");
  else banner("Watching", calmWords(state), "calm");
}

function troubleWords(problem) {
  const folder = problem.startsWith("export folder unreachable");
  return folder
    ? ["EXPORT FOLDER UNREACHABLE", `${problem.slice(problem.indexOf(":") + 2)}. No scan is being analysed: call service.`]
    : ["AGENT NOT RUNNING", `${capital(problem)}. No scan is being analysed: call service.`];
}

function calmWords(state) {
  const failed = state.series.filter((s) => s.state === "not_analysed" && isToday(s.last_slice_utc)).length;
  return `No alert is waiting. ${state.today} series today${failed ? `, ${failed} of them not analysed` : ""}.`;
}

function banner(title, text, kind) { // only what is new is written, so that it is read out once
  const node = document.querySelector(".banner");
  node.className = `banner ${kind}`;
  node.hidden = kind === "none";
  const lines = [kind === "trouble" ? `✖ ${title}` : kind === "calm" ? `● ${title}` : "", text];
  [...node.children].forEach((line, n) => { if (line.textContent !== lines[n]) line.textContent = lines[n]; });
}

function showAlerts(waiting) {
  const wanted = new Map(waiting.map((s) => [`${s.uid} ${s.alert.revision}`, s]));
  for (const [key, node] of alerts) if (!wanted.has(key)) { node.remove(); alerts.delete(key); }
  for (const [key, series] of [...wanted].reverse()) { // the newest comes to the very front …
    if (!alerts.has(key)) {
      alerts.set(key, alertFor(series));
      const inUse = at("front").contains(document.activeElement); // … but moves none that is in use
      at("front").insertBefore(alerts.get(key), inUse || series.test ? null : at("front").querySelector(".alert"));
    }
    const node = alerts.get(key);
    const later = laterWords(series);
    if (node.querySelector(".later").textContent !== later) node.querySelector(".later").textContent = later;
    node.dataset.lastSliceMs = series.last_slice_age_s === null
      ? "" : performance.now() - series.last_slice_age_s * 1000;
  }
  at("front").classList.toggle("many", waiting.length > 2);
  tick();
}

function alertFor(series) {
  const node = at("alert").content.cloneNode(true).firstElementChild;
  const { patient, alert: report } = series;
  const path = resultPath(series.uid, report.revision);
  const put = (selector, text) => { node.querySelector(selector).textContent = text; };
  if (series.test) {
    node.classList.add("test");
    put("h2", "TEST");
  }
  put(".patient", nameOf(series));
  node.querySelector(".whose").replaceChildren(
    ...[patient.patient_id, born(patient.birth_date), patient.sex, series.description]
      .map(plain).filter(Boolean).map((text) => element("bdi", text)));
  node.querySelector(".findings").replaceChildren(
    ...report.findings.slice(0, 3).map((f) => element("li", findingWords(f))),
    ...(report.findings.length > 3 ? [element("li", `and ${report.findings.length - 3} more`)] : []),
    ...(report.findings.length ? [] : [element("li", "No outline could be drawn: look at every slice.")]));
  put(".numbers", numberWords(report));
  node.querySelector(".caveats").replaceChildren(...report.caveats.map((c) => element("li", plain(c))));
  showPicture(node, report, path);
  askName(node.querySelector("form"), path);
  return node;
}

function showPicture(node, report, path) {
  const image = node.querySelector("img");
  if (!report.findings.length) return image.remove();
  image.addEventListener("error", () => image.replaceWith(element("p", "No picture", "no-picture")));
  image.src = `${path}/key-slice.png`;
  return image;
}

function askName(form, path) {
  form.elements.who.value = sessionStorage.getItem("who") ?? "";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const who = form.elements.who.value.trim();
    sessionStorage.setItem("who", who);
    const button = form.querySelector("button");
    button.disabled = true;
    const answer = await post(`${path}/acknowledge`, { who, note: "" }).catch(() => null);
    if (!answer?.ok) {
      button.disabled = false;
      button.textContent = "Not stored – try again";
    }
  });
}

function numberWords(report) {
  const several = report.findings.length > 1 && report.total_volume_ml !== null;
  return [
    several ? `${report.total_volume_ml.toFixed(1)} mL in all` : null,
    report.midline_shift_mm === null ? null : `midline shift ${report.midline_shift_mm.toFixed(0)} mm`,
    report.score === null ? null : `score ${report.score.toFixed(2)}`,
    report.revision > 1 ? `revised: result ${report.revision}` : null,
  ].filter(Boolean).join(" · ");
}

function laterWords(series) {
  if (series.state === "receiving" || series.state === "analysing") return `${WORDS[series.state]} more slices of this series`;
  if (series.revision === series.alert.revision || !series.report) return "";
  const why = series.report.reason ? `, because ${plain(series.report.reason)}` : "";
  return `Result ${series.revision} says ${WORDS[series.report.state].slice(2)}${why}. Look at the images.`;
}

function findingWords(f) {
  const [low, high] = f.volume_interval_ml;
  const where = [f.side, f.region].filter(Boolean).join(" ");
  return `${capital(f.subtype)}${where ? ", " + where : ""}: ${f.volume_ml.toFixed(1)} mL (${low.toFixed(0)}–${high.toFixed(0)})`;
}

function showWorklist(state) { // only when something changed, so that text can be marked and copied
  const now = JSON.stringify([state.series.map((s) => ({ ...s, last_slice_age_s: null })), state.notices, new Date().toDateString()]);
  if (now === listed) return;
  listed = now;
  at("worklist").replaceChildren(...state.series.map(row));
  at("empty").hidden = !latest || state.series.length > 0;
  at("notices").replaceChildren(
    ...state.notices.map((n) => element("p", `${clock(n.at_utc)}  ${plain(n.message)}`)));
}

function row(series) {
  const tr = document.createElement("tr");
  const { patient, report, state } = series;
  const current = report && report.state === state ? report : null;
  const count = series.expected > 0 ? `${series.slices} of ${series.expected}` : `${series.slices}`;
  const result = element("td", current ? resultWords(current) : state === "receiving" ? `receiving ${count} slices` : "");
  if (current?.what_to_do) result.append(element("p", `→ ${plain(current.what_to_do)}`, "to-do"));
  if (series.revision > 1) result.append(element("small", `revised: result ${series.revision}`));
  if (series.alert && series.alert.revision !== series.revision) {
    result.append(element("small", `result ${series.alert.revision} suspected a hemorrhage`));
  }
  if (series.acknowledged) {
    result.append(element("small", `acknowledged by ${plain(series.acknowledged.who)}, ${clock(series.acknowledged.at_utc)}`));
  }
  const name = element("td", nameOf(series));
  name.append(element("small", plain(patient.patient_id)));
  tr.append(element("td", WORDS[state], state), name, element("td", plain(series.description)),
    element("td", count), element("td", clock(series.last_slice_utc)), result);
  return tr;
}

function resultWords(report) {
  if (report.state === "not_analysed") return `because ${plain(report.reason)}`;
  if (report.state === "suspected") return report.findings.slice(0, 2).map(findingWords).join("; ") || "no outline could be drawn";
  return "";
}

function confirmShown(series) {
  const revisions = [[series.report?.revision, series.shown], [series.alert?.revision, series.alert?.revision === series.revision && series.shown]];
  for (const [revision, shown] of revisions) {
    const key = `${series.uid} ${revision}`;
    if (!revision || shown || confirmed.has(key) || document.hidden) continue;
    confirmed.add(key);
    post(`${resultPath(series.uid, revision)}/shown`, {})
      .then((answer) => { if (!answer.ok) confirmed.delete(key); })
      .catch(() => confirmed.delete(key));
  }
}

function resultPath(uid, revision) { return `/api/series/${encodeURIComponent(uid)}/${revision}`; }

function post(url, values) {
  return fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) });
}

function tick() {
  for (const node of alerts.values()) {
    const since = node.dataset.lastSliceMs;
    node.querySelector(".since").textContent = since === "" ? ""
      : `${duration((performance.now() - Number(since)) / 1000)} since the last slice`;
  }
}

function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

function nameOf({ test, patient }) { return `${test ? "TEST, NO PATIENT: " : ""}${personName(patient.patient_name)}`; }

function personName(dicom) { // alphabetic=ideographic=phonetic, each family^given^middle^…
  const [first, second] = plain(dicom).split("=").slice(0, 2).filter((group) => /[^^\s]/.test(group)).map(oneName);
  if (!first) return "Name not given";
  return cut(second ? `${first} (${second})` : first);
}

function oneName(group) {
  const [family, ...given] = group.split("^").map((part) => part.trim());
  return [family, given.filter(Boolean).join(" ")].filter(Boolean).join(", ");
}

function born(date) { return /^\d{8}$/.test(date) ? `born ${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` : date; }
function plain(text) { return cut((text ?? "").replace(UNSEEN, "\ufffd"), 1000); }
function cut(text, longest = LONGEST) { return text.length > longest ? `${text.slice(0, longest)}…` : text; }
function capital(word) { return word.charAt(0).toUpperCase() + word.slice(1); }
function isToday(iso) { return new Date(iso).toDateString() === new Date().toDateString(); }
function clock(iso) {
  const moment = new Date(iso);
  const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return isToday(iso) ? time : `${moment.toLocaleDateString([], { day: "numeric", month: "short" })} ${time}`;
}
function element(name, text, className = "") {
  const node = document.createElement(name);
  node.textContent = text;
  node.className = className;
  return node;
}
