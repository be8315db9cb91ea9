// The reading list: what no radiologist has signed first, in order of urgency.

import { isRead } from "./attention.js";
import { at, element } from "./dom.js";
import { checkSession } from "./session.js";
import { stateLabel } from "./states.js";
import { born, capital, clock, nameOf, number, plain, t, translatePage } from "./words.js";

const AGAIN_AFTER_MS = 3000;

translatePage(document);
document.title = [t("Reading list"), "Bleedwatch"].join(" – ");
watch();
document.addEventListener("visibilitychange", () => { if (isRead()) show(); });

async function watch() {
  if (isRead()) await show();
  setTimeout(watch, AGAIN_AFTER_MS);
}

async function show() {
  const answer = await fetch(`/api/reading${location.search}`).catch(() => null);
  if (answer?.status === 401) await checkSession();
  if (answer?.ok) draw((await answer.json()).examinations);
  else at("problem").textContent = t("The list cannot be fetched. Trying again …");
}

/** @param {ReadingLine[]} lines */
function draw(lines) {
  at("problem").textContent = lines.length ? "" : t("No examination here.");
  const rows = lines.map(row);
  if (at("list").textContent !== rows.map((one) => one.textContent).join("")) at("list").replaceChildren(...rows);
}

/** @param {ReadingLine} line */
function row(line) {
  const node = element("tr", "", line.signed_by ? "signed" : line.state);
  const link = element("a", nameOf(line));
  link.href = `/exam/${encodeURIComponent(line.examination_uid)}`;
  const { patient_id: id, birth_date: date, accession } = line.patient;
  const whose = [id, born(date), accession && t("accession {number}", { number: accession })].map(plain).filter(Boolean).join(" · ");
  const patient = cell("");
  patient.append(link, element("small", whose));
  node.append(cell(stateLabel(line.state), "state"), patient, cell(resultWords(line)), cell(clock(line.last_slice_utc)), cell(readWords(line)));
  return node;
}

/** @param {ReadingLine} line */
function resultWords({ subtypes, total_volume_ml: ml, midline_shift_mm: shiftMm, score, state }) {
  return [
    capital(subtypes.map((one) => t(one)).join(", ")),
    state === "suspected" && ml !== null ? `${number(ml, 1)} mL` : "",
    state === "suspected" && shiftMm !== null ? t("midline shift {shift} mm", { shift: number(shiftMm) }) : "",
    score === null ? "" : t("score {score}", { score: number(score, 2) }),
  ].filter(Boolean).join(" · ");
}

/** @param {ReadingLine} line */
function readWords({ n_findings: n, n_read: read, signed_by: who, waits }) {
  if (who) return t("signed by {who}", { who: plain(who) });
  return [n ? t("{read} of {n} findings read", { read, n }) : t("not signed"), waits ? t("alert not answered") : ""].filter(Boolean).join(" · ");
}

/** @param {string} text @param {string} className */
function cell(text, className = "") { return element("td", text, className); }
