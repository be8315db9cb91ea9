"use strict";

// Data from DICOM headers goes into the page as text only (textContent), never as markup.

const LOST_AFTER_MS = 3000; // the server sends at least one snapshot a second
const WORDS = {
  receiving: "… receiving",
  analysing: "… analysing",
  suspected: "▲ suspected",
  not_suspected: "✓ not suspected",
  not_analysed: "? not analysed",
};

const front = document.getElementById("front");
const worklist = document.getElementById("worklist");
const alerts = new Map(); // "uid revision" → its element, kept so that typing a name is not interrupted
const confirmed = new Set();
let heardAt = performance.now();
let latest = null;
let lost = false;

let source = listen();
function listen() {
  const opened = new EventSource("/api/events");
  opened.onmessage = (event) => {
    heardAt = performance.now();
    lost = false;
    latest = JSON.parse(event.data);
    show();
  };
  return opened;
}
setInterval(() => {
  if (source.readyState === EventSource.CLOSED) source = listen();
  if (performance.now() - heardAt > LOST_AFTER_MS && !lost) {
    lost = true;
    show();
  }
  tick();
}, 250);

function show() {
  const state = latest ?? { series: [], notices: [], problem: null, agent: null };
  const waiting = state.series.filter((s) => s.report?.state === "suspected" && !s.acknowledged);
  showFront(state, waiting);
  worklist.replaceChildren(...state.series.map(row));
  document.getElementById("empty").hidden = state.series.length > 0;
  document.getElementById("engine").textContent = state.agent
    ? [state.agent.bundle, state.agent.backend, state.agent.degraded].filter(Boolean).join(", ") : "";
  document.getElementById("notices").replaceChildren(
    ...state.notices.map((n) => element("p", `${clock(n.at_utc)}  ${n.message}`)));
  document.title = waiting.length ? `(${waiting.length}) SUSPECTED – Bleedwatch` : "Bleedwatch";
  if (!lost) state.series.forEach(confirmShown);
}

function showFront(state, waiting) {
  const wanted = new Map(waiting.map((s) => [`${s.uid} ${s.revision}`, s]));
  for (const [key, node] of alerts) if (!wanted.has(key)) { node.remove(); alerts.delete(key); }
  front.querySelector(".banner")?.remove();
  const trouble = lost ? ["CONNECTION LOST", "This page no longer hears from Bleedwatch. Do not rely on it."]
    : state.problem ? troubleWords(state.problem) : null;
  if (trouble) front.prepend(banner(...trouble, true));
  else if (!waiting.length && latest) front.prepend(banner("Watching", calmWords(state), false));
  for (const [key, series] of [...wanted].reverse()) { // the newest comes to the very front
    if (!alerts.has(key)) {
      alerts.set(key, alertFor(series));
      front.insertBefore(alerts.get(key), front.querySelector(".alert"));
    }
    alerts.get(key).dataset.lastSliceMs = series.last_slice_age_s === null
      ? "" : performance.now() - series.last_slice_age_s * 1000;
  }
  tick();
}

function troubleWords(problem) {
  const folder = problem.startsWith("export folder unreachable");
  return folder
    ? ["EXPORT FOLDER UNREACHABLE", `${problem.slice(problem.indexOf(":") + 2)}. No scan is being analysed: call service.`]
    : ["AGENT NOT RUNNING", `${problem}. No scan is being analysed: call service.`];
}

function calmWords(state) {
  return `No alert is waiting. ${state.today} series today.`;
}

function banner(title, text, trouble) {
  const node = document.getElementById("banner").content.cloneNode(true).firstElementChild;
  node.classList.toggle("trouble", trouble);
  node.querySelector("h2").textContent = title;
  node.querySelector("p").textContent = text;
  return node;
}

