// The page: what the agent is doing, what it found, and whether either can be relied on.

import { remindOf, showAlerts, tickAlerts } from "./alerts.js";
import { at, element, first } from "./dom.js";
import { isWaiting, isWithdrawn } from "./examination.js";
import { checkSession } from "./session.js";
import { remind, soundButton } from "./sound.js";
import { capital, clock, number, plain, said, t, translatePage } from "./words.js";
import { confirmShown, showWorklist } from "./worklist.js";

const LOST_AFTER_MS = 2700; // the server sends at least one snapshot a second; it is told within three
const AGAIN_AFTER_MS = 1000;
/** @type {Snapshot} */
const NOTHING = {
  at_utc: "", examinations: [], notices: [], problem: null, agent: null, selftest: { problem: null }, today: null, low_disk_bytes: null, repeat_s: [30],
};

let heardAt = performance.now();
/** @type {Snapshot | null} */
let latest = null;
let lost = false;

translatePage(document);
soundButton(at("sound"));
connect();
setInterval(() => {
  if (performance.now() - heardAt > LOST_AFTER_MS && !lost) {
    lost = true;
    refresh();
  }
  tickAlerts();
  sound();
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
    if (source.readyState !== EventSource.CLOSED) return;
    checkSession(); // a session that is over ends its stream
    setTimeout(connect, AGAIN_AFTER_MS);
  };
}

function refresh() {
  try {
    show(latest ?? NOTHING);
  } catch (error) {
    banner("trouble", t("THIS PAGE HAS A FAULT"), t("What it shows may be old. Do not rely on it: call service."));
    throw error;
  }
}

/** Whether it waits with what is still suspected; a self-test's alert counts for nobody. @param {Examination} examination */
function isSuspected(examination) { return isWaiting(examination) && !isWithdrawn(examination) && !examination.test; }

/** @param {Snapshot} state */
function show(state) {
  const waiting = state.examinations.filter(isWaiting);
  document.body.classList.toggle("lost", lost);
  showAlerts(waiting);
  showBanner(state, waiting);
  showHeader(state, waiting);
  showDay(state);
  showWorklist(state.examinations, latest !== null);
  showNotices(state.notices);
  sound();
  if (!lost) requestAnimationFrame(() => requestAnimationFrame(() => state.examinations.flatMap(({ series }) => series).forEach(confirmShown)));
}

function sound() {
  const { examinations, repeat_s: repeatS } = latest ?? NOTHING;
  remind(examinations.filter(isSuspected).map((one) => one.examination_uid), repeatS, remindOf);
}

/** @param {Snapshot} state @param {Waiting[]} waiting */
function showHeader(state, waiting) {
  put("engine", state.agent ? engineWords(state.agent.engine) : "");
  put("degraded", state.agent?.degraded ? `▼ ${said(state.agent.degraded)}` : "");
  put("low-disk", state.low_disk_bytes === null ? ""
    : t("▼ disk low: {free} MiB free", { free: number(state.low_disk_bytes / 2 ** 20) }));
  put("selftest", state.selftest.problem ? `▼ ${said(state.selftest.problem)}` : "");
  const n = waiting.filter(isSuspected).length;
  put("waiting", n > 1 ? t("▲ {n} suspected", { n }) : "");
  document.title = n ? t("({n}) SUSPECTED – Bleedwatch", { n }) : "Bleedwatch";
}

/** @param {Snapshot} state @param {Waiting[]} waiting */
function showBanner(state, waiting) {
  if (lost && !latest) banner("trouble", t("NOT CONNECTED"), t("This page has not heard from Bleedwatch. Do not rely on it."));
  else if (lost) banner("trouble", t("CONNECTION LOST"), t("Since {time} this page has not heard from Bleedwatch. Do not rely on it.", { time: clock(state.at_utc) }));
  else if (state.problem) showTrouble(state.problem);
  else if (waiting.length) banner("none", "", "");
  else banner("calm", t("Watching"), t("No alert is waiting."));
}

/** @param {Reason} problem */
function showTrouble(problem) {
  const { code, values: { why } } = problem;
  const folder = code === "export_folder_unreachable";
  const what = folder && typeof why === "object" && "code" in why ? said(why) : capital(said(problem));
  banner("trouble", folder ? t("EXPORT FOLDER UNREACHABLE") : t("AGENT NOT RUNNING"), t("{what}. No scan is being analysed: call service.", { what }));
}

/** @param {"trouble" | "calm" | "none"} kind @param {string} title @param {string} text */
function banner(kind, title, text) {
  const node = first(document, ".banner");
  node.className = `banner ${kind}`;
  node.hidden = kind === "none";
  const lines = [{ trouble: `✖ ${title}`, calm: `● ${title}`, none: "" }[kind], text];
  [...node.children].forEach((line, n) => write(line, lines[n]));
}

/** @param {Engine} engine */
function engineWords({ bundle, version, backend, device }) {
  return plain(`${bundle} ${version}, ${backend}, ${device}`);
}

/** @param {Snapshot} state */
function showDay(state) {
  at("day").hidden = !state.today;
  for (const [name, n] of Object.entries(state.today ?? {})) write(first(document, `#day [data-count=${name}]`), number(n));
  const expected = state.agent?.alerts_per_100;
  put("expected", expected == null ? "" : t("Of 100 scans without a bleed, {low} to {high} are expected to alarm.", { low: number(expected[0]), high: number(expected[1]) }));
}

/** @param {Snapshot["notices"]} notices */
function showNotices(notices) {
  const lines = notices.map((notice) => `${clock(notice.at_utc)}  ${said(notice.reason)}`);
  const shown = [...at("notices").children].map((node) => node.textContent);
  if (lines.join("\n") !== shown.join("\n")) at("notices").replaceChildren(...lines.map((line) => element("p", line)));
}

/** @param {string} id @param {string} text */
function put(id, text) { write(at(id), text); }

/** Writes only what is new, so that it is read out once. @param {Element} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
