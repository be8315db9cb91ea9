// The sounds: of an alert, of a head that was not analysed, of trouble; each when it comes, and again.
//
// Pulses as IEC 60601-1-8 has them (150 to 1000 Hz with four harmonics, 125 to 250 ms long and
// apart): three for a suspicion as for medium priority, two for what was not analysed as for low.
// All of a sound are of one pitch: none of its melodies, which stand for organs. Trouble is the
// machine's, not a patient's: two longer, deep ones.

import { duration, t } from "./words.js";

/** @typedef {"suspected" | "not_analysed" | "trouble"} Kind */
/** @type {Record<Kind, { hz: number, n: number, pulseS: number }>} */
const SOUNDS = { suspected: { hz: 523, n: 3, pulseS: 0.2 }, not_analysed: { hz: 392, n: 2, pulseS: 0.2 }, trouble: { hz: 196, n: 2, pulseS: 0.5 } };
const KINDS = /** @type {Kind[]} */ (Object.keys(SOUNDS)); // the most urgent one drowns the others
const TROUBLE_AGAIN_S = 900; // once the times of an alert are through: nobody can answer it on the page
const HARMONICS = [1, 0.7, 0.5, 0.4, 0.3];
const EDGE_S = 0.04;
const LOUDNESS = 0.25;
const MUTE_MS = 120_000;

const audio = new AudioContext();
/** @type {Map<string, { at: number, times: number }>} */
const due = new Map(); // alert → when it sounds next [ms], and how often it did
let mutedUntil = 0;

/**
 * `waiting` are the keys of what nobody has answered, and how each sounds.
 * @param {Map<string, Kind>} waiting
 * @param {number[]} repeatS
 * @param {(key: string) => void} onRepeat
 */
export function remind(waiting, repeatS, onRepeat) {
  const now = performance.now();
  for (const key of due.keys()) if (!waiting.has(key)) due.delete(key);
  const dueNow = [...waiting].filter(([key]) => (due.get(key)?.at ?? 0) <= now);
  for (const [key, kind] of dueNow) {
    const times = due.get(key)?.times ?? 0;
    due.set(key, { at: now + 1000 * waitS(kind, times, repeatS), times: times + 1 });
    onRepeat(key);
  }
  const kind = KINDS.find((each) => dueNow.some(([, own]) => own === each));
  if (kind && now >= mutedUntil) play(kind);
}

/** @param {Kind} kind @param {number} times @param {number[]} repeatS */
function waitS(kind, times, repeatS) {
  if (times < repeatS.length) return repeatS[times];
  return kind === "trouble" ? Math.max(TROUBLE_AGAIN_S, repeatS[repeatS.length - 1]) : repeatS[repeatS.length - 1];
}

/** @param {HTMLElement} button */
export function soundButton(button) {
  const show = () => {
    const leftMs = mutedUntil - performance.now();
    const blocked = audio.state !== "running";
    const text = blocked ? t("▼ Sound is off: touch to turn it on")
      : leftMs > 0 ? t("▼ Sound off for {time}", { time: duration(leftMs / 1000) }) : t("Mute for 2 min");
    if (button.textContent !== text) button.textContent = text;
    button.classList.toggle("off", blocked || leftMs > 0);
    button.setAttribute("aria-pressed", String(leftMs > 0));
  };
  let turnsOn = false; // the touch that turns the sound on does not mute it
  for (const kind of ["pointerdown", "keydown"]) {
    button.addEventListener(kind, () => { turnsOn = audio.state !== "running"; });
    document.addEventListener(kind, () => audio.resume()); // browsers let no page sound before it is touched
  }
  button.addEventListener("click", () => {
    if (!turnsOn) mutedUntil = performance.now() < mutedUntil ? 0 : performance.now() + MUTE_MS;
    show();
  });
  audio.addEventListener("statechange", show);
  setInterval(show, 500);
  show();
}

/** @param {Kind} kind */
function play(kind) {
  if (audio.state !== "running") return;
  const { hz, n, pulseS } = SOUNDS[kind];
  for (let k = 0; k < n; k += 1) pulse(audio.currentTime + 0.05 + k * 2 * pulseS, hz, pulseS);
}

/** @param {number} atS @param {number} hz @param {number} pulseS */
function pulse(atS, hz, pulseS) {
  const envelope = audio.createGain();
  envelope.gain.setValueAtTime(0, atS);
  envelope.gain.linearRampToValueAtTime(LOUDNESS, atS + EDGE_S);
  envelope.gain.setValueAtTime(LOUDNESS, atS + pulseS - EDGE_S);
  envelope.gain.linearRampToValueAtTime(0, atS + pulseS);
  envelope.connect(audio.destination);
  const tone = audio.createOscillator();
  const amplitudes = [0, ...HARMONICS];
  tone.setPeriodicWave(audio.createPeriodicWave(new Float32Array(amplitudes.length), new Float32Array(amplitudes)));
  tone.frequency.value = hz;
  tone.connect(envelope);
  tone.start(atS);
  tone.stop(atS + pulseS);
  tone.onended = () => { tone.disconnect(); envelope.disconnect(); };
}