function alertFor(series) {
  const node = document.getElementById("alert").content.cloneNode(true).firstElementChild;
  const { patient, report } = series;
  const path = `/api/series/${encodeURIComponent(series.uid)}/${series.revision}`;
  const put = (selector, text) => { node.querySelector(selector).textContent = text; };
  put(".patient", personName(patient.patient_name) || "Name not given");
  put(".whose", [patient.patient_id, patient.birth_date, patient.sex, series.description]
    .filter(Boolean).join(" · "));
  node.querySelector(".findings").replaceChildren(
    ...report.findings.slice(0, 3).map((f) => element("li", findingWords(f))),
    ...(report.findings.length > 3 ? [element("li", `and ${report.findings.length - 3} more`)] : []));
  const numbers = [];
  if (report.total_volume_ml !== null) numbers.push(`${report.total_volume_ml.toFixed(1)} mL in all`);
  if (report.score !== null) numbers.push(`score ${report.score.toFixed(2)}`);
  if (report.midline_shift_mm !== null) numbers.push(`midline shift ${report.midline_shift_mm.toFixed(0)} mm`);
  if (series.revision > 1) numbers.push(`revised: result ${series.revision}`);
  put(".numbers", numbers.join(" · "));
  node.querySelector(".caveats").replaceChildren(...report.caveats.map((c) => element("li", c)));
  const image = node.querySelector("img");
  if (report.findings.length) image.src = `${path}/key-slice.png`; else image.remove();
  const form = node.querySelector("form");
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
  return node;
}

function findingWords(f) {
  const [low, high] = f.volume_interval_ml;
  const where = [f.side, f.region].filter(Boolean).join(" ");
  return `${capital(f.subtype)}${where ? ", " + where : ""}: ${f.volume_ml.toFixed(1)} mL (${low.toFixed(0)}–${high.toFixed(0)})`;
}

function row(series) {
  const tr = document.createElement("tr");
  const { patient, report, state } = series;
  const current = report && report.state === state ? report : null;
  const count = series.expected > 0 ? `${series.slices} of ${series.expected}` : `${series.slices}`;
  const result = element("td", current ? resultWords(current) : state === "receiving" ? `receiving ${count} slices` : "");
  if (current?.what_to_do) result.append(element("small", current.what_to_do));
  if (series.revision > 1) result.append(element("small", `revised: result ${series.revision}`));
  if (series.acknowledged) {
    result.append(element("small", `acknowledged by ${series.acknowledged.who}, ${clock(series.acknowledged.at_utc)}`));
  }
  const name = element("td", personName(patient.patient_name) || "Name not given");
  name.append(element("small", patient.patient_id));
  tr.append(element("td", WORDS[state], state), name, element("td", series.description),
    element("td", count), element("td", clock(series.last_slice_utc)), result);
  return tr;
}

function resultWords(report) {
  if (report.state === "not_analysed") return `because ${report.reason}`;
  if (report.state === "suspected") return report.findings.slice(0, 2).map(findingWords).join("; ") || "no outline could be drawn";
  return "";
}

function confirmShown(series) {
  const key = `${series.uid} ${series.revision}`;
  if (!series.report || series.shown || confirmed.has(key) || document.hidden) return;
  confirmed.add(key);
  post(`/api/series/${encodeURIComponent(series.uid)}/${series.revision}/shown`, {})
    .then((answer) => { if (!answer.ok) confirmed.delete(key); })
    .catch(() => confirmed.delete(key));
}

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
  return s < 60 ? `${s} s` : `${Math.floor(s / 60)} min ${s % 60} s`;
}

// Bidirectional overrides could make one patient's name read as another's.
function personName(dicom) {
  const shown = dicom.split("=")[0].replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
  return shown.split("^").filter(Boolean).join(", ").slice(0, 200);
}
function capital(word) { return word[0].toUpperCase() + word.slice(1); }
function clock(iso) { return new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }); }
function element(name, text, className = "") {
  const node = document.createElement(name);
  node.textContent = text;
  node.className = className;
  return node;
}
